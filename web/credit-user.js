// SPDX-License-Identifier: Apache-2.0
// One user's credits: balance, forecast, events, ledger.

import * as api from "./api.js";
import { byAction, called, eventColumns } from "./credit-tables.js";
import { button, fill, h, rememberFocus } from "./dom.js";
import { addDays, credits, dateTime, today } from "./format.js";
import { t, word } from "./i18n.js";
import { plainTable, Table } from "./table.js";
import { creditTiles, loading, showPart } from "./tiles.js";

const recentEvents = 20;

/** Shows one user at a time, with what it did in the days that are chosen. */
export class UserDetail {
    /**
     * @param days () => how many days up to today
     * @param note (id) => notes who is shown; null for nobody
     */
    constructor(days, note) {
        Object.assign(this, { days, note });
        this.giveBack = () => {};
        this.element = h("div", { "aria-live": "polite" });
        this.turns = 0;
        this.subject = null;
    }

    /** @param subject who it is, or a promise of it: of whoever was asked for last is shown. */
    async show(subject) {
        this.subject = subject;
        this.giveBack = rememberFocus();
        const heading = await this.read();
        heading?.focus();
    }

    /** Shows who is shown in the days of now, or somebody who was shown before. The focus stays where it is. */
    async again(subject = this.subject) {
        this.subject = subject;
        if (subject) await this.read();
    }

    close() {
        this.leave();
        this.subject = null;
        this.note(null);
        fill(this.element);
        this.giveBack();
    }

    leave() { this.turns += 1; }

    async read() {
        const turn = ++this.turns;
        const isAsked = () => turn === this.turns;
        fill(this.element, loading());
        try {
            const who = await this.subject;
            const path = `/v1/credits/${api.segment(who.id)}`;
            const from = addDays(today(), 1 - this.days());
            if (!isAsked()) return null;
            this.note(who.id);
            // What somebody did is read behind the rest, and its sums may take long: each is shown when it comes.
            const events = api.get(`/v1/subjects/${api.segment(who.id)}/events`, { from, limit: recentEvents });
            const sums = api.get("/v1/series", { meter: "credits_micro", bucket: "day", group_by: "action", subject: who.id, from });
            for (const one of [events, sums]) one.catch(() => {});
            const [account, forecast] = await Promise.all([api.get(path), api.get(`${path}/forecast`).catch((error) => error)]);
            if (!isAsked()) return null;
            const heading = h("h2", { tabindex: "-1" }, h("bdi", null, called(who)));
            const [actions, recent] = [h("div"), h("div")];
            fill(this.element, this.panel(who, heading, creditTiles(account, forecast),
                h("div", { class: "columns" }, actions, ledger(path)), recent));
            showPart(actions, sums, (found) => byAction(sumsByAction(found)));
            showPart(recent, events, (found) => [
                h("h3", null, t("credits.recent")), plainTable(t("credits.recent"), eventColumns(), found.events.map(asMonitored)),
            ]);
            return heading;
        } catch (error) {
            if (isAsked()) fill(this.element, h("p", { class: "error", role: "alert" }, error.message));
            return null;
        }
    }

    panel(who, heading, ...content) {
        const isNamed = called(who) !== who.id;
        return h("section", { class: "panel" },
            h("div", { class: "panel-head" }, heading,
                h("span", { class: "muted" }, h("bdi", null, who.email ?? (isNamed ? who.id : ""))),
                button(t("dialog.close"), () => this.close())),
            content);
    }
}

/** The rows of `byAction` from a series that is grouped by it, most credits first. */
function sumsByAction({ buckets }) {
    const sums = new Map();
    for (const { action, value, events } of buckets.flatMap((bucket) => bucket.groups)) {
        const sum = sums.get(action) ?? { value: 0, events: 0 };
        sums.set(action, { value: sum.value + value, events: sum.events + events });
    }
    return [...sums].filter(([, { value, events }]) => value || events).sort(([, left], [, right]) => right.value - left.value)
        .map(([action, { value, events }]) => ({
            action_type: action ?? "–", event_count: events, total_credits: value / 1_000_000,
            avg_per_event: events ? value / 1_000_000 / events : 0,
        }));
}

/** An event of the history as the credits' lists have it. */
const asMonitored = (event) => ({
    ...event, timestamp: event.time, action_type: event.action, credits: event.credits ?? 0,
    input_tokens: event.meters.input_tokens ?? 0, output_tokens: event.meters.output_tokens ?? 0,
});

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
