// SPDX-License-Identifier: Apache-2.0
// What an administrator does with one user. Each returns what is to be said, or null if nothing was done; `tried()` follows
// each try.

import * as api from "./api.js";
import { h } from "./dom.js";
import { formDialog, showLoaded } from "./dialog.js";
import { credits, dateTime, endOf, number } from "./format.js";
import { t, word } from "./i18n.js";
import { nameAndID, nameOf } from "./people.js";
import { plainTable, Table } from "./table.js";
import { forTab } from "./store.js";

/** Edits a profile; makes a new one where there is none. */
export async function editProfile(row, tried) {
    let id = row?.id;
    const isDone = await formDialog({
        title: row ? t("users.editTitle", { name: nameAndID(row) }) : t("users.add"), tried,
        fields: [
            row ? { name: "id", label: t("users.id"), value: row.id, readonly: true }
                : { name: "id", label: t("users.id"), required: true, maxlength: "256" },
            { name: "username", label: t("users.username"), value: row?.username, autofocus: Boolean(row) },
            { name: "email", label: t("users.email"), inputmode: "email", autocapitalize: "none", value: row?.email },
            { name: "full_name", label: t("users.fullName"), value: row?.full_name },
            { name: "phone", label: t("users.phone"), type: "tel", value: row?.phone },
            { name: "role", label: t("users.role"), value: row?.role ?? "user", maxlength: "64" },
            { name: "active", label: t("users.active"), type: "checkbox", value: row?.active ?? true },
            { name: "demo", label: t("users.demoLabel"), type: "checkbox", value: row?.demo ?? false },
        ],
        submit: async ({ id: newID, ...profile }, { changed }) => {
            const written = row ? changed : profile;
            for (const [name, value] of Object.entries(written)) if (value === "") written[name] = null;
            id = row?.id ?? newID;
            const path = `/v1/subjects/${api.segment(id)}`;
            if (row) return api.patch(path, changed);
            try {
                // A new one replaces nobody.
                return await api.put(path, profile, { "If-None-Match": "*" });
            } catch (error) {
                throw error.status === 412 ? new Error(t("users.exists", { id })) : error;
            }
        },
    });
    return isDone ? t("users.saved", { name: row ? nameOf(row) : id }) : null;
}

/** Hands out keys of a pool. */
export async function assignKeys(row, tried) {
    const keys = assignOnce(row.id);
    await formDialog({
        title: t("users.assignTitle", { name: nameAndID(row) }), action: t("users.assign"), tried,
        fields: [
            { name: "provider", label: t("keys.provider"), value: lastProvider(), required: true, pattern: "[a-z0-9\\-]{1,32}" },
            // How many is said by who hands them out, and not by a key that is pressed twice.
            { name: "quantity", label: t("users.quantity"), type: "number", min: "1", max: "1000", required: true, autofocus: true },
        ],
        submit: async ({ provider, quantity }, { stay }) => {
            await keys.send(provider, Number(quantity), stay);
            rememberProvider(provider);
        },
    });
    return keys.assigned ? t("users.assignedKeys", { count: number(keys.assigned), name: nameOf(row) }) : null;
}

/** Keys that are handed out once: what was sent without an answer is looked for before anything is sent again. */
function assignOnce(id) {
    let unknown = null;
    return {
        /** How many keys were handed out. */
        assigned: null,
        async send(provider, quantity, stay) {
            if (unknown) await this.checkNotMade();
            const held = await keysOf(provider, id);
            stay();
            try {
                const answer = await api.post(`/api/${api.segment(provider)}/bulk-assign`, { user_id: id, quantity });
                this.assigned = answer.assigned_count;
            } catch (error) {
                if (error.isUnknown) unknown = { provider, held };
                throw error;
            }
        },
        async checkNotMade() {
            const { provider, held } = unknown;
            const count = [...await keysOf(provider, id)].filter((key) => !held.has(key)).length;
            if (count) {
                this.assigned = count;
                throw new Error(t("users.assignedBefore", { count: number(count) }));
            }
            unknown = null;
        },
    };
}

/** The ids of all keys of a pool that somebody holds. */
async function keysOf(provider, id) {
    const found = new Set();
    let cursor = null;
    do {
        const page = await api.get(`/api/${api.segment(provider)}/keys`, { user_id: id, limit: 1000, cursor });
        for (const key of page.keys) found.add(key.id);
        cursor = page.next;
    } while (cursor);
    return found;
}

const providerKey = "tally.provider";
export const lastProvider = () => forTab.getItem(providerKey) ?? "elevenlabs";
export const rememberProvider = (name) => forTab.setItem(providerKey, name);

/** Grants credits, or changes the allowance of each month. */
export async function adjustCredits(row, tried) {
    const path = `/v1/credits/${api.segment(row.id)}`;
    const grants = grantOnce(path);
    let isAllowanceSaved = false;
    await formDialog({
        title: t("users.creditsTitle", { name: nameAndID(row) }), tried,
        load: async (signal) => {
            const account = await api.get(path, null, signal);
            return {
                text: t("users.balance", {
                    balance: credits(account.current_balance), allowance: credits(account.monthly_allowance),
                    consumed: credits(account.current_month_consumed),
                }),
                fields: [
                    { name: "grant", label: t("users.grant"), type: "decimal", help: t("users.grantHelp") },
                    { name: "expires", label: t("users.expires"), type: "date" },
                    { name: "allowance", label: t("users.allowance"), type: "decimal", help: t("users.allowanceHelp") },
                ],
            };
        },
        submit: async ({ grant, expires, allowance }, { stay }) => {
            if (!grant && !allowance) throw new Error(t("users.nothing"));
            // It may be sent again and is the same: what is done once only comes last.
            if (allowance) {
                await api.put(`${path}/allowance`, { monthly_allowance: allowance });
                isAllowanceSaved = true;
            }
            if (!grant) return;
            try {
                stay();
                await grants.send(grant, expires ? endOf(expires) : null);
            } catch (error) {
                throw isAllowanceSaved ? new Error(t("users.grantFailed", { detail: error.message })) : error;
            }
        },
    });
    const done = [
        grants.granted ? t("users.granted", { credits: credits(grants.granted) }) : null,
        isAllowanceSaved ? t("users.allowanceSaved") : null,
    ].filter(Boolean);
    return done.length ? `${nameOf(row)}: ${done.join(" ")}` : null;
}

/** A grant that is made once, however often it is sent; another amount or expiry is another grant. */
function grantOnce(path) {
    let tried = null;
    return {
        /** The credits that were granted. */
        granted: null,
        async send(amount, expiresAt) {
            const body = { credits: amount, expires_at: expiresAt };
            const content = JSON.stringify(body);
            if (tried && tried.content !== content) await this.checkNotMade();
            if (tried?.content !== content) {
                tried = { content, amount, id: `page-${crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`}` };
            }
            await api.post(`${path}/grants`, { id: tried.id, ...body });
            this.granted = amount;
        },
        /** What was sent before may have been granted without an answer. */
        async checkNotMade() {
            const { grants } = await api.get(path);
            if (!grants.some((one) => one.id === tried.id)) return;
            this.granted = tried.amount;
            throw new Error(t("users.grantedBefore", { credits: credits(tried.amount) }));
        },
    };
}

/** The keys that a user has, and the ones used last. */
export async function showKeys(row) {
    await showLoaded(t("users.keysTitle", { name: nameAndID(row) }), async (signal) => {
        const stats = await api.get(`/api/users/${api.segment(row.id)}/stats`, null, signal);
        const { current_keys: keys, lifetime_stats: ever, credits: sums } = stats;
        const facts = [
            [t("users.assigned"), keys.total_assigned], [t("users.activeKeys"), keys.active], [t("users.ready"), keys.ready_to_use],
            [t("users.dead"), keys.dead], [t("users.outOfCredit"), keys.out_of_credit], [t("users.unused"), keys.unused],
            [t("users.received"), ever.total_keys_received], [t("users.used"), ever.total_keys_used],
            [t("users.available"), sums.total_available],
        ];
        return [
            h("dl", { class: "facts" }, facts.map(([label, value]) =>
                h("div", null, h("dt", null, label), h("dd", null, number(value))))),
            heldKeys(row.id, lastProvider()),
            h("h3", null, t("users.recentKeys")),
            plainTable(t("users.recentKeys"), keyColumns(), stats.recent_usage, t("users.noneUsed")),
        ];
    });
    return null;
}

/** What somebody holds of a pool, used or not. */
function heldKeys(id, provider) {
    const caption = t("users.heldKeys", { provider });
    const table = new Table({
        caption, columns: keyColumns(), empty: t("users.noneHeld"),
        load: async ({ cursor, signal }) => {
            const answer = await api.get(`/api/${api.segment(provider)}/keys`, { user_id: id, limit: 10, cursor }, signal);
            return { rows: answer.keys, next: answer.next };
        },
    });
    table.read();
    return [h("h3", null, caption), table.element];
}

const keyColumns = () => [
    { label: t("keys.name"), cell: (key) => key.name },
    { label: t("users.status"), cell: (key) => word("keystatus", key.status) },
    { label: t("keys.balance"), numeric: true, cell: (key) => number(key.credit_balance) },
    { label: t("keys.lastUsed"), isTime: true, cell: (key) => dateTime(key.last_used) },
    { label: t("keys.lastError"), cell: (key) => key.last_error ?? "–" },
];
