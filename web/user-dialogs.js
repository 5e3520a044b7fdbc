// SPDX-License-Identifier: Apache-2.0
// What an administrator does with one user. Each returns what is to be said, or null if nothing was done.

import * as api from "./api.js";
import { h } from "./dom.js";
import { formDialog, showDialog } from "./dialog.js";
import { credits, dateTime, number } from "./format.js";
import { t, word } from "./i18n.js";
import { plainTable } from "./table.js";

/** By what a user is called. */
export const nameOf = (row) => row.username ?? row.full_name ?? row.id;

/** Edits a profile; makes a new one where there is none. */
export async function editProfile(row) {
    let id = row?.id;
    const isDone = await formDialog({
        title: row ? t("users.editTitle", { name: nameOf(row) }) : t("users.add"),
        fields: [
            ...(row ? [] : [{ name: "id", label: t("users.id"), required: true, maxlength: "256" }]),
            { name: "username", label: t("users.username"), value: row?.username },
            { name: "email", label: t("users.email"), type: "email", value: row?.email },
            { name: "full_name", label: t("users.fullName"), value: row?.full_name },
            { name: "phone", label: t("users.phone"), type: "tel", value: row?.phone },
            { name: "role", label: t("users.role"), value: row?.role ?? "user", maxlength: "64" },
            { name: "active", label: t("users.active"), type: "checkbox", value: row?.active ?? true },
            { name: "demo", label: t("users.demoLabel"), type: "checkbox", value: row?.demo ?? false },
        ],
        submit: async ({ id: newID, ...profile }) => {
            for (const [name, value] of Object.entries(profile)) if (value === "") profile[name] = null;
            id ??= newID;
            const path = `/v1/subjects/${api.segment(id)}`;
            if (row) return api.patch(path, profile);
            // A new one replaces nobody.
            const found = await api.get("/v1/subjects", { q: id, limit: 1000 });
            if (found.subjects.some((one) => one.id === id)) throw new Error(t("users.exists", { id }));
            return api.put(path, profile);
        },
    });
    return isDone ? t("users.saved", { name: row ? nameOf(row) : id }) : null;
}

/** Hands out keys of a pool. */
export async function assignKeys(row) {
    let message = null;
    await formDialog({
        title: t("users.assignTitle", { name: nameOf(row) }), action: t("users.assign"),
        fields: [
            { name: "provider", label: t("keys.provider"), value: lastProvider(), required: true, pattern: "[a-z0-9\\-]{1,32}" },
            { name: "quantity", label: t("users.quantity"), type: "number", value: "1", min: "1", max: "1000", required: true },
        ],
        submit: async ({ provider, quantity }) => {
            const answer = await api.post(`/api/${api.segment(provider)}/bulk-assign`, {
                user_id: row.id, quantity: Number(quantity),
            });
            rememberProvider(provider);
            message = t("users.assignedKeys", { count: number(answer.assigned_count), name: nameOf(row) });
        },
    });
    return message;
}

const providerKey = "tally.provider";
export const lastProvider = () => sessionStorage.getItem(providerKey) ?? "elevenlabs";
export const rememberProvider = (name) => sessionStorage.setItem(providerKey, name);

/** Grants credits, or changes the allowance of each month. */
export async function adjustCredits(row) {
    const path = `/v1/credits/${api.segment(row.id)}`;
    const account = await api.get(path);
    // The same for each try of this dialog: a grant is made once, however often it is sent.
    const grantID = `page-${crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`}`;
    const isDone = await formDialog({
        title: t("users.creditsTitle", { name: nameOf(row) }),
        text: t("users.balance", {
            balance: credits(account.current_balance), allowance: credits(account.monthly_allowance),
            consumed: credits(account.current_month_consumed),
        }),
        fields: [
            { name: "grant", label: t("users.grant"), inputmode: "decimal", pattern: "[0-9]+([.][0-9]{1,6})?", help: t("users.grantHelp") },
            { name: "expires", label: t("users.expires"), type: "date" },
            { name: "allowance", label: t("users.allowance"), inputmode: "decimal", pattern: "[0-9]+([.][0-9]{1,6})?", help: t("users.allowanceHelp") },
        ],
        submit: async ({ grant, expires, allowance }) => {
            if (!grant && !allowance) throw new Error(t("users.nothing"));
            if (grant) {
                const body = { id: grantID, credits: grant };
                if (expires) body.expires_at = `${expires}T23:59:59Z`;
                await api.post(`${path}/grants`, body);
            }
            if (allowance) await api.put(`${path}/allowance`, { monthly_allowance: allowance });
        },
    });
    return isDone ? t("users.saved", { name: nameOf(row) }) : null;
}

/** The keys that a user has, and the ones used last. */
export async function showKeys(row) {
    const stats = await api.get(`/api/users/${api.segment(row.id)}/stats`);
    const { current_keys: keys, lifetime_stats: ever, credits: sums } = stats;
    const facts = [
        [t("users.assigned"), keys.total_assigned], [t("users.activeKeys"), keys.active], [t("users.ready"), keys.ready_to_use],
        [t("users.dead"), keys.dead], [t("users.outOfCredit"), keys.out_of_credit], [t("users.unused"), keys.unused],
        [t("users.received"), ever.total_keys_received], [t("users.used"), ever.total_keys_used],
        [t("users.available"), sums.total_available],
    ];
    showDialog(t("users.keysTitle", { name: nameOf(row) }),
        h("dl", { class: "facts" }, facts.map(([label, value]) =>
            h("div", null, h("dt", null, label), h("dd", null, number(value))))),
        plainTable(t("users.recentKeys"), [
            { label: t("keys.name"), cell: (key) => key.name },
            { label: t("users.status"), cell: (key) => word("keystatus", key.status) },
            { label: t("keys.balance"), numeric: true, cell: (key) => number(key.credit_balance) },
            { label: t("keys.lastUsed"), isTime: true, cell: (key) => dateTime(key.last_used) },
            { label: t("keys.lastError"), cell: (key) => key.last_error ?? "–" },
        ], stats.recent_usage));
    return null;
}
