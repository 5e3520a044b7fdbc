// SPDX-License-Identifier: Apache-2.0
// Numbers, money and times as they are written where the reader lives; times in the workspace's zone.

import { locale, t, word } from "./i18n.js";

let zone = "UTC";
let currency = "USD";

/** What the session says of the workspace. */
export function useWorkspace(session) {
    zone = session?.time_zone ?? "UTC";
    currency = session?.currency ?? "USD";
}

const none = "–";
const formats = new Map();

function format(type, options) {
    const key = `${type.name} ${locale()} ${JSON.stringify(options)}`;
    if (!formats.has(key)) formats.set(key, new type(locale(), options));
    return formats.get(key);
}

const isNone = (value) => value === null || value === undefined;

export function number(value, digits = 0) {
    // Of what is rounded to zero no sign is left.
    return isNone(value) ? none : format(Intl.NumberFormat, { maximumFractionDigits: digits, signDisplay: "negative" }).format(value);
}

/** Credits, which have up to six places: all of them where less would be nothing of it. */
export function credits(value) {
    const size = Math.abs(value ?? 0);
    return number(value, size < 0.01 ? 6 : size < 100 ? 4 : 2);
}

export function compact(value) {
    return isNone(value) ? none
        : format(Intl.NumberFormat, { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** An amount with the places that the currency has, and more for less than 1 of it. */
export function money(value) {
    if (isNone(value)) return none;
    const isSmall = Number(value) !== 0 && Math.abs(value) < 1;
    const options = { style: "currency", currency, currencyDisplay: "narrowSymbol", signDisplay: "negative" };
    try {
        return format(Intl.NumberFormat, isSmall ? { ...options, maximumFractionDigits: 4 } : options).format(value);
    } catch {
        // No three letters, as a currency has.
        return `${number(value, isSmall ? 4 : 2)} ${currency}`;
    }
}

/** A decimal that the service writes, with all its places. */
export const decimal = (value) => number(value, 6);

/** How a meter is called, and an amount of it as it is read: credits and money have their own units. */
export const meterName = (meter) => word("meter", meter);

export function amountOf(meter, value) {
    if (meter === "credits_micro") return credits(value / 1_000_000);
    return meter === "cost_micro" ? money(value / 1_000_000) : number(value);
}

export const percent = (value, digits = 1) => isNone(value) ? none : `${number(value, digits)} %`;

/** A change in per cent, with its sign. */
export function change(value) {
    if (isNone(value)) return none;
    const options = { maximumFractionDigits: 1, signDisplay: "exceptZero" };
    return `${format(Intl.NumberFormat, options).format(value)} %`;
}

function time(text, options) {
    if (!text) return none;
    const date = new Date(text);
    return Number.isNaN(date.getTime()) ? String(text)
        : format(Intl.DateTimeFormat, { timeZone: zone, ...options }).format(date);
}

export const dateTime = (text) => time(text, { dateStyle: "medium", timeStyle: "short" });
export const instantDate = (text) => time(text, { dateStyle: "medium" });
export const clock = (text) => time(text, { timeStyle: "medium" });

/** A day such as 2026-11-21, which is in no zone. */
export function day(text, options = { day: "numeric", month: "short" }) {
    return text ? format(Intl.DateTimeFormat, { timeZone: "UTC", ...options }).format(new Date(`${text}T00:00:00Z`)) : none;
}

/** A month such as 2026-11 among its neighbours, as short as it is in a date. */
export function month(text) {
    const parts = format(Intl.DateTimeFormat, { timeZone: "UTC", day: "numeric", month: "short" })
        .formatToParts(new Date(`${text}-01T00:00:00Z`));
    return parts.find((part) => part.type === "month").value;
}

/** Today in the workspace's zone, as 2026-11-21. */
export const today = () => new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(new Date());

/** So many days after a day. */
export function addDays(text, count) {
    const date = new Date(`${text}T00:00:00Z`);
    date.setUTCDate(date.getUTCDate() + count);
    return date.toISOString().slice(0, 10);
}

/** When a day begins in the workspace's zone. */
export function startOf(text) {
    const midnight = Date.parse(`${text}T00:00:00Z`);
    let instant = midnight;
    // What the clocks there show is as far from it as they go before or behind; twice, for they may be changed between.
    for (let turn = 0; turn < 2; turn += 1) instant += midnight - shownAt(instant);
    // Where clocks go forward over midnight, the day begins when they do.
    if (shownAt(instant) < midnight) instant = firstAfter(instant, (one) => shownAt(one) >= midnight);
    return new Date(instant).toISOString();
}

/** The first second, within a day and a half of an instant, from which on something is so. */
function firstAfter(instant, isSo) {
    let [before, after] = [0, 129_600];
    while (after - before > 1) {
        const middle = Math.floor((before + after) / 2);
        if (isSo(instant + middle * 1000)) after = middle;
        else before = middle;
    }
    return instant + after * 1000;
}

/** What the clocks of the zone show, as if it were UTC. */
function shownAt(instant) {
    const numeric = "2-digit";
    const options = { timeZone: zone, hourCycle: "h23", year: "numeric", month: numeric, day: numeric, hour: numeric, minute: numeric, second: numeric };
    const parts = new Intl.DateTimeFormat("en", options).formatToParts(instant);
    const { year, month, day, hour, minute, second } = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
    return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** The last second of a day in the workspace's zone. */
export const endOf = (text) => new Date(Date.parse(startOf(addDays(text, 1))) - 1000).toISOString();

/** How far away a time is, in its largest unit. */
export function until(text) {
    if (!text) return t("time.never");
    const seconds = (new Date(text) - Date.now()) / 1000;
    const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]]
        .find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
    return format(Intl.RelativeTimeFormat, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

export const zoneName = () => zone;
