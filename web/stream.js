// SPDX-License-Identifier: Apache-2.0
// Server-sent events, read by `fetch`: EventSource sends no header fields, such as the operator's workspace, and
// does not tell why it was refused.

import { address, callHeaders, problemOf } from "./api.js";

const retryMost = 30_000;
// A summary comes each second.
const silenceMost = 10_000;

/**
 * Follows a stream with summaries and comes back when it ends, or when nothing comes any more, from where it was.
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
        const silence = new Silence();
        try {
            const headers = { ...callHeaders(), Accept: "text/event-stream" };
            if (place.id) headers["Last-Event-ID"] = place.id;
            const response = await fetch(address(path, query), {
                headers, signal: AbortSignal.any([signal, silence.signal]), cache: "no-store",
            });
            if (response.ok) {
                failures = 0;
                state("open");
                await read(response.body, place, message, silence);
            } else {
                const problem = await problemOf(response);
                // Too far behind: on with what comes now.
                if (response.status === 410) place.id = "";
                // 429 comes from a gateway in front, and is over some time.
                else if (response.status < 500 && response.status !== 429) {
                    return state("refused", problem.message);
                }
                failures += 1;
            }
        } catch {
            failures += 1;
        } finally {
            silence.end();
        }
        if (signal.aborted) return;
        state("waiting");
        const pause = Math.min(place.retry * 2 ** Math.min(failures, 5), retryMost);
        await new Promise((resolve) => setTimeout(resolve, pause));
    }
}

/** Ends what nothing comes of: a service that stands still, or a network that is gone, does not close a connection. */
class Silence {
    constructor() {
        this.controller = new AbortController();
        this.signal = this.controller.signal;
        this.listen();
    }

    /** Begins to wait anew. */
    listen() {
        this.end();
        this.timer = setTimeout(() => this.controller.abort(), silenceMost);
    }

    end() { clearTimeout(this.timer); }
}

/** Reads until the stream ends (HTML Standard, section 9.2.6). */
async function read(body, place, message, silence) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let event = { type: "message", data: [] };
    for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        silence.listen();
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
