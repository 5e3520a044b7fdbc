// SPDX-License-Identifier: Apache-2.0
// Who is told when so much is used, and what could not be told.

import * as api from "./api.js";
import { button, h } from "./dom.js";
import { confirmDialog, formDialog, showDialog } from "./dialog.js";
import { dateTime, money, number } from "./format.js";
import { t } from "./i18n.js";
import { findSubject } from "./people.js";
import { readOrSay, Rules } from "./rules.js";
import { plainTable, Table } from "./table.js";

export async function open({ main, say, signal }) {
    let limits = [];
    // The answer to a change has the secrets of webhooks that are new: no other has, and nothing that is sent.
    const shown = (value) => value.alerts.map(({ secret, ...alert }) => alert);
    const show = (value, save) => showAlerts(shown(value), limits, async (changed) => {
        const answer = await save({ alerts: changed });
        for (const alert of answer.alerts.filter((one) => one.secret)) {
            showDialog(t("alerts.secret", { name: alert.name }), h("p", null, t("alerts.secretText")), h("pre", { tabindex: "0" }, alert.secret));
        }
    });
    const alerts = new Rules("/v1/alerts", { title: t("page.alerts"), say, show });
    main.append(alerts.element, deliveries("pending", say), deliveries("dead", say));
    await readOrSay(alerts.element, async () => {
        limits = (await api.get("/v1/limits", null, signal)).limits.map((limit) => limit.name);
        await alerts.read();
    });
}

function showAlerts(alerts, limits, save) {
    const replace = (index, ...others) => save(alerts.toSpliced(index, 1, ...others));
    const named = (label, alert, action) =>
        button(label, action, { class: "small", "aria-label": t("users.actionFor", { action: label, name: alert.name }) });
    return [
        h("h2", null, t("page.alerts")), h("p", { class: "muted" }, t("alerts.text")),
        plainTable(t("page.alerts"), [
            { label: t("limits.name"), cell: (alert) => alert.name },
            { label: t("alerts.on"), cell: (alert) => subjectOf(alert.on) },
            { label: t("alerts.percent"), cell: (alert) => alert.percent.map((one) => `${number(one)} %`).join(", ") },
            { label: t("event.subject"), cell: (alert) => alert.subject ?? (alert.on.budget ? "–" : t("alerts.all")) },
            { label: t("alerts.to"), cell: (alert) => alert.to.webhook ?? alert.to.email },
            {
                label: t("users.actions"),
                cell: (alert) => h("div", { class: "row-actions" },
                    named(t("users.edit"), alert, () => alertDialog(alert, limits, (changed) => replace(alerts.indexOf(alert), changed))),
                    named(t("keys.delete"), alert, () => confirmDialog(t("keys.delete"),
                        t("alerts.deleteText", { name: alert.name }), t("keys.delete"), () => replace(alerts.indexOf(alert))))),
            },
        ], alerts, t("alerts.none")),
        button(t("alerts.add"), () => alertDialog(null, limits, (added) => save([...alerts, added]))),
    ];
}

function subjectOf(on) {
    if (on.budget !== undefined) return t("alerts.budgetOf", { budget: money(Number(on.budget)) });
    return on.limit ? t("alerts.limitOf", { name: on.limit }) : t("alerts.balance");
}

function alertDialog(alert, limits, save) {
    // Nothing else is chosen in the place of a limit that was deleted since.
    const isGone = alert?.on.limit !== undefined && !limits.includes(alert.on.limit);
    return formDialog({
        title: alert ? t("users.editTitle", { name: alert.name }) : t("alerts.add"),
        fields: [
            { name: "name", label: t("limits.name"), value: alert?.name, required: true, maxlength: "64" },
            {
                name: "on", label: t("alerts.on"), value: alert?.on.limit ? `limit:${alert.on.limit}` : alert?.on.budget ? "budget" : "balance",
                options: [["balance", t("alerts.balance")], ["budget", t("alerts.budget")],
                    ...limits.map((name) => [`limit:${name}`, t("alerts.limitOf", { name })]),
                    ...(isGone ? [[`limit:${alert.on.limit}`, t("alerts.limitGone", { name: alert.on.limit })]] : [])],
            },
            { name: "budget", label: t("alerts.amount"), value: alert?.on.budget ?? "", type: "decimal", help: t("alerts.amountHelp") },
            { name: "percent", label: t("alerts.percent"), value: alert?.percent.join(", ") ?? "80, 100", required: true, pattern: "[0-9, ]+" },
            { name: "subject", label: t("event.subject"), value: alert?.subject ?? "", help: `${t("alerts.subjectHelp")} ${t("people.help")}` },
            { name: "to", label: t("alerts.to"), value: alert?.to.webhook ?? alert?.to.email, required: true, help: t("alerts.toHelp") },
        ],
        submit: async ({ name, on, budget, percent, subject, to }) => {
            const changed = {
                name, percent: percent.split(/[, ]+/).filter(Boolean).map(Number),
                on: on === "budget" ? { budget } : on === "balance" ? { balance: true } : { limit: on.slice("limit:".length) },
                to: to.includes("://") ? { webhook: to } : { email: to },
            };
            // Who it is about already needs not be looked for again.
            if (subject) changed.subject = subject === alert?.subject ? subject : (await findSubject(subject)).id;
            return save(changed);
        },
    });
}

/** Notices that are on their way, or were given up. */
function deliveries(status, say) {
    const title = t(`alerts.${status}`);
    const table = new Table({
        caption: title, empty: t("alerts.noDeliveries"),
        columns: [
            { label: t("alerts.reached"), isTime: true, cell: (one) => dateTime(one.reached_at) },
            { label: t("limits.name"), cell: (one) => one.alert },
            { label: t("alerts.percent"), numeric: true, cell: (one) => `${number(one.percent)} %` },
            { label: t("event.subject"), cell: (one) => one.subject ?? "–" },
            { label: t("alerts.attempts"), numeric: true, cell: (one) => number(one.attempts) },
            { label: t("keys.lastError"), cell: (one) => one.last_error ?? "–" },
            { label: t(`alerts.${status}At`), isTime: true, cell: (one) => dateTime(one.due_at ?? one.given_up_at) },
            ...(status === "dead" ? [{
                label: t("users.actions"),
                cell: (one) => button(t("table.retry"), async () => {
                    await api.post(`/v1/alerts/deliveries/${api.segment(one.id)}/retry`);
                    say(t("alerts.sentAgain", { name: one.alert }));
                    await table.read();
                }, { class: "small", "aria-label": t("users.actionFor", { action: t("table.retry"), name: one.id }) }),
            }] : []),
        ],
        load: async ({ cursor, signal }) => {
            const answer = await api.get("/v1/alerts/deliveries", { status, limit: 20, cursor }, signal);
            return { rows: answer.deliveries, next: answer.next };
        },
    });
    table.read();
    return h("section", { class: "panel" }, h("h2", null, title), table.element);
}
