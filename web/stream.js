// SPDX-License-Identifier: Apache-2.0
// Server-sent events, read by `fetch`: EventSource sends no header fields, such as the operator's workspace, and
// does not tell why it was refused.

import { address, callHeaders, problemOf } from "./api.js";

const retryMost = 30_000;

/**
 * Follows a stream and comes back when it ends, from where it was.
 * @param handlers `message(type, data)`, `state("connecting" | "open" | "waiting" | "refused", detail)`.
 * @returns a function that ends it.
 */
export function follow(path, query, handlers) {
    const stopping = new AbortController();
    run(path, query, handlers, stopping.signal);
    return () => stopping.abort();
}

async function run(path, query, { message, state }, signal) {
    const place = { id: "", retry: 1000 };
    let failures = 0;
    while (!signal.aborted) {
        state("connecting");
        try {
            const headers = { ...callHeaders(), Accept: "text/event-stream" };
            if (place.id) headers["Last-Event-ID"] = place.id;
            const response = await fetch(address(path, query), { headers, signal, cache: "no-store" });
            if (response.ok) {
                failures = 0;
                state("open");
                await read(response.body, place, message);
            } else {
                const problem = await problemOf(response);
                // Too far behind: on with what comes now.
                if (response.status === 410) place.id = "";
                else if (response.status < 500) return state("refused", problem.message);
                failures += 1;
            }
        } catch {
            failures += 1;
        }
        if (signal.aborted) return;
        state("waiting");
        const pause = Math.min(place.retry * 2 ** Math.min(failures, 5), retryMost);
        await new Promise((resolve) => setTimeout(resolve, pause));
    }
}

/** Reads until the stream ends (HTML Standard, section 9.2.6). */
async function read(body, place, message) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let event = { type: "message", data: [] };
    for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) {
            if (line === "") {
                if (event.data.length) message(event.type, event.data.join("\n"));
                event = { type: "message", data: [] };
                continue;
            }
            const colon = line.indexOf(":");
            const name = colon < 0 ? line : line.slice(0, colon);
            const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
            if (name === "event") event.type = text;
            else if (name === "data") event.data.push(text);
            else if (name === "id") place.id = text;
            else if (name === "retry" && /^\d+$/.test(text)) place.retry = Number(text);
        }
    }
}
