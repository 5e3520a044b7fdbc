// SPDX-License-Identifier: Apache-2.0
// What a person has used, and may still use. Administrators see everybody's sums, and look at one.

import * as api from "./api.js";
import { asked, keepInAddress } from "./asked.js";
import { button, fill, h } from "./dom.js";
import { field, values } from "./dialog.js";
import { dateTime, number, percent, today, until } from "./format.js";
import { t, word } from "./i18n.js";
import { findSubject, nameWithID } from "./people.js";
import { plainTable } from "./table.js";
import { creditTiles, showPart, tile } from "./tiles.js";

export async function open(view) {
    if (view.isAdmin) return openForAdmin(view);
    const { main, session } = view;
    const [bars, sums, balance] = Array.from({ length: 3 }, () => h("div"));
    main.append(h("section", { class: "panel" }, h("h2", null, t("usage.limits")), bars), sums, balance,
        h("div", { class: "actions" }, button(t("usage.export"), () => exportOwn(session))));
    const parts = [[bars, () => api.get("/usage/limits"), limitBars], [sums, () => api.get("/usage/me"), figures]];
    if (session.role !== "guest") {
        const own = `/v1/credits/${api.segment(session.subject)}`;
        parts.push([balance, () => Promise.all([api.get(own), api.get(`${own}/forecast`).catch((error) => error)]), (found) => creditTiles(...found)]);
    }
    await Promise.all(parts.map(readPart));
}

/** Reads a part, and shows it; where it does not come, it alone is asked for once again. */
function readPart([element, ask, draw]) {
    return showPart(element, ask(), draw, { retry: () => readPart([element, ask, draw]) });
}

async function openForAdmin({ main }) {
    const found = h("div");
    let turns = 0;
    const form = h("form", {
        class: "filters",
        onsubmit: async (event) => {
            event.preventDefault();
            const { id: text } = values(form);
            if (!text) return;
            keepInAddress({ id: text });
            const turn = ++turns;
            fill(found, h("p", { class: "status", role: "status" }, t("table.loading")));
            try {
                const { id, profile } = await findSubject(text);
                const usage = await api.get(`/usage/admin/user/${api.segment(id)}`);
                if (turn === turns) fill(found, h("h2", null, nameWithID(profile ?? { id })), figures(usage));
            } catch (error) {
                if (turn === turns) fill(found, h("p", { class: "error", role: "alert" }, error.message));
            }
        },
    }, field({ name: "id", label: t("usage.of"), required: true, value: asked().id, help: t("usage.ofHelp") }),
    h("button", { type: "submit", class: "primary" }, t("audit.show")));
    const [overall, kinds] = [h("div"), h("div")];
    main.append(overall, h("div", { class: "columns" }, kinds, h("section", { class: "panel" }, form)), found);
    if (asked().id) form.requestSubmit();
    await readPart([overall, () => api.get("/admin/analytics"), (sums) => {
        fill(kinds, types(sums.processing_types_breakdown));
        return h("dl", { class: "tiles" },
            tile(t("usage.users"), number(sums.total_users)), tile(t("usage.guests"), number(sums.total_guests)),
            tile(t("usage.processed"), number(sums.total_files_processed)), tile(t("usage.storage"), megabytes(sums.total_storage_mb)),
            tile(t("usage.minutes"), number(sums.total_processing_minutes, 1)));
    }]);
}

const megabytes = (value) => `${number(value, 2)} MB`;

function limitBars(limits) {
    const rows = Object.entries(limits).filter(([, limit]) => limit && typeof limit === "object" && "used" in limit);
    if (!rows.length) return h("p", { class: "status" }, t("limits.none"));
    return h("ul", { class: "bars" }, rows.map(([name, limit]) => {
        const label = word("limit", name);
        const isBounded = limit.limit !== null && limit.limit !== undefined;
        const text = isBounded ? t("usage.usedOf", { used: number(limit.used, 1), limit: number(limit.limit, 1) }) : number(limit.used, 1);
        return h("li", null,
            h("div", { class: "bar-head" }, h("strong", null, label), h("span", null, text)),
            isBounded ? h("progress", {
                class: limit.within_limit ? "" : "full", max: String(Math.max(limit.limit, 1e-9)), value: Math.min(limit.used, limit.limit), "aria-label": `${label}: ${text}`,
            }) : null,
            h("div", { class: "bar-head muted" },
                h("span", { class: limit.within_limit ? null : "bad" }, limit.within_limit
                    ? (isBounded ? t("usage.remaining", { remaining: number(limit.remaining, 1) }) : t("limits.unlimited")) : t("usage.full")),
                h("span", null, limit.resets_at
                    ? t("usage.resets", { when: until(limit.resets_at), time: dateTime(limit.resets_at) }) : t("usage.noReset"))));
    }));
}

function figures(usage) {
    const times = ["first_upload_at", "last_upload_at", "last_download_at", "last_api_call_at"];
    return [
        h("dl", { class: "tiles" },
            tile(t("usage.uploaded"), number(usage.total_files_uploaded), t("usage.average", { size: megabytes(usage.average_file_size_mb) })),
            tile(t("usage.processed"), number(usage.total_files_processed), t("usage.rate", { rate: percent(usage.success_rate_percent) })),
            tile(t("usage.failed"), number(usage.total_files_failed)),
            tile(t("usage.downloaded"), number(usage.total_files_downloaded)),
            tile(t("usage.storage"), megabytes(usage.total_input_size_mb), t("usage.output", { size: megabytes(usage.total_output_size_mb) })),
            tile(t("usage.minutes"), number(usage.total_processing_time_minutes, 2), t("usage.seconds", { seconds: number(usage.average_processing_time_seconds, 2) })),
            tile(t("usage.calls"), number(usage.api_calls_count))),
        h("div", { class: "columns" }, types(usage.processing_types_breakdown),
            h("section", { class: "panel" }, h("h2", null, t("usage.times")), h("dl", { class: "facts" }, times.map((name) =>
                h("div", null, h("dt", null, t(`usage.${name}`)), h("dd", null, dateTime(usage[name]))))))),
    ];
}

function types(breakdown) {
    const rows = Object.entries(breakdown).sort(([, left], [, right]) => right - left);
    return h("section", { class: "panel" }, h("h2", null, t("usage.types")), plainTable(t("usage.types"), [
        { label: t("usage.type"), cell: ([name]) => name.replaceAll("_", " ") },
        { label: t("usage.files"), numeric: true, value: ([, count]) => count, cell: ([, count]) => number(count) },
    ], rows, t("usage.noTypes")));
}

/** All that is known of who asks, as one file. */
async function exportOwn({ role, subject }) {
    const [usage, limits] = await Promise.all([api.get("/usage/me"), api.get("/usage/limits")]);
    const data = { usage, limits };
    // Guests may see no more than what the page has.
    if (role !== "guest") {
        const path = `/v1/credits/${api.segment(subject)}`;
        data.profile = (await api.get(`/v1/subjects/${api.segment(subject)}`).catch(() => ({}))).profile ?? null;
        data.credits = await api.get(path);
        data.ledger = await all((before) => api.get(`${path}/ledger`, { limit: 1000, before }), "entries", "older");
        data.events = await all((cursor) =>
            api.get(`/v1/subjects/${api.segment(subject)}/events`, { limit: 1000, cursor }), "events", "next");
    }
    const url = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: "application/json" }));
    h("a", { href: url, download: `my-usage-${today()}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

async function all(page, member, next) {
    const found = [];
    let place = null;
    do {
        const answer = await page(place);
        found.push(...answer[member]);
        place = answer[next] ?? null;
    } while (place);
    return found;
}
