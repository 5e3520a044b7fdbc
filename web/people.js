// SPDX-License-Identifier: Apache-2.0
// Who is meant: people are known by names and e-mails, the service knows them by ids.

import * as api from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";

/** By what a user is called. */
export const nameOf = (row) => row.username ?? row.full_name ?? row.id;

/** The same with the id where that is another: two may be called the same. */
export const nameAndID = (row) => (nameOf(row) === row.id ? row.id : `${nameOf(row)} (${row.id})`);

/** Who a row is, with the id where that is another. */
export const nameWithID = (row) =>
    [h("bdi", null, nameOf(row)), nameOf(row) === row.id ? null : [" ", h("small", { class: "id muted" }, row.id)]];

/**
 * Finds who has an id, an e-mail, a username or a full name.
 * @returns `{ id, profile }`; `profile` is null of who was counted only.
 * @throws an error with what is to be said when there is nobody, or more than one.
 */
export async function findSubject(text) {
    const found = await profilesCalled(text);
    if (found.length === 1 && found[0].id === text) return { id: text, profile: found[0] };
    // The id of who was counted only is before a name that another has. Where nobody is called so, asking for it may be refused.
    const known = found.length ? await counted(text) : await byID(text);
    if (known) return known;
    if (found.length > 1) throw new Error(t("people.several", { name: text, ids: found.map((one) => one.id).join(", ") }));
    if (!found.length) throw new Error(t("people.unknown", { name: text }));
    return { id: found[0].id, profile: found[0] };
}

/** Who has an id and no profile, if an event of it is kept. */
async function counted(id) {
    try {
        const { events } = await api.get("/v1/events", { subject: id, limit: 1 });
        return events.length ? { id, profile: null } : null;
    } catch (error) {
        if (error.code === "invalid_id") return null;
        throw error;
    }
}

/** Who has it as id, e-mail, username or full name: those of the first of these that somebody has. */
async function profilesCalled(text) {
    if (text.includes("@")) {
        const { subjects } = await api.get("/v1/subjects", { email: text });
        if (subjects.length) return subjects;
    }
    const isIt = (name) => name?.toLocaleLowerCase() === text.toLocaleLowerCase();
    const found = [];
    let cursor = null;
    do {
        // The service looks for parts of names.
        const page = await api.get("/v1/subjects", { q: text, limit: 1000, cursor });
        const itself = page.subjects.find((one) => one.id === text);
        if (itself) return [itself];
        found.push(...page.subjects.filter((one) => isIt(one.username) || isIt(one.full_name)));
        cursor = page.next;
    } while (cursor);
    const named = found.filter((one) => isIt(one.username));
    return named.length ? named : found;
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
