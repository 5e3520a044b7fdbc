// SPDX-License-Identifier: Apache-2.0
// What is counted now: events a second, a leaderboard that moves, the latest events.

import * as api from "./api.js";
import { fill, h, sparkline } from "./dom.js";
import { field, values } from "./dialog.js";
import { clock, number, today } from "./format.js";
import { t } from "./i18n.js";
import { follow } from "./stream.js";

const shownEvents = 20;
const shownSeconds = 60;
const boardPause = 2000;

export async function open({ main, onLeave }) {
    const { ranked_meters: meters } = await api.get("/v1/workspace");
    const form = h("form", { class: "filters", onsubmit: (event) => event.preventDefault(), onchange: () => restart() }, [
        { name: "meter", label: t("live.meter"), options: meters.map((name) => [name, name]) },
        { name: "action", label: t("live.action"), placeholder: t("users.any") },
        { name: "subject", label: t("live.subject"), placeholder: t("users.any") },
    ].map(field));
    const state = h("span", { class: "tag", role: "status" });
    const rate = h("strong", { class: "figure", id: "rate" }, "0");
    const sums = h("dl", { class: "facts" });
    const line = h("div", { class: "line" });
    const board = new Board();
    const events = h("tbody");
    const quiet = h("p", { class: "status" }, t("live.quiet"));
    main.append(form,
        h("div", { class: "columns" },
            h("section", { class: "panel rate" }, h("h2", null, t("live.rate")), h("p", null, rate, " ", state), line,
                h("p", { class: "muted" }, t("live.minute")), sums),
            h("section", { class: "panel" }, h("h2", null, t("live.board")), board.element)),
        h("section", { class: "panel" }, h("h2", { id: "latest" }, t("live.latest")),
            h("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "latest" },
                h("table", null, h("thead", null, h("tr", null,
                    [t("event.time"), t("event.subject"), t("event.action"), t("event.model"), t("event.meters")]
                        .map((label) => h("th", { scope: "col" }, label)))), events)), quiet));

    let rates = [];
    let latest = [];
    let turns = 0;
    let stop = () => {};
    const showRates = () => {
        fill(rate, number(rates.at(-1) ?? 0));
        fill(line, sparkline([...Array(shownSeconds - rates.length).fill(0), ...rates]));
    };
    function show(newer, older) {
        const known = new Set(newer.map((event) => event.id));
        latest = [...newer, ...older.filter((event) => !known.has(event.id))].slice(0, shownEvents);
        quiet.hidden = latest.length > 0;
        fill(events, latest.map((event) => h("tr", null,
            h("td", null, clock(event.time)), h("th", { scope: "row" }, event.subject), h("td", null, event.action),
            h("td", null, event.model ?? "–"),
            h("td", null, Object.entries(event.meters).map(([name, amount]) => `${name} ${number(amount)}`).join(" · ")))));
    }
    function take(summary) {
        rates = [...rates, summary.events].slice(-shownSeconds);
        showRates();
        fill(sums, Object.entries(summary.meters).map(([name, amount]) =>
            h("div", null, h("dt", null, name), h("dd", null, number(amount)))));
        if (!summary.events) return;
        show(summary.latest.toReversed(), latest);
        board.isStale = true;
    }
    function restart() {
        stop();
        const { meter, action, subject } = values(form);
        [rates, latest] = [[], []];
        showRates();
        show([], []);
        board.show(meter);
        const turn = ++turns;
        // What the stream does not bring is no more than a beginning: without it, the page waits for events.
        api.get("/v1/events", { action, subject, from: today(), limit: shownEvents })
            .then(({ events: past }) => { if (turn === turns) show(latest, past); }, () => {});
        stop = follow("/v1/stream", { summary: "true", action, subject }, {
            message: (type, data) => { if (type === "summary") take(JSON.parse(data)); },
            state: (name, detail) => {
                state.className = name === "open" ? "tag good" : "tag bad";
                fill(state, t(`live.${name}`), detail ? `: ${detail}` : "");
            },
        });
    }
    onLeave(() => {
        turns += 1;
        stop();
        board.stop();
    });
    restart();
}

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
            h("span", { class: "name" }, entry.subject), h("span", { class: "number" }, number(entry.value)),
            h("meter", { min: "0", max: String(most), value: entry.value, "aria-hidden": "true" }))));
        if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
        for (const item of this.list.children) {
            const offset = (before.get(item.dataset.subject) ?? item.getBoundingClientRect().top) - item.getBoundingClientRect().top;
            if (offset) item.animate([{ transform: `translateY(${offset}px)` }, { transform: "none" }], { duration: 400, easing: "ease-out" });
        }
    }
}
