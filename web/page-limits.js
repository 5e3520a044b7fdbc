// SPDX-License-Identifier: Apache-2.0
// The rules: limits, prices, the policy of credits.

import * as api from "./api.js";
import { button, h } from "./dom.js";
import { confirmDialog, formDialog } from "./dialog.js";
import { decimal, number } from "./format.js";
import { t, word } from "./i18n.js";
import { findSubject, nameAndID } from "./people.js";
import { readOrSay, Rules } from "./rules.js";
import { plainTable } from "./table.js";

const windows = ["minute", "hour", "day", "month", "lifetime", "rolling", "rate", "concurrent"];
const priceNames = ["input", "output", "cached_read", "cached_write"];

export async function open({ main, say, signal, isAdmin }) {
    const rules = (path, title, show) => new Rules(path, { title, say, show: (value, save) => show(value, isAdmin && save) });
    const limits = rules("/v1/limits", t("limits.title"), (value, save) => showLimits(value, save, say, signal));
    const prices = rules("/v1/prices", t("prices.title"), showPrices);
    const policy = rules("/v1/credit-policy", t("policy.title"), showPolicy);
    main.append(limits.element, prices.element, policy.element);
    await Promise.all([limits, prices, policy].map((rules) => readOrSay(rules.element, () => rules.read())));
}

// MARK: Limits

function showLimits({ limits }, save, say, signal) {
    const replace = (index, ...others) => save({ limits: limits.toSpliced(index, 1, ...others) });
    return [
        h("h2", null, t("limits.title")), h("p", { class: "muted" }, t("limits.text")),
        plainTable(t("limits.title"), [
            { label: t("limits.name"), cell: (limit) => limit.name },
            { label: t("live.meter"), cell: (limit) => h("code", null, limit.meter) },
            { label: t("limits.window"), cell: (limit) => windowText(limit) },
            { label: t("limits.user"), numeric: true, cell: (limit) => amount(limit.user) },
            { label: t("limits.guest"), numeric: true, cell: (limit) => amount(limit.guest) },
            ...(save ? [{
                label: t("users.actions"),
                cell: (limit) => h("div", { class: "row-actions" },
                    named(t("users.edit"), limit.name, () =>
                        limitDialog(limit, (changed) => replace(limits.indexOf(limit), changed))),
                    named(t("limits.own"), limit.name, () => ownLimit(limit, say, signal)),
                    named(t("keys.delete"), limit.name, () => confirmDialog(t("keys.delete"),
                        t("limits.deleteText", { name: limit.name }), t("keys.delete"), () => replace(limits.indexOf(limit))))),
            }] : []),
        ], limits, t("limits.none")),
        save ? button(t("limits.add"), () => limitDialog(null, (added) => save({ limits: [...limits, added] }))) : null,
    ];
}

const amount = (value) => (value === null || value === undefined ? t("limits.unlimited") : number(value));

const named = (label, name, action) =>
    button(label, action, { class: "small", "aria-label": t("users.actionFor", { action: label, name }) });

function windowText({ window, period_s: period, burst }) {
    const parts = [word("window", window)];
    if (period) parts.push(t("limits.seconds", { seconds: number(period) }));
    if (burst) parts.push(t("limits.burstOf", { burst: number(burst) }));
    return parts.join(", ");
}

const integer = (text) => (text === "" ? null : Number(text));

const limitDialog = (limit, save) => formDialog({
    title: limit ? t("users.editTitle", { name: limit.name }) : t("limits.add"),
    fields: [
        { name: "name", label: t("limits.name"), value: limit?.name, required: true, pattern: "[a-z0-9_\\-]{1,64}" },
        { name: "meter", label: t("live.meter"), value: limit?.meter, required: true, pattern: "[a-z][a-z0-9_]{0,63}" },
        { name: "window", label: t("limits.window"), value: limit?.window ?? "day", options: windows.map((name) => [name, word("window", name)]) },
        { name: "period_s", label: t("limits.period"), type: "number", min: "1", value: limit?.period_s ?? "", help: t("limits.periodHelp") },
        { name: "burst", label: t("limits.burst"), type: "number", min: "1", value: limit?.burst ?? "", help: t("limits.burstHelp") },
        { name: "user", label: t("limits.user"), type: "number", min: "0", value: limit?.user ?? "", help: t("limits.emptyHelp") },
        { name: "guest", label: t("limits.guest"), type: "number", min: "0", value: limit?.guest ?? "", help: t("limits.emptyHelp") },
    ],
    submit: ({ name, meter, window, period_s: period, burst, user, guest }) => {
        if (!user && !guest) throw new Error(t("limits.amountNeeded"));
        const changed = { name, meter, window, user: integer(user), guest: integer(guest) };
        if (period) changed.period_s = Number(period);
        if (burst) changed.burst = Number(burst);
        return save(changed);
    },
});

/** An amount of one subject in the place of its class's: who, and then what it is to be instead of what it is. */
async function ownLimit(limit, say, signal) {
    let name, path, now;
    const isFound = await formDialog({
        title: t("limits.ownTitle", { name: limit.name }), text: t("limits.ownText"), action: t("audit.show"),
        fields: [{ name: "id", label: t("event.subject"), required: true, help: t("people.help") }],
        submit: async ({ id: text }) => {
            const { id, profile } = await findSubject(text);
            name = profile ? nameAndID(profile) : id;
            path = `/v1/limits/${api.segment(limit.name)}/subjects/${api.segment(id)}`;
            now = await api.get(path);
        },
    });
    if (!isFound || signal.aborted) return;
    const hasOwn = now.limit !== null;
    const isDone = await formDialog({
        title: t("limits.ownOf", { name: limit.name, subject: name }),
        text: hasOwn ? t("limits.ownNow", { amount: number(now.limit) }) : t("limits.ownNone", { amount: amount(now.effective) }),
        fields: [
            { name: "limit", label: t("limits.amount"), type: "number", min: "0", value: now.limit ?? "" },
            ...(hasOwn ? [{ name: "forget", label: t("limits.ownForget"), type: "checkbox" }] : []),
        ],
        submit: ({ limit: value, forget }) => {
            if (!forget && value === "") throw new Error(t("limits.ownNothing"));
            return api.put(path, { limit: forget ? null : Number(value) });
        },
    });
    if (isDone) say(t("users.saved", { name }));
}

// MARK: Prices

function showPrices(book, save) {
    const models = Object.entries(book.models);
    const rows = [
        ...models.map(([name, prices]) => ({ name, prices })),
        ...(book.default ? [{ name: null, prices: book.default }] : []),
    ];
    // As entries: a name such as `__proto__` would be no member of an object that is written to.
    const write = (name, prices) => {
        if (name === null) return save({ ...book, default: prices ?? undefined });
        const kept = prices ? models.map((one) => (one[0] === name ? [name, prices] : one)) : models.filter((one) => one[0] !== name);
        return save({ ...book, models: Object.fromEntries(kept) });
    };
    const add = (name, prices) => {
        if (models.some((one) => one[0] === name)) throw new Error(t("prices.exists", { name }));
        return save({ ...book, models: Object.fromEntries([...models, [name, prices]]) });
    };
    return [
        h("h2", null, t("prices.title")),
        h("p", null, t("prices.flat", { price: decimal(book.per_message), rate: decimal(book.credit_rate) })),
        plainTable(t("prices.title"), [
            { label: t("event.model"), cell: (row) => row.name ?? t("prices.others") },
            ...priceNames.map((name) => ({ label: t(`prices.${name}`), numeric: true, cell: (row) => decimal(row.prices[name]) })),
            ...(save ? [{
                label: t("users.actions"),
                cell: (row) => h("div", { class: "row-actions" },
                    named(t("users.edit"), row.name ?? t("prices.others"), () =>
                        priceDialog(row, (name, prices) => write(name, prices))),
                    named(t("keys.delete"), row.name ?? t("prices.others"), () => confirmDialog(t("keys.delete"),
                        t("prices.deleteText", { name: row.name ?? t("prices.others") }), t("keys.delete"), () => write(row.name, null)))),
            }] : []),
        ], rows, t("prices.none")),
        save ? h("div", { class: "actions" },
            button(t("prices.add"), () => priceDialog(null, add)),
            button(t("prices.editFlat"), () => formDialog({
                title: t("prices.editFlat"),
                fields: [
                    { name: "per_message", label: t("prices.perMessage"), value: book.per_message, type: "decimal", required: true },
                    { name: "credit_rate", label: t("prices.rate"), value: book.credit_rate, type: "decimal", required: true },
                ],
                submit: (changed) => save({ ...book, ...changed }),
            }))) : null,
    ];
}

const priceDialog = (row, save) => formDialog({
    title: row ? t("users.editTitle", { name: row.name ?? t("prices.others") }) : t("prices.add"), text: t("prices.text"),
    fields: [
        ...(row ? [] : [{ name: "name", label: t("event.model"), required: true, help: t("prices.nameHelp") }]),
        ...priceNames.map((name) => ({ name, label: t(`prices.${name}`), value: row?.prices[name] ?? "0", type: "decimal", required: true })),
    ],
    submit: ({ name, ...prices }) => save(row ? row.name : name, prices),
});

// MARK: Credits

function showPolicy(policy, save) {
    const facts = [
        [t("policy.reset"), word("policy", policy.month_reset)], [t("policy.allowance"), decimal(policy.default_allowance)],
        [t("policy.rollover"), decimal(policy.rollover_max)], [t("policy.overdraft"), decimal(policy.overdraft)],
    ];
    return [
        h("h2", null, t("policy.title")),
        h("dl", { class: "facts" }, facts.map(([label, value]) => h("div", null, h("dt", null, label), h("dd", null, value)))),
        save ? button(t("users.edit"), () => formDialog({
            title: t("policy.title"),
            fields: [
                { name: "month_reset", label: t("policy.reset"), value: policy.month_reset, options: ["anniversary", "calendar"].map((name) => [name, word("policy", name)]) },
                { name: "default_allowance", label: t("policy.allowance"), value: policy.default_allowance, type: "decimal", required: true },
                { name: "rollover_max", label: t("policy.rollover"), value: policy.rollover_max, type: "decimal", required: true },
                { name: "overdraft", label: t("policy.overdraft"), value: policy.overdraft, type: "decimal", required: true },
            ],
            submit: save,
        }), { "aria-label": t("users.actionFor", { action: t("users.edit"), name: t("policy.title") }) }) : null,
    ];
}
