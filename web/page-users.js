// SPDX-License-Identifier: Apache-2.0
// Users: who they are, the keys that they have, what they have used.

import * as api from "./api.js";
import { asked, keepInAddress } from "./asked.js";
import { button, h } from "./dom.js";
import { field, formDialog, values } from "./dialog.js";
import { addDays, dateTime, instantDate, number, startOf, today } from "./format.js";
import { t } from "./i18n.js";
import { nameAndID, nameWithID } from "./people.js";
import { Table } from "./table.js";
import { adjustCredits, assignKeys, editProfile, showKeys } from "./user-dialogs.js";

const pageSize = 50;
// No role has a control character in it.
const otherRole = "\u0001";
const [byTokens, firstOrder] = ["-tokens", "username"];
const orders = { username: ["username", "-username"], email: ["email", "-email"], tokens: [byTokens] };

export async function open({ main, say, signal, isAdmin }) {
    const { ranked_meters: ranked } = await api.get("/v1/workspace", null, signal);
    const ordersTokens = ranked.includes("tokens");
    const before = asked();
    const filters = filterForm(before, () => table.reload());
    const act = async (action, subject) => {
        const told = await action(subject, () => { if (!signal.aborted) table.read(); });
        if (told) say(told);
    };
    const table = new Table({
        caption: t("page.users"), columns: columns(isAdmin, ordersTokens, act),
        order: Object.values(orders).flat().find((one) => one === before.sort && (ordersTokens || one !== byTokens)) ?? firstOrder,
        isFiltered: () => Object.values(values(filters)).some(Boolean),
        load: async ({ cursor, order, signal }) => {
            if (table.element.isConnected) keepInAddress(shown(values(filters), order));
            const answer = await api.get("/v1/subjects", {
                ...question(values(filters)), kind: "user", sort: order, limit: pageSize, cursor,
                include: isAdmin ? "usage,keys" : "usage",
            }, signal);
            for (const row of answer.subjects) offerRole(filters, row.role);
            return { rows: answer.subjects, next: answer.next };
        },
    });
    const actions = h("div", { class: "actions" },
        isAdmin ? button(t("users.add"), () => act(editProfile, null)) : null,
        button(t("users.exportCSV"), () => exportCSV(question(values(filters)), isAdmin, table.order)));
    main.append(h("div", { class: "toolbar" }, filters, actions), table.element,
        h("p", { class: "muted" }, t(ordersTokens ? "users.orders" : "users.ordersNames")));
    await table.reload();
}

/** What the address has of the filters and the order. */
const shown = ({ q, role, active, inactive }, order) =>
    ({ q, role: role === otherRole ? null : role, active, inactive, sort: order === firstOrder ? null : order });

function filterForm(before, apply) {
    let waiting;
    const form = h("form", {
        class: "filters", role: "search",
        onsubmit: (event) => { event.preventDefault(); clearTimeout(waiting); apply(); },
        onchange: async (event) => {
            // What is typed was looked for as input. Here it is told when the field is left, by the press of a button
            // in a row perhaps, and a row drawn anew before the button is let go would take the click away.
            if (event.target.type === "search") return;
            clearTimeout(waiting);
            if (event.target.value === otherRole && !await askRole(form)) event.target.value = "";
            apply();
        },
        oninput: (event) => {
            if (event.target.type !== "search") return;
            clearTimeout(waiting);
            waiting = setTimeout(apply, 300);
        },
    }, [
        { name: "q", label: t("users.search"), type: "search", maxlength: "200", value: before.q },
        {
            name: "role", label: t("users.role"), value: before.role,
            options: [["", t("users.any")], ["user", "user"], ["admin", "admin"], [otherRole, t("users.otherRole")]],
        },
        { name: "active", label: t("users.status"), value: before.active, options: [["", t("users.any")], ["true", t("users.active")], ["false", t("users.inactive")]] },
        {
            name: "inactive", label: t("users.inactiveSince"), value: before.inactive,
            options: [["", t("users.any")], ...[7, 30, 90].map((days) => [String(days), t("users.days", { days })])],
        },
    ].map(field));
    if (before.role) {
        offerRole(form, before.role);
        form.elements.role.value = before.role;
    }
    return form;
}

/** Puts a role to choose before the last choice, which asks for one. */
function offerRole(form, role) {
    const select = form.elements.role;
    if (![...select.options].some((one) => one.value === role)) {
        select.lastElementChild.before(h("option", { value: role }, role));
    }
}

/** A role is any text; most of them have been seen in rows. */
const askRole = (form) => formDialog({
    title: t("users.otherRole"), action: t("audit.show"),
    fields: [{ name: "role", label: t("users.role"), required: true, maxlength: "64" }],
    submit: ({ role }) => {
        offerRole(form, role);
        form.elements.role.value = role;
    },
});

/** The filters as the service has them. */
function question({ q, role, active, inactive }) {
    return {
        q, role: role === otherRole ? null : role, active,
        inactive_since: inactive ? startOf(addDays(today(), -Number(inactive))) : null,
    };
}

function columns(isAdmin, ordersTokens, act) {
    const count = (label, name, tone) => ({
        label, numeric: true, value: (row) => row.keys[name],
        cell: (row) => h("span", { class: row.keys[name] ? tone : null }, number(row.keys[name])),
    });
    const tokens = (row) => row.usage.totals.tokens ?? 0;
    return [
        {
            label: t("users.username"), orders: orders.username,
            cell: nameWithID,
        },
        { label: t("users.email"), orders: orders.email, isWide: true, cell: (row) => mail(row.email) },
        { label: t("users.role"), value: (row) => row.role, cell: (row) => row.role },
        ...(isAdmin ? [
            {
                ...count(t("users.assigned"), "current_assigned_keys"),
                cell: (row) => button(number(row.keys.current_assigned_keys), () => act(showKeys, row), {
                    class: "link", "aria-label": t("users.keysOf", { count: row.keys.current_assigned_keys, name: nameAndID(row) }),
                }),
            },
            count(t("users.activeKeys"), "active_keys_count", "good"),
            count(t("users.ready"), "ready_keys_count", "info"),
            count(t("users.received"), "total_keys_received"),
            count(t("users.used"), "total_keys_used"),
        ] : []),
        {
            label: t("users.tokens"), numeric: true, cell: (row) => number(tokens(row)),
            ...(ordersTokens ? { orders: orders.tokens } : { value: tokens }),
        },
        {
            label: t("users.lastSeen"), isTime: true, value: (row) => row.usage.last_event_at ?? "",
            cell: (row) => h("span", { title: dateTime(row.usage.last_event_at) }, instantDate(row.usage.last_event_at)),
        },
        {
            label: t("users.status"), value: (row) => String(row.active),
            cell: (row) => [
                h("span", { class: row.active ? "good" : "bad" }, row.active ? t("users.active") : t("users.inactive")),
                row.demo ? [" ", h("span", { class: "tag" }, t("users.demo"))] : null,
            ],
        },
        ...(isAdmin ? [{
            label: t("users.actions"), isWide: true,
            cell: (row) => h("div", { class: "row-actions" }, [
                [t("users.edit"), editProfile], [t("users.assign"), assignKeys],
                [t("users.credits"), adjustCredits],
            ].map(([label, action]) => button(label, () => act(action, row), {
                class: "small", "aria-label": t("users.actionFor", { action: label, name: nameAndID(row) }),
            }))),
        }] : []),
    ];
}

/** An e-mail, which breaks before its @ where there is little room. */
function mail(address) {
    const [name, ...domain] = (address ?? "–").split(/(?=@)/);
    return h("span", { class: "long" }, name, h("wbr"), domain.join(""));
}

/** All users that pass the filters, as a table for spreadsheets, read page by page. */
async function exportCSV(filter, isAdmin, order) {
    const head = ["id", "username", "email", "role", "active", "tokens", "last_event_at"];
    const keys = ["current_assigned_keys", "active_keys_count", "ready_keys_count", "total_keys_received", "total_keys_used"];
    const lines = [[...head, ...(isAdmin ? keys : [])]];
    // By a number that grows meanwhile, somebody could be told twice or be left out.
    const sort = order === byTokens ? firstOrder : order;
    let cursor = null;
    do {
        const answer = await api.get("/v1/subjects", {
            ...filter, kind: "user", sort, limit: 1000, cursor, include: isAdmin ? "usage,keys" : "usage",
        });
        for (const row of answer.subjects) {
            lines.push([
                row.id, row.username, row.email, row.role, row.active, row.usage.totals.tokens ?? 0, row.usage.last_event_at,
                ...(isAdmin ? keys.map((name) => row.keys[name]) : []),
            ]);
        }
        cursor = answer.next;
    } while (cursor);
    save(lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n", `users-${today()}.csv`);
}

/** A cell that no spreadsheet runs: as the service's own exports do it. */
function cell(value) {
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    const text = String(value ?? "");
    const isFormula = /^[\s\u00a0]*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]/.test(text);
    return `"${(isFormula ? `'${text}` : text).replaceAll('"', '""')}"`;
}

function save(text, name) {
    const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    const link = h("a", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
