// SPDX-License-Identifier: Apache-2.0
// What a workspace was charged: totals, days, hours, clients, months.

import * as api from "./api.js";
import { asked, keepInAddress } from "./asked.js";
import { button, fill, h } from "./dom.js";
import { field, values } from "./dialog.js";
import { addDays, change, day, money, month, number, today } from "./format.js";
import { t } from "./i18n.js";
import { dateField, isPeriod, onPeriodChange } from "./period.js";
import { Plot, removePlots } from "./plots.js";
import { plainTable } from "./table.js";
import { showPart, tile, warnings } from "./tiles.js";

const lengths = ["7", "30", "90"];

export async function open({ main, session }) {
    const path = (name) => `/api/usage/${name}/${api.segment(session.workspace)}`;
    const form = periodForm(() => show());
    const content = h("div");
    const exportAs = (format) => button(t("export.as", { format: format.toUpperCase() }), async () => {
        if (!isPeriod(form)) return;
        const { from, to } = period(form);
        await api.download(path("export"), { format, startDate: from, endDate: to }, `usage-${from}-${to}.${format}`);
    });
    main.append(h("div", { class: "toolbar" }, form, h("div", { class: "actions" }, exportAs("csv"), exportAs("json"))), content);

    const [figures, graphs, people, all, lacks] = Array.from({ length: 5 }, () => h("div"));
    content.append(figures, graphs, h("div", { class: "columns" }, people, all), lacks);
    let turns = 0;
    async function show() {
        const turn = ++turns;
        const { from, to, days } = period(form);
        const { days: last } = values(form);
        keepInAddress(last ? { days: last } : { from, to });
        content.setAttribute("aria-busy", "true");
        const put = (element, answer, draw) => showPart(element, answer, (found) => {
            removePlots(element);
            return draw(found);
        }, { isAsked: () => turn === turns, retry: show });
        const now = api.get(path("stats"), { startDate: from, endDate: to });
        const before = api.get(path("stats"), { startDate: addDays(from, -days), endDate: addDays(from, -1) });
        await Promise.all([
            put(figures, Promise.all([now, before]), ([found, past]) => overview(found, past)),
            put(graphs, now, charts),
            put(people, now, (found) => clients(found.topClients)),
            put(all, api.get(path("dashboard"), { period: 30 }), (found) => months(found.months)),
            now.then((found) => { if (turn === turns) fill(lacks, warnings(found)); }, () => {}),
        ]);
        if (turn === turns) content.removeAttribute("aria-busy");
    }
    await show();
}

/** Fields for a period: so many days up to today, or from a day to another. */
function periodForm(apply) {
    const before = asked();
    const form = h("form", {
        class: "filters",
        onchange: (event) => {
            const { days } = values(form);
            if (event.target.name === "days" && days) choose(days);
            else form.elements.days.value = "";
        },
    }, [
        {
            name: "days", label: t("period.title"), value: "",
            options: [...lengths.map((count) => [count, t("period.days", { count })]), ["", t("period.own")]],
        },
        { name: "from", label: t("period.from"), ...dateField, value: before.from, required: true },
        { name: "to", label: t("period.to"), ...dateField, value: before.to, required: true },
    ].map(field));
    function choose(days) {
        form.elements.days.value = days;
        form.elements.to.value = today();
        form.elements.from.value = addDays(today(), 1 - Number(days));
        isPeriod(form, false);
    }
    if (!isPeriod(form, false)) choose(lengths.find((count) => count === before.days) ?? "30");
    onPeriodChange(form, apply);
    return form;
}

function period(form) {
    const { from, to } = values(form);
    return { from, to, days: Math.max(1, Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000) + 1) };
}

const growth = (now, before) => (before ? ((now - before) / before) * 100 : null);

function overview(now, before) {
    const against = (value) => t("workspace.against", { change: change(value) });
    const { monthlyComparison: months } = now;
    // Where there was nothing, no day and no hour was before the others.
    const [busiest, peak] = [now.busiestDay, now.peakHour].map((one) => (one?.messages ? one : null));
    return h("dl", { class: "tiles" },
        tile(t("workspace.cost"), money(now.totalCost), against(growth(now.totalCost, before.totalCost))),
        tile(t("workspace.messages"), number(now.totalMessages), against(growth(now.totalMessages, before.totalMessages))),
        tile(t("workspace.perDay"), money(now.averageDailyCost), t("workspace.messagesPerDay", { count: number(now.averageDailyMessages, 1) })),
        tile(t("workspace.month"), money(months.currentMonth), t("workspace.againstMonth", { change: change(months.growth) })),
        tile(t("workspace.busiestDay"), busiest ? day(busiest.date) : "–",
            busiest ? t("workspace.count", { count: number(busiest.messages) }) : null),
        tile(t("workspace.peakHour"), peak ? hour(peak.hour) : "–",
            peak ? t("workspace.count", { count: number(peak.messages) }) : null));
}

const hour = (value) => `${String(value).padStart(2, "0")}:00`;

function charts({ dailyUsage: days, peakHours: hours }) {
    const messages = (rows) => ({ label: t("workspace.messages"), values: rows.map((row) => row.messages), format: number });
    return h("div", { class: "columns" },
        new Plot({
            title: t("workspace.daily"), labelTitle: t("workspace.day"), labels: days.map((row) => day(row.date)),
            series: [{ label: t("workspace.cost"), values: days.map((row) => row.cost), format: money }, messages(days)],
        }).element,
        new Plot({
            title: t("workspace.hours"), type: "bar", labelTitle: t("workspace.hour"), labels: hours.map((row) => hour(row.hour)),
            series: [messages(hours)],
        }).element);
}

const clients = (rows) => h("section", { class: "panel" }, h("h2", null, t("workspace.clients")), plainTable(t("workspace.clients"), [
    { label: t("workspace.client"), value: (row) => row.clientName ?? row.clientId, cell: (row) => row.clientName ?? row.clientId },
    { label: t("users.phone"), cell: (row) => h("span", { class: "phone" }, row.clientPhone ?? "–") },
    { label: t("workspace.cost"), numeric: true, value: (row) => row.cost, cell: (row) => money(row.cost) },
    { label: t("workspace.messages"), numeric: true, value: (row) => row.messages, cell: (row) => number(row.messages) },
], rows));

const months = (rows) => new Plot({
    title: t("workspace.months"), type: "bar", labelTitle: t("workspace.monthName"), labels: rows.map((row) => month(row.month)),
    series: [
        { label: t("workspace.cost"), values: rows.map((row) => row.cost), format: money },
        { label: t("workspace.messages"), values: rows.map((row) => row.messages), format: number },
    ],
}).element;
