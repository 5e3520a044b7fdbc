// SPDX-License-Identifier: Apache-2.0
// Numbers, money and times as they are written where the reader lives; times in the workspace's zone.

import { locale, t } from "./i18n.js";

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
    return isNone(value) ? none : format(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);
}

/** Credits, which have up to six places. */
export const credits = (value) => number(value, Math.abs(value ?? 0) < 100 ? 4 : 2);

export function compact(value) {
    return isNone(value) ? none
        : format(Intl.NumberFormat, { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

export function money(value) {
    if (isNone(value)) return none;
    const digits = value !== 0 && Math.abs(value) < 1 ? 4 : 2;
    const options = { style: "currency", currency, currencyDisplay: "narrowSymbol", minimumFractionDigits: 2, maximumFractionDigits: digits };
    try {
        return format(Intl.NumberFormat, options).format(value);
    } catch {
        // Three capital letters that are no currency.
        return `${number(value, digits)} ${currency}`;
    }
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

export const month = (text) => day(`${text}-01`, { month: "long", year: "numeric" });

/** Today in the workspace's zone, as 2026-11-21. */
export const today = () => new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(new Date());

/** So many days after a day. */
export function addDays(text, count) {
    const date = new Date(`${text}T00:00:00Z`);
    date.setUTCDate(date.getUTCDate() + count);
    return date.toISOString().slice(0, 10);
}

/** How far away a time is, in its largest unit. */
export function until(text) {
    if (!text) return t("time.never");
    const seconds = (new Date(text) - Date.now()) / 1000;
    const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]]
        .find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
    return format(Intl.RelativeTimeFormat, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

export const zoneName = () => zone;
