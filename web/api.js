// SPDX-License-Identifier: Apache-2.0
// Calls the service. What it refuses is told as it says it.

import { problem, t } from "./i18n.js";
import { forTab } from "./store.js";

/** An answer that is an error (RFC 9457), in the reader's language where its code has a text in it. */
export class Problem extends Error {
    constructor(status, body) {
        super(problem(body.code, body.detail) ?? (body.detail || body.title || t("error.status", { status })));
        this.status = status;
        // Whether what was asked may have been done nonetheless.
        this.isUnknown = status === 0 || status >= 500;
        this.code = body.code ?? "";
    }
}

const workspaceKey = "tally.workspace";
const guestKey = "tally.guest";
let [signedOut, forbidden] = [() => {}, () => {}];
let sessionID = null;
const askMost = 60_000;

/** Whose session the pages show: the service refuses what they ask with the cookie of another. */
export function useSession(session) { sessionID = session?.id ?? null; }

/** What is done when the service does not know the caller any more. */
export function onSignedOut(action) { signedOut = action; }

/** What is done when the caller may not what it asked for, or another one asked: who it is may have changed. */
export function onForbidden(action) { forbidden = action; }

/** The workspace that the operator looks at; null for the one of the key. */
export const workspace = {
    get: () => forTab.getItem(workspaceKey),
    set: (id) => (id ? forTab.setItem(workspaceKey, id) : forTab.removeItem(workspaceKey)),
};

/** The id of who looks as a guest; null for who does not. */
export const guest = {
    get: () => forTab.getItem(guestKey),
    set: (id) => (id ? forTab.setItem(guestKey, id) : forTab.removeItem(guestKey)),
};

/** The value of a header field, whose characters are bytes to `fetch`: those of UTF-8, which the service reads. */
export const headerValue = (text) => String.fromCharCode(...new TextEncoder().encode(text));

/** The header fields that each call has. */
export function callHeaders() {
    const headers = {};
    if (guest.get()) return { "X-Guest-ID": headerValue(guest.get()) };
    if (workspace.get()) headers["X-Tally-Workspace"] = workspace.get();
    if (sessionID) headers["X-Tally-Session"] = sessionID;
    return headers;
}

/** A path with parameters; those that are empty are left out. */
export function address(path, query) {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) {
        if (value !== null && value !== undefined && value !== "") parameters.set(name, value);
    }
    // A plus sign stands for itself there.
    const text = parameters.toString().replaceAll("+", "%20");
    return text ? `${path}?${text}` : path;
}

/** A segment of a path. */
export const segment = encodeURIComponent;

async function send(method, path, { query, body, headers, signal, isAnybodys = false, isLong = false } = {}) {
    const fields = { ...callHeaders(), ...headers };
    if (isAnybodys) delete fields["X-Tally-Session"];
    if (body !== undefined) fields["Content-Type"] ??= "application/json";
    let all;
    try {
        all = new Headers(fields);
    } catch {
        throw new Problem(0, { detail: t("error.header") });
    }
    let response;
    const asking = sessionID;
    // It has an end: a dialog that waits for it stays until then.
    const ends = [signal, isLong ? null : AbortSignal.timeout(askMost)].filter(Boolean);
    const end = ends.length > 1 ? AbortSignal.any(ends) : ends[0];
    try {
        response = await fetch(address(path, query), {
            method, signal: end, headers: all, credentials: "same-origin", cache: "no-store",
            body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
        });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Problem(0, { detail: t("error.network") });
    }
    if (!response.ok) throw await problemOf(response, Boolean(headers?.Authorization), asking);
    return response;
}

/**
 * What an answer that is an error says. Who is not known any more, or may not any more, is brought to where it can go on.
 * @param isSigningIn whether a key was tried that is not the one of the session.
 * @param asking whose session it was when it was asked.
 */
export async function problemOf(response, isSigningIn = false, asking = sessionID) {
    const found = new Problem(response.status, await response.json().catch(() => ({})));
    // A late answer to who was signed in before says nothing of who is now.
    if (response.status === 401 && !isSigningIn && asking === sessionID) signedOut();
    if ((response.status === 403 || found.code === "other_session") && !isSigningIn) forbidden();
    return found;
}

async function answer(method, path, options) {
    const response = await send(method, path, options);
    return response.status === 204 ? null : bodyOf(response);
}

/** The JSON of an answer, which may end half-way. */
async function bodyOf(response) {
    try {
        return await response.json();
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Problem(0, { detail: t("error.cut") });
    }
}

export const get = (path, query, signal) => answer("GET", path, { query, signal });
export const post = (path, body = "") => answer("POST", path, { body });
export const put = (path, body, headers) => answer("PUT", path, { body, headers });
/** Changes members; where there are none, nothing is asked. */
export const patch = async (path, body) => (Object.keys(body).length ? answer("PATCH", path, { body }) : null);
export const remove = (path) => answer("DELETE", path);

/** Who is signed in by now, whomever the pages show; of the operator, as it looks at a workspace. */
export const currentSession = (id = workspace.get()) =>
    answer("GET", "/v1/session", { isAnybodys: true, headers: id ? { "X-Tally-Workspace": id } : {} });

const versioned = async (response) => ({ value: await bodyOf(response), version: response.headers.get("ETag") });

/** A document with its version. */
export const getVersioned = async (path) => versioned(await send("GET", path));

/** Puts a document in the place of one of a version: nobody's change is overwritten. */
export const putVersioned = async (path, body, version) =>
    versioned(await send("PUT", path, { body, headers: { "If-Match": version } }));

export const signIn = (key) =>
    answer("POST", "/v1/session", { body: "", headers: { Authorization: `Bearer ${headerValue(key)}` } });

/** Sends JSON lines or a table to be taken in. */
export const upload = (path, text, type) =>
    answer("POST", path, { body: text, headers: { "Content-Type": type }, isLong: true });

/** Reads an export whole, and hands it to the browser as a file. */
export async function download(path, query, name) {
    const response = await send("GET", path, { query, isLong: true });
    const url = URL.createObjectURL(await response.blob());
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
