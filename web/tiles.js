// SPDX-License-Identifier: Apache-2.0
// The parts of pages: figures with what they mean, what an answer lacks, what does not come.

import { button, fill, h, pressIn } from "./dom.js";
import { credits, dateTime, day, until } from "./format.js";
import { t } from "./i18n.js";

/** A figure with its label, and perhaps what it was before. */
export function tile(label, value, note) {
    return h("div", { class: "tile panel" }, h("dt", null, label), h("dd", null, h("strong", null, value), note ? [" ", h("small", { class: "muted" }, note)] : null));
}

/** The place of a figure that did not come. */
export const missingTile = (label, error) => tile(label, "–", h("span", { class: "error" }, error.message));

/** A balance, and when it runs out; an error in the place of that is said there. */
export function creditTiles(account, forecast) {
    return h("section", null, h("h2", null, t("users.credits")), h("dl", { class: "tiles" },
        tile(t("credits.balance"), credits(account.current_balance), account.held ? t("credits.held", { held: credits(account.held) }) : null),
        tile(t("credits.consumed"), credits(account.current_month_consumed), t("credits.allowance", { allowance: credits(account.monthly_allowance) })),
        tile(t("credits.reset"), account.next_reset_at ? until(account.next_reset_at) : "–", dateTime(account.next_reset_at)),
        forecast instanceof Error ? missingTile(t("credits.runsOut"), forecast)
            : tile(t("credits.runsOut"), forecast.runs_out_on ? day(forecast.runs_out_on, { dateStyle: "medium" }) : t(unendingReason(account, forecast)),
            forecast.credits_per_day ? t("credits.perDay", { credits: credits(forecast.credits_per_day) }) : null)));
}

/** Why there is no day on which a balance runs out: it has, nothing was charged by which one could tell, or it is far off. */
function unendingReason(account, forecast) {
    if (Number(account.current_balance) <= 0) return "credits.usedUp";
    return forecast.method ? "credits.never" : "credits.unknown";
}

/** What an answer lacks. */
export const warnings = ({ warnings: texts }) =>
    texts?.length ? h("div", { class: "warn", role: "status" }, texts.map((text) => h("p", null, text))) : null;

export const loading = () => h("p", { class: "status", role: "status" }, t("table.loading"));

/**
 * Shows a part of a page as soon as what it needs has come; until then what it showed before stays. What keeps one part away
 * is said in its place, and leaves the others.
 * @param isAsked () => whether it is still asked for
 * @param retry what asks for it once again
 */
export async function showPart(element, answer, draw, { isAsked = () => true, retry } = {}) {
    if (!element.children.length) fill(element, loading());
    let content;
    try {
        const found = await answer;
        await pressIn(element);
        if (isAsked()) content = draw(found);
    } catch (error) {
        content = [h("p", { class: "error", role: "alert" }, error.message), retry ? button(t("table.retry"), retry) : null];
    }
    if (isAsked()) fill(element, content);
}
