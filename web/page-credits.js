// SPDX-License-Identifier: Apache-2.0
// How credits are taken: overview, trend, actions, consumers, unusual events, one user.

import * as api from "./api.js";
import { asked, keepInAddress } from "./asked.js";
import { byAction, called, eventColumns } from "./credit-tables.js";
import { UserDetail } from "./credit-user.js";
import { button, fill, h } from "./dom.js";
import { field, values } from "./dialog.js";
import { credits, day, dateTime, money, number } from "./format.js";
import { t } from "./i18n.js";
import { findSubject } from "./people.js";
import { Plot, removePlots } from "./plots.js";
import { plainTable, Table } from "./table.js";
import { loading, missingTile, showPart, tile, warnings } from "./tiles.js";

const base = "/api/v1/admin/credits";
// All events of these days are looked through.
const unusualDays = 7;
const lengths = ["7", "30", "90", "365"];
const shownBalances = 50;

export async function open({ main, onLeave }) {
    const form = h("form", {
        class: "filters", onsubmit: (event) => event.preventDefault(),
        onchange: () => {
            detail.again();
            show();
        },
    }, field({
        name: "days", label: t("period.title"), value: lengths.find((count) => count === asked().days) ?? "30",
        options: lengths.map((count) => [count, t("period.days", { count })]),
    }));
    let { subject } = asked();
    const keep = () => keepInAddress({ days: values(form).days === "30" ? null : values(form).days, subject });
    const detail = new UserDetail(() => Number(values(form).days), (id) => {
        subject = id;
        keep();
    });
    const summary = h("div");
    const actions = h("div", { class: "actions" }, button(t("credits.export"), () =>
        api.download(`${base}/export.csv`, {}, "balances.csv")));
    const lookUp = (who) => detail.show(who);
    const found = (text) => findSubject(text).then(({ id, profile }) => profile ?? { id });
    const [people, events] = [balances(lookUp), unusual(lookUp)];
    const search = h("form", {
        class: "filters", role: "search",
        onsubmit: (event) => {
            event.preventDefault();
            const { subject: text } = values(search);
            if (text) lookUp(found(text));
        },
    }, field({ name: "subject", label: t("credits.find"), required: true }),
    h("button", { type: "submit", class: "primary" }, t("audit.show")));
    main.append(h("div", { class: "toolbar" }, form, actions), summary, search, detail.element, people.element, events.element);

    const [figures, trend, taken, consumed, lacks] = Array.from({ length: 5 }, () => h("div"));
    const charges = h("section", { class: "panel" });
    summary.append(figures, trend, h("div", { class: "columns" }, h("div", null, taken, charges), consumed), lacks);
    let turns = 0;

    const put = (element, turn, answer, draw) => showPart(element, answer, draw, { isAsked: () => turn === turns, retry: show });

    async function show() {
        const turn = ++turns;
        const { days } = values(form);
        keep();
        summary.setAttribute("aria-busy", "true");
        const covered = h("span", null, "…");
        const overview = api.get(`${base}/overview`, { days });
        await Promise.all([
            put(trend, turn, api.get(`${base}/daily-trend`, { days }), ({ daily_trend: rows }) => {
                removePlots();
                return charts(rows);
            }),
            put(figures, turn, overview, (found) => {
                fill(lacks, warnings(found));
                return tiles(found, covered, api.get("/v1/forecast", { meter: "credits_micro" }), api.get(`${base}/health`));
            }),
            put(taken, turn, overview, (found) => byAction(found.by_action_type)),
            put(consumed, turn, api.get(`${base}/top-consumers`, { days, limit: 10 }), (found) => consumers(found.top_consumers, lookUp)),
        ]);
        if (turn !== turns) return;
        summary.removeAttribute("aria-busy");
        showCoverage(covered, lacks);
        costs(charges, days);
    }
    onLeave(() => {
        turns += 1;
        detail.leave();
    });
    if (subject) detail.again(found(subject));
    await show();
    // What is furthest down, and takes longest, does not delay the rest.
    for (const list of [people, events]) if (main.contains(list.element)) await list.read();
}

/** The figures; those that are read by themselves come behind the others. */
function tiles(overview, covered, forecast, health) {
    const inCredits = (value) => (value === null ? "–" : credits(value / 1_000_000));
    const interval = (found) => found.interval
        ? t("credits.interval", { low: inCredits(found.interval.low), high: inCredits(found.interval.high) }) : null;
    return h("dl", { class: "tiles" },
        tile(t("credits.total"), credits(overview.total_credits), t("credits.events", { count: number(overview.total_events) })),
        tile(t("credits.cost"), money(overview.total_api_cost_dollars)),
        tile(t("credits.activeUsers"), number(overview.active_users), covered),
        laterTile(t("credits.forecast"), forecast, (found) => [inCredits(found.forecast), interval(found)]),
        laterTile(t("credits.lastHour"), health, (found) =>
            [number(found.events_last_hour), t("credits.lastEvent", { time: dateTime(found.last_event) })]));
}

/** A tile whose figure and note come later. */
function laterTile(label, answer, read) {
    const element = tile(label, "…");
    answer.then((found) => element.replaceWith(tile(label, ...read(found))),
        (error) => element.replaceWith(missingTile(label, error)));
    return element;
}

function charts(rows) {
    const labels = rows.map((row) => day(row.date));
    return h("div", { class: "columns" },
        new Plot({
            title: t("credits.trend"), labelTitle: t("workspace.day"), labels, series: [
                { label: t("users.credits"), values: rows.map((row) => row.total_credits), format: credits },
                { label: t("credits.eventCount"), values: rows.map((row) => row.events), format: number },
            ],
        }).element,
        new Plot({
            title: t("credits.usersByDay"), type: "bar", labelTitle: t("workspace.day"), labels, series: [
                { label: t("usage.users"), values: rows.map((row) => row.unique_users), format: number },
            ],
        }).element);
}

/** A name that opens the detail. */
const person = (row, lookUp) => button(h("bdi", null, called(row)), () => lookUp(row), { class: "link" });

const consumers = (rows, lookUp) => h("section", { class: "panel" }, h("h2", null, t("credits.top")), plainTable(t("credits.top"), [
    { label: t("users.username"), cell: (row) => person(row, lookUp) },
    { label: t("credits.eventCount"), numeric: true, value: (row) => row.events, cell: (row) => number(row.events) },
    { label: t("users.credits"), numeric: true, value: (row) => row.total_credits, cell: (row) => credits(row.total_credits) },
], rows));

/** Charges beside costs, in an element. After a start the service takes seconds to count them: they come behind the rest. */
function costs(element, days) {
    const content = h("div");
    async function read() {
        fill(content, loading());
        try {
            const { validation, credit_rate: rate } = await api.get(`${base}/validation`, { days });
            fill(content, h("p", { class: "muted" }, t("credits.validationText", { rate: number(rate, 6) })),
                plainTable(t("credits.validation"), validationColumns(), validation));
        } catch (error) {
            fill(content, h("p", { class: error.status === 503 ? "warn" : "error", role: "alert" }, error.message),
                button(t("table.retry"), read));
        }
    }
    fill(element, h("h2", null, t("credits.validation")), content);
    read();
}

const validationColumns = () => [
    { label: t("event.action"), cell: (row) => row.action_type },
    { label: t("credits.eventCount"), numeric: true, cell: (row) => number(row.event_count) },
    { label: t("credits.charged"), numeric: true, cell: (row) => credits(row.total_credits_charged) },
    { label: t("credits.expected"), numeric: true, cell: (row) => credits(row.expected_credits_from_api) },
    {
        label: t("credits.difference"), numeric: true,
        cell: (row) => h("span", { class: row.difference ? "bad" : "good" }, credits(row.difference)),
    },
];

/** Who has a balance, for which all accounts are looked through: it comes behind the rest. */
async function showCoverage(covered, lacks) {
    try {
        const coverage = await api.get(`${base}/coverage`, { limit: 10 });
        // The sums of another period have been asked for since.
        if (!covered.isConnected) return;
        const nameless = coverage.users_without_balance.map((name, index) => [index ? ", " : null, h("bdi", null, name)]);
        fill(covered, t("credits.coverage", { with: number(coverage.users_with_balance), of: number(coverage.total_users) }));
        lacks.append(...[coverage.demo_events ? h("p", { class: "warn" }, t("credits.demo", { count: number(coverage.demo_events) })) : null,
        nameless.length ? h("p", { class: "muted" }, t("credits.without", { users: "" }), nameless) : null].filter(Boolean));
    } catch (error) {
        fill(covered, h("span", { class: "error" }, error.message));
    }
}

function balances(lookUp) {
    const sort = h("select", { "aria-label": t("credits.sort"), onchange: () => table.reload() },
        ["consumed", "total", "balance", "email"].map((name) => h("option", { value: name }, t(`credits.by.${name}`))));
    const table = new Table({
        caption: t("credits.balances"),
        columns: [
            { label: t("users.username"), value: called, cell: (row) => person(row, lookUp) },
            { label: t("users.email"), cell: (row) => row.email ?? "–" },
            ...["current_balance", "monthly_allowance", "current_month_consumed", "total_consumed"].map((name) => ({
                label: t(`credits.${name}`), numeric: true, value: (row) => row[name],
                cell: (row) => h("span", { class: row[name] < 0 ? "bad" : null }, credits(row[name])),
            })),
            { label: t("credits.reset"), isTime: true, cell: (row) => dateTime(row.next_reset_at) },
        ],
        load: async ({ signal }) => {
            const { users: rows } = await api.get(`${base}/users`, { limit: shownBalances, sort_by: sort.value }, signal);
            more.hidden = rows.length < shownBalances;
            return { rows };
        },
    });
    // There may be more, without further pages of them.
    const more = h("p", { class: "muted", hidden: true }, t("credits.first", { count: number(shownBalances) }));
    const element = h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", null, t("credits.balances")), sort), table.element, more);
    return { element, read: () => table.read() };
}

function unusual(lookUp) {
    const least = h("input", { type: "number", min: "0", step: "any", value: "1", "aria-label": t("credits.least"), onchange: () => table.reload() });
    const table = new Table({
        caption: t("credits.unusual"),
        // Their own `id` is that of the event.
        columns: eventColumns([{ label: t("users.username"), cell: (row) => person({ ...row, id: row.subject }, lookUp) }]), isFiltered: () => true,
        load: async ({ cursor, signal }) => {
            const answer = await api.get(`${base}/events`, {
                min_credits: least.value || "0", days: unusualDays, sort: "credits", limit: 20, cursor,
            }, signal);
            return { rows: answer.events, next: answer.next };
        },
    });
    const element = h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", null, t("credits.unusual")),
        h("span", { class: "muted" }, t("period.days", { count: unusualDays })), h("span", null, t("credits.least"), " ", least)), table.element);
    return { element, read: () => table.read() };
}
