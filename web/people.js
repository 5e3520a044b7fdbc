// SPDX-License-Identifier: Apache-2.0
// Who is meant: people are known by names and e-mails, the service knows them by ids.

import * as api from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";

/** By what a user is called. */
export const nameOf = (row) => row.username ?? row.full_name ?? row.id;

/** Who a row is, with the id where that is another. */
export const nameWithID = (row) =>
    [nameOf(row), nameOf(row) === row.id ? null : h("small", { class: "id muted" }, row.id)];

/**
 * Finds who has an id, an e-mail, a username or a full name.
 * @returns `{ id, profile }`; `profile` is null of who was counted only.
 * @throws an error with what is to be said when there is nobody, or more than one.
 */
export async function findSubject(text) {
    const known = await byID(text);
    if (known) return known;
    if (text.includes("@")) {
        const { subjects: [profile] } = await api.get("/v1/subjects", { email: text });
        if (profile) return { id: profile.id, profile };
    }
    const found = await byName(text);
    if (found.length > 1) throw new Error(t("people.several", { name: text, ids: found.map((one) => one.id).join(", ") }));
    if (!found.length) throw new Error(t("people.unknown", { name: text }));
    return { id: found[0].id, profile: found[0] };
}

async function byID(text) {
    // It would be another path.
    if ([".", ".."].includes(text)) return null;
    try {
        const { subject, profile } = await api.get(`/v1/subjects/${api.segment(text)}`);
        return { id: subject, profile };
    } catch (error) {
        if (error.status === 404 || error.code === "invalid_id") return null;
        throw error;
    }
}

/** Those who are called just so; the service looks for parts of names. */
async function byName(text) {
    const isIt = (name) => name?.toLocaleLowerCase() === text.toLocaleLowerCase();
    const found = [];
    let cursor = null;
    do {
        const page = await api.get("/v1/subjects", { q: text, limit: 1000, cursor });
        found.push(...page.subjects.filter((one) => isIt(one.username) || isIt(one.full_name)));
        cursor = page.next;
    } while (cursor);
    const named = found.filter((one) => isIt(one.username));
    return named.length ? named : found;
}
