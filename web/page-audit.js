// SPDX-License-Identifier: Apache-2.0
// What administrators did.

import * as api from "./api.js";
import { asked, keepInAddress } from "./asked.js";
import { button, h } from "./dom.js";
import { field, showDialog, values } from "./dialog.js";
import { dateTime } from "./format.js";
import { t } from "./i18n.js";
import { dateField, isPeriod, onPeriodChange } from "./period.js";
import { Table } from "./table.js";

export async function open({ main }) {
    const before = asked();
    const form = h("form", { class: "filters" }, [
        { name: "actor", label: t("audit.actor"), placeholder: t("users.any") },
        { name: "action", label: t("users.actions"), placeholder: "PUT /v1/prices" },
        { name: "from", label: t("period.from"), ...dateField },
        { name: "to", label: t("period.to"), ...dateField },
    ].map((one) => field({ ...one, value: before[one.name] })));
    onPeriodChange(form, () => table.reload());
    const table = new Table({
        caption: t("page.audit"), columns: columns(), isFiltered: () => Object.values(values(form)).some(Boolean),
        load: async ({ cursor, signal }) => {
            keepInAddress(values(form));
            const answer = await api.get("/v1/audit", { ...values(form), limit: 50, cursor }, signal);
            return { rows: answer.entries, next: answer.next };
        },
    });
    main.append(h("div", { class: "toolbar" }, form, h("div", { class: "actions" }, ["csv", "json"].map((format) =>
        button(t("export.as", { format: format.toUpperCase() }), async () => {
            if (isPeriod(form)) await api.download("/v1/export/audit", { ...values(form), format }, `audit.${format}`);
        })))), table.element);
    await table.reload();
}

function columns() {
    return [
        { label: t("event.time"), isTime: true, cell: (entry) => dateTime(entry.time) },
        { label: t("audit.actor"), cell: (entry) => entry.actor },
        { label: t("users.role"), cell: (entry) => entry.role },
        { label: t("audit.address"), cell: (entry) => entry.address ?? "–" },
        { label: t("audit.action"), isWide: true, cell: (entry) => h("code", null, entry.action) },
        { label: t("audit.path"), isWide: true, cell: (entry) => h("code", null, entry.path) },
        {
            label: t("audit.result"), numeric: true,
            cell: (entry) => h("span", { class: entry.status >= 400 ? "bad" : null }, String(entry.status ?? t("audit.open"))),
        },
        {
            label: t("audit.change"),
            cell: (entry) => (entry.before ?? entry.after ?? null) === null ? "–" : button(t("audit.show"), () =>
                showDialog(entry.action, ["before", "after"].map((name) => [
                    h("h3", null, t(`audit.${name}`)),
                    h("pre", { tabindex: "0" }, JSON.stringify(entry[name] ?? null, null, 2)),
                ])), { class: "small", "aria-label": t("users.actionFor", { action: t("audit.show"), name: entry.path }) }),
        },
    ];
}
