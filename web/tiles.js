// SPDX-License-Identifier: Apache-2.0
// Figures with what they mean, and what an answer lacks.

import { h } from "./dom.js";
import { credits, dateTime, day, until } from "./format.js";
import { t } from "./i18n.js";

/** A figure with its label, and perhaps what it was before. */
export function tile(label, value, note) {
    return h("div", { class: "tile panel" }, h("dt", null, label), h("dd", null, h("strong", null, value), note ? [" ", h("small", { class: "muted" }, note)] : null));
}

/** A balance, and when it runs out. */
export function creditTiles(account, forecast) {
    return h("section", null, h("h2", null, t("users.credits")), h("dl", { class: "tiles" },
        tile(t("credits.balance"), credits(account.current_balance), account.held ? t("credits.held", { held: credits(account.held) }) : null),
        tile(t("credits.consumed"), credits(account.current_month_consumed), t("credits.allowance", { allowance: credits(account.monthly_allowance) })),
        tile(t("credits.reset"), account.next_reset_at ? until(account.next_reset_at) : "–", dateTime(account.next_reset_at)),
        tile(t("credits.runsOut"), forecast.runs_out_on ? day(forecast.runs_out_on, { dateStyle: "medium" }) : t("credits.never"),
            forecast.credits_per_day ? t("credits.perDay", { credits: credits(forecast.credits_per_day) }) : null)));
}

/** What an answer lacks. */
export const warnings = ({ warnings: texts }) =>
    texts?.length ? h("div", { class: "warn", role: "status" }, texts.map((text) => h("p", null, text))) : null;
