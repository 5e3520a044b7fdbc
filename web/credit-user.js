// SPDX-License-Identifier: Apache-2.0
// One user's credits: balance, forecast, events, ledger.

import * as api from "./api.js";
import { button, fill, h } from "./dom.js";
import { credits, dateTime } from "./format.js";
import { t, word } from "./i18n.js";
import { byAction, eventColumns } from "./page-credits.js";
import { plainTable, Table } from "./table.js";
import { creditTiles } from "./tiles.js";

/** Shows who has an e-mail in an element. */
export async function userDetail(element, email, days) {
    fill(element, h("p", { class: "status", role: "status" }, t("table.loading")));
    try {
        // All events of these days have to be looked through for it: it comes behind the rest.
        const events = api.get(`/api/v1/admin/credits/user/${api.segment(email)}`, { days });
        events.catch(() => {});
        const { subjects: [profile] } = await api.get("/v1/subjects", { email });
        // It knows whether there is anybody of this name.
        if (!profile) await events;
        // Who has no profile has its e-mail as id.
        const path = `/v1/credits/${api.segment(profile?.id ?? email)}`;
        const [account, forecast] = await Promise.all([api.get(path), api.get(`${path}/forecast`)]);
        const heading = h("h2", { tabindex: "-1" }, profile?.full_name ?? email);
        const actions = h("div");
        const recent = h("div");
        fill(element, h("section", { class: "panel" },
            h("div", { class: "panel-head" }, heading, h("span", { class: "muted" }, profile?.email ?? email),
                button(t("dialog.close"), () => fill(element))),
            creditTiles(account, forecast),
            h("div", { class: "columns" }, actions, ledger(path)), recent));
        heading.focus();
        await showEvents(actions, recent, events);
    } catch (error) {
        fill(element, h("p", { class: "error", role: "alert" }, error.message));
    }
}

async function showEvents(actions, recent, events) {
    fill(actions, h("p", { class: "status", role: "status" }, t("table.loading")));
    try {
        const found = await events;
        fill(actions, byAction(found.by_action_type));
        fill(recent, h("h3", null, t("credits.recent")), plainTable(t("credits.recent"), eventColumns(), found.recent_events));
    } catch (error) {
        fill(actions, h("p", { class: "error", role: "alert" }, error.message));
    }
}

function ledger(path) {
    const table = new Table({
        caption: t("credits.ledger"),
        columns: [
            { label: t("event.time"), isTime: true, cell: (line) => dateTime(line.time) },
            { label: t("credits.type"), cell: (line) => word("ledger", line.type) },
            {
                label: t("credits.amount"), numeric: true,
                cell: (line) => h("span", { class: line.amount < 0 ? null : "good" }, credits(line.amount)),
            },
            { label: t("credits.current_balance"), numeric: true, cell: (line) => credits(line.balance) },
            { label: t("credits.reference"), cell: (line) => line.reference ?? "–" },
        ],
        load: async ({ cursor, signal }) => {
            const answer = await api.get(`${path}/ledger`, { limit: 20, before: cursor }, signal);
            return { rows: answer.entries, next: answer.older };
        },
    });
    table.read();
    return h("section", { class: "panel" }, h("h2", null, t("credits.ledger")), table.element);
}
