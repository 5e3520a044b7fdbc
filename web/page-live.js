// SPDX-License-Identifier: Apache-2.0
// What is counted now: events a second, a leaderboard that moves, the latest events.

import * as api from "./api.js";
import { asked, keepInAddress } from "./asked.js";
import { fill, h, sparkline } from "./dom.js";
import { field, values } from "./dialog.js";
import { amountOf, clock, meterName, number, today } from "./format.js";
import { t } from "./i18n.js";
import { findSubject } from "./people.js";
import { follow } from "./stream.js";
import { Table } from "./table.js";

const shownEvents = 20;
const shownSeconds = 60;
const boardPause = 2000;

export async function open({ main, signal, onLeave }) {
    const { ranked_meters: meters } = await api.get("/v1/workspace", null, signal);
    const before = asked();
    const form = h("form", { class: "filters", onsubmit: (event) => event.preventDefault(), onchange: () => restart() }, [
        { name: "meter", label: t("live.meter"), options: meters.map((name) => [name, meterName(name)]) },
        { name: "action", label: t("live.action"), placeholder: t("users.any") },
        { name: "subject", label: t("live.subject"), placeholder: t("users.any"), help: t("people.help") },
    ].map((one) => field({ ...one, value: before[one.name] })));
    const state = h("span", { class: "tag", role: "status" });
    const rate = h("strong", { class: "figure", id: "rate" }, "–");
    const sums = h("dl", { class: "facts" });
    const sumsTitle = h("p", { class: "muted", hidden: true }, t("live.second"));
    const line = h("div", { class: "line" });
    const board = new Board();
    const events = new Table({ caption: t("live.latest"), columns: columns(), empty: t("live.quiet") });
    main.append(form,
        h("div", { class: "columns" },
            h("section", { class: "panel rate" }, h("h2", null, t("live.rate")), h("p", null, rate, " ", state), line,
                h("p", { class: "muted" }, t("live.minute")), sumsTitle, sums),
            h("section", { class: "panel" }, h("h2", null, t("live.board")), board.element)),
        h("section", { class: "panel" }, h("h2", null, t("live.latest")), events.element));

    let rates = [];
    let latest = [];
    let turns = 0;
    let stop = () => {};
    const showRates = (sumsOf) => {
        fill(rate, number(rates.at(-1)));
        fill(line, sparkline([...Array(shownSeconds - rates.length).fill(0), ...rates]));
        sumsTitle.hidden = !Object.keys(sumsOf).length;
        fill(sums, Object.entries(sumsOf).map(([name, amount]) =>
            h("div", null, h("dt", null, meterName(name)), h("dd", null, amountOf(name, amount)))));
    };
    /** What was told of the seconds before is not so any more. */
    function forgetRates() {
        rates = [];
        showRates({});
    }
    function show(newer, older) {
        // A row that is shown stays the one that it is.
        const known = new Map(older.map((event) => [event.id, event]));
        const ids = new Set(newer.map((event) => event.id));
        latest = [...newer.map((event) => known.get(event.id) ?? event), ...older.filter((event) => !ids.has(event.id))].slice(0, shownEvents);
        events.show(latest);
    }
    function take(summary) {
        rates = [...rates, summary.events].slice(-shownSeconds);
        showRates(summary.meters);
        if (!summary.events) return;
        show(summary.latest.toReversed(), latest);
        board.isStale = true;
    }
    const showState = (name, detail) => {
        state.className = name === "open" ? "tag good" : "tag bad";
        fill(state, t(`live.${name}`), detail ? `: ${detail}` : "");
        if (name !== "open") forgetRates();
    };
    async function restart() {
        stop();
        const { meter, action, subject: text } = values(form);
        keepInAddress({ meter: meter === meters[0] ? null : meter, action, subject: text });
        const turn = ++turns;
        forgetRates();
        show([], []);
        board.show(meter);
        let subject = null;
        try {
            if (text) subject = (await findSubject(text)).id;
        } catch (error) {
            if (turn === turns) showState("refused", error.message);
            return;
        }
        if (turn !== turns) return;
        // What the stream does not bring is no more than a beginning: without it, the page waits for events.
        api.get("/v1/events", { action, subject, from: today(), limit: shownEvents })
            .then(({ events: past }) => { if (turn === turns) show(latest, past.filter((event) => meter in event.meters)); }, () => {});
        stop = follow("/v1/stream", { summary: "true", meter, action, subject }, {
            message: (type, data) => { if (type === "summary") take(JSON.parse(data)); },
            state: showState,
        });
    }
    onLeave(() => {
        turns += 1;
        stop();
        board.stop();
    });
    restart();
}

const columns = () => [
    { label: t("event.subject"), cell: (event) => event.subject },
    { label: t("event.time"), isTime: true, cell: (event) => clock(event.time) },
    { label: t("event.action"), cell: (event) => event.action },
    { label: t("event.model"), cell: (event) => event.model ?? "–" },
    {
        label: t("event.meters"), isWide: true,
        cell: (event) => Object.entries(event.meters).map(([name, amount]) => `${meterName(name)} ${amountOf(name, amount)}`).join(" · "),
    },
];

/** Who used most today; asked for again when something was counted. */
class Board {
    constructor() {
        this.list = h("ol", { class: "board", id: "board" });
        this.status = h("p", { class: "status", role: "status" });
        this.element = h("div", null, this.list, this.status);
        this.isStale = false;
        this.timer = setInterval(() => { if (this.isStale && !document.hidden) this.read(); }, boardPause);
    }

    show(meter) {
        this.meter = meter;
        fill(this.list);
        this.read();
    }

    stop() {
        clearInterval(this.timer);
        this.meter = null;
    }

    async read() {
        const meter = this.meter;
        this.isStale = false;
        try {
            const { entries } = await api.get(`/v1/leaderboards/${api.segment(meter)}`, { window: "1d", limit: 10 });
            if (meter === this.meter) this.put(entries);
        } catch (error) {
            if (meter === this.meter) fill(this.status, h("span", { class: "error" }, error.message));
        }
    }

    put(entries) {
        const before = new Map([...this.list.children].map((item) => [item.dataset.subject, item.getBoundingClientRect().top]));
        const most = entries[0]?.value || 1;
        fill(this.status, entries.length ? "" : t("live.nobody"));
        fill(this.list, entries.map((entry) => h("li", { "data-subject": entry.subject },
            h("bdi", { class: "name" }, entry.subject), h("span", { class: "number" }, amountOf(this.meter, entry.value)),
            h("meter", { min: "0", max: String(most), value: entry.value, "aria-hidden": "true" }))));
        if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
        for (const item of this.list.children) {
            const offset = (before.get(item.dataset.subject) ?? item.getBoundingClientRect().top) - item.getBoundingClientRect().top;
            if (offset) item.animate([{ transform: `translateY(${offset}px)` }, { transform: "none" }], { duration: 400, easing: "ease-out" });
        }
    }
}
