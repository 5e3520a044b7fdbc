// SPDX-License-Identifier: Apache-2.0
// The pool of keys of an outside provider.

import * as api from "./api.js";
import { asked, keepInAddress } from "./asked.js";
import { button, fill, h } from "./dom.js";
import { confirmDialog, field, formDialog, values } from "./dialog.js";
import { dateTime, number } from "./format.js";
import { problem, t, word } from "./i18n.js";
import { findSubject } from "./people.js";
import { Table } from "./table.js";
import { lastProvider, rememberProvider } from "./user-dialogs.js";

const statuses = ["active", "dead", "out_of_credit"];
const statusOptions = () => statuses.map((name) => [name, word("keystatus", name)]);
const tones = { active: "good", dead: "bad", out_of_credit: "warn" };

export async function open({ main, say, signal }) {
    const any = ["", t("users.any")];
    const before = asked();
    const form = h("form", {
        class: "filters", onsubmit: (event) => { event.preventDefault(); show(); }, onchange: () => show(),
    }, [
        { name: "provider", label: t("keys.provider"), value: lastProvider(), required: true, pattern: "[a-z0-9\\-]{1,32}" },
        { name: "status", label: t("users.status"), options: [any, ...statusOptions()] },
        { name: "assigned", label: t("keys.assigned"), options: [any, ["true", t("yes")], ["false", t("no")]] },
        { name: "user_id", label: t("keys.holder"), placeholder: t("users.any") },
    ].map((one) => field({ value: before[one.name], ...one })));
    const pool = () => `/api/${api.segment(values(form).provider)}`;
    const act = async (text, action, key) => {
        if (await action(key.pool, key)) {
            say(text);
            await table.read();
        }
    };
    const threshold = h("span", { class: "muted" });
    const table = new Table({
        caption: t("page.keys"), columns: columns(act), empty: t("keys.none"),
        isFiltered: () => ["status", "assigned", "user_id"].some((name) => values(form)[name]),
        load: async ({ cursor, signal }) => {
            const { provider, ...filter } = values(form);
            if (filter.user_id) filter.user_id = (await findSubject(filter.user_id)).id;
            const answer = await api.get(`/api/${api.segment(provider)}/keys`, { ...filter, limit: 50, cursor }, signal);
            // Until the keys of another provider have come, these are shown, and can be pressed.
            return { rows: answer.keys.map((key) => ({ ...key, pool: `/api/${api.segment(provider)}` })), next: answer.next };
        },
    });
    async function show() {
        if (!form.reportValidity()) {
            // What was shown is of another provider.
            fill(threshold);
            return table.show([]);
        }
        rememberProvider(values(form).provider);
        keepInAddress({ ...values(form), provider: null });
        const settings = api.get(`${pool()}/settings`).then((found) =>
            fill(threshold, t("keys.threshold", { threshold: number(found.threshold) })), () => fill(threshold));
        await Promise.all([table.reload(), settings]);
    }
    main.append(h("div", { class: "toolbar" }, form, h("div", { class: "actions" },
        button(t("keys.import"), async () => {
            if (await importKeys(pool(), () => table.read())) say(t("keys.imported"));
        }), threshold,
        button(t("keys.changeThreshold"), async () => {
            const { threshold: value } = await api.get(`${pool()}/settings`, null, signal);
            const isDone = await formDialog({
                title: t("keys.changeThreshold"), text: t("keys.thresholdText"),
                fields: [{ name: "threshold", label: t("keys.thresholdLabel"), type: "number", value, required: true }],
                submit: ({ threshold }) => api.put(`${pool()}/settings`, { threshold: Number(threshold) }),
            });
            if (isDone) await show();
        }))), table.element);
    await show();
}

function columns(act) {
    return [
        { label: t("keys.name"), value: (key) => key.name, cell: (key) => key.name },
        { label: t("keys.secret"), cell: (key) => h("code", null, key.secret ?? "–") },
        {
            label: t("users.status"), value: (key) => key.status,
            cell: (key) => h("span", { class: tones[key.status] }, word("keystatus", key.status)),
        },
        { label: t("keys.balance"), numeric: true, value: (key) => key.credit_balance, cell: (key) => number(key.credit_balance) },
        { label: t("keys.holder"), value: (key) => String(key.assigned_user_id ?? ""), cell: (key) => String(key.assigned_user_id ?? "–") },
        { label: t("keys.lastUsed"), isTime: true, value: (key) => key.last_used ?? "", cell: (key) => dateTime(key.last_used) },
        { label: t("keys.lastError"), cell: (key) => key.last_error ?? "–" },
        {
            label: t("users.actions"),
            cell: (key) => {
                const one = (label, text, action, isOff = false) => button(label, () => act(text, action, key), {
                    class: "small", disabled: isOff, "aria-label": t("users.actionFor", { action: label, name: key.name }),
                });
                return h("div", { class: "row-actions" },
                    one(t("users.edit"), t("users.saved", { name: key.name }), edit),
                    key.assigned_user_id === null ? null : one(t("keys.unassign"), t("users.saved", { name: key.name }), unassign),
                    one(t("keys.delete"), t("keys.deleted", { name: key.name }), remove));
            },
        },
    ];
}

const edit = (pool, key) => formDialog({
    title: t("users.editTitle", { name: key.name }),
    fields: [
        { name: "name", label: t("keys.name"), value: key.name, required: true },
        { name: "status", label: t("users.status"), value: key.status, options: statusOptions() },
        { name: "credit_balance", label: t("keys.balance"), type: "number", value: key.credit_balance ?? "", help: t("keys.balanceHelp") },
    ],
    submit: (_, { changed }) => {
        const { credit_balance: balance } = changed;
        if (balance !== undefined) changed.credit_balance = balance === "" ? null : Number(balance);
        return api.patch(`${pool}/keys/${key.id}`, changed);
    },
});

const unassign = (pool, key) => confirmDialog(t("keys.unassign"),
    t("keys.unassignText", { name: key.name, holder: key.assigned_user_id }), t("keys.unassign"),
    () => api.post(`${pool}/keys/${key.id}/unassign`));

const remove = (pool, key) => confirmDialog(t("keys.delete"), t("keys.deleteText", { name: key.name }), t("keys.delete"),
    () => api.remove(`${pool}/keys/${key.id}`));

/** Adds keys; `changed()` follows each try. What did not come in stays in the field. */
const importKeys = (pool, changed) => formDialog({
    title: t("keys.import"), text: t("keys.importText"), action: t("keys.import"),
    fields: [{ name: "table", label: "CSV", type: "textarea", rows: "8", required: true, value: "name,secret,credit_balance\n" }],
    submit: async ({ table }, { form }) => {
        // Without an answer some may have come in, too.
        const { results, ...counts } = await api.upload(`${pool}/keys/import`, table, "text/csv").finally(changed);
        const failed = results.findIndex((row) => row.error);
        if (failed < 0) return;
        const { code, detail } = results[failed].error;
        const [head, ...lines] = table.split(/\r?\n/).filter(Boolean);
        const isByLine = lines.length === results.length;
        if (isByLine) form.elements.table.value = [head, ...lines.filter((_, index) => results[index].error), ""].join("\n");
        throw new Error(t("keys.importFailed", {
            imported: number(counts.imported_count), failed: number(counts.failed_count), row: isByLine ? 1 : failed + 1,
            detail: problem(code, detail) ?? detail,
        }));
    },
});
