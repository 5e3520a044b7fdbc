// SPDX-License-Identifier: Apache-2.0
// What the monitoring of credits and the detail of one user show alike.

import { h } from "./dom.js";
import { credits, dateTime, number } from "./format.js";
import { t } from "./i18n.js";
import { plainTable } from "./table.js";

/** What each action took, most first. */
export const byAction = (rows) => h("section", { class: "panel" }, h("h2", null, t("credits.byAction")), plainTable(t("credits.byAction"), [
    { label: t("event.action"), value: (row) => row.action_type, cell: (row) => row.action_type },
    { label: t("credits.eventCount"), numeric: true, value: (row) => row.event_count, cell: (row) => number(row.event_count) },
    { label: t("users.credits"), numeric: true, value: (row) => row.total_credits, cell: (row) => credits(row.total_credits) },
    { label: t("credits.perEvent"), numeric: true, value: (row) => row.avg_per_event, cell: (row) => credits(row.avg_per_event) },
], rows));

/** By what somebody is called here. */
export const called = (row) => row.full_name ?? row.email ?? row.username ?? row.id;

/** Columns of an event, behind others. */
export const eventColumns = (first = []) => [
    { label: t("event.time"), isTime: true, value: (row) => row.timestamp, cell: (row) => dateTime(row.timestamp) }, ...first,
    { label: t("event.action"), cell: (row) => row.action_type },
    { label: t("users.credits"), numeric: true, value: (row) => row.credits, cell: (row) => credits(row.credits) },
    { label: t("event.input"), numeric: true, cell: (row) => number(row.input_tokens) },
    { label: t("event.output"), numeric: true, cell: (row) => number(row.output_tokens) },
    { label: t("event.model"), cell: (row) => row.model ?? "–" },
    { label: t("event.description"), cell: (row) => row.description ?? "–" },
];
