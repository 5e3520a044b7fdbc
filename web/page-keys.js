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

const nameAndID = (key) => `${key.name} (${key.id})`;

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
        if (await action(key, `/api/${api.segment(key.provider)}/keys/${key.id}`, reread)) say(text);
    };
    const reread = () => { if (!signal.aborted && form.checkValidity()) table.read(); };
    const threshold = h("span", { class: "muted" });
    const table = new Table({
        caption: t("page.keys"), columns: columns(act), empty: t("keys.none"),
        isFiltered: () => ["status", "assigned", "user_id"].some((name) => values(form)[name]),
        load: async ({ cursor, signal }) => {
            const { provider, ...filter } = values(form);
            if (filter.user_id) filter.user_id = (await findSubject(filter.user_id)).id;
            const answer = await api.get(`/api/${api.segment(provider)}/keys`, { ...filter, limit: 50, cursor }, signal);
            // Until others are shown, a row is of the pool that it came from, whatever the field says by then.
            return { rows: answer.keys.map((key) => ({ ...key, provider })), next: answer.next };
        },
    });
    let turns = 0;
    async function show() {
        const turn = ++turns;
        if (!form.reportValidity()) {
            // What was shown is of another provider.
            fill(threshold);
            return table.show([]);
        }
        rememberProvider(values(form).provider);
        keepInAddress({ ...values(form), provider: null });
        const settings = api.get(`${pool()}/settings`).then((found) =>
            t("keys.threshold", { threshold: number(found.threshold) }), () => "").then((text) => { if (turn === turns) fill(threshold, text); });
        await Promise.all([table.reload(), settings]);
    }
    main.append(h("div", { class: "toolbar" }, form, h("div", { class: "actions" },
        button(t("keys.import"), async () => {
            if (await importKeys(pool(), reread)) say(t("keys.imported"));
        }), threshold,
        button(t("keys.changeThreshold"), async () => {
            const path = `${pool()}/settings`;
            const isDone = await formDialog({
                title: t("keys.changeThreshold"), tried: () => { if (!signal.aborted) show(); },
                load: async (signal) => {
                    const { threshold: value } = await api.get(path, null, signal);
                    return {
                        text: t("keys.thresholdText"),
                        fields: [{ name: "threshold", label: t("keys.thresholdLabel"), type: "number", value, required: true }],
                    };
                },
                submit: ({ threshold }) => api.put(path, { threshold: Number(threshold) }),
            });
            // Otherwise it is seen.
            if (isDone && signal.aborted) say(t("users.saved", { name: t("keys.thresholdLabel") }));
        }))), table.element);
    await show();
}

function columns(act) {
    return [
        {
            label: t("keys.name"), value: (key) => key.name,
            cell: (key) => [key.name, " ", h("small", { class: "id muted" }, String(key.id))],
        },
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
                const one = (label, text, action) => button(label, () => act(text, action, key), {
                    class: "small", "aria-label": t("users.actionFor", { action: label, name: nameAndID(key) }),
                });
                return h("div", { class: "row-actions" },
                    one(t("users.edit"), t("users.saved", { name: key.name }), edit),
                    key.assigned_user_id === null ? null : one(t("keys.unassign"), t("users.saved", { name: key.name }), unassign),
                    one(t("keys.delete"), t("keys.deleted", { name: key.name }), remove));
            },
        },
    ];
}

const edit = (key, path, tried) => formDialog({
    title: t("users.editTitle", { name: nameAndID(key) }), tried,
    fields: [
        { name: "name", label: t("keys.name"), value: key.name, required: true },
        { name: "status", label: t("users.status"), value: key.status, options: statusOptions() },
        { name: "credit_balance", label: t("keys.balance"), type: "number", value: key.credit_balance ?? "", help: t("keys.balanceHelp") },
    ],
    submit: (_, { changed }) => {
        const { credit_balance: balance } = changed;
        if (balance !== undefined) changed.credit_balance = balance === "" ? null : Number(balance);
        return api.patch(path, changed);
    },
});

const unassign = (key, path, tried) => confirmDialog(t("keys.unassign"),
    t("keys.unassignText", { name: nameAndID(key), holder: key.assigned_user_id }), t("keys.unassign"),
    () => api.post(`${path}/unassign`), tried);

const remove = (key, path, tried) => confirmDialog(t("keys.delete"), t("keys.deleteText", { name: nameAndID(key) }), t("keys.delete"),
    () => api.remove(path), tried);

/** Adds keys. What did not come in stays in the field. */
const importKeys = (pool, tried) => formDialog({
    title: t("keys.import"), text: t("keys.importText"), action: t("keys.import"), tried,
    fields: [{ name: "table", label: "CSV", type: "textarea", rows: "8", required: true, value: "name,secret,credit_balance\n" }],
    submit: async ({ table }, { form }) => {
        const { results, ...counts } = await api.upload(`${pool}/keys/import`, table, "text/csv");
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
