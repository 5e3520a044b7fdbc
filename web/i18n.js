// SPDX-License-Identifier: Apache-2.0
// The language of the pages: the browser's, or the one that was chosen.

import en from "./en.js";
import { forGood } from "./store.js";
import vi from "./vi.js";
import problemsInVietnamese from "./vi-problems.js";

const texts = { en, vi };
// In English the service's own words stand.
const problems = { vi: problemsInVietnamese };
const storageKey = "tally.language";

/** The languages that there are, each by its own name. */
export const languages = [["en", "English"], ["vi", "Tiếng Việt"]];

let current = forGood.getItem(storageKey);
if (!(current in texts)) {
    current = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in texts) ?? "en";
}
document.documentElement.lang = current;

export const language = () => current;

/** The locale in which numbers and times are written. */
export const locale = () => (current === "vi" ? "vi-VN" : "en-GB");

export function setLanguage(tag) {
    current = tag in texts ? tag : "en";
    forGood.setItem(storageKey, current);
    document.documentElement.lang = current;
}

/** A text, with `{name}` replaced. */
export function t(key, values) {
    const text = texts[current][key] ?? en[key] ?? key;
    return values ? text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? "")) : text;
}

/**
 * What is wrong, by the service's code for it, with the member that it is about.
 * @returns undefined where the language has no text of its own.
 */
export function problem(code, detail) {
    const text = problems[current]?.[code];
    const member = /^([a-z_]+[a-z0-9_.[\]]*): /.exec(detail ?? "")?.[1];
    return text && member ? `${member}: ${text}` : text;
}

/** A text for a word of the service, such as a status; the word itself where there is none. */
export function word(prefix, name) {
    return texts[current][`${prefix}.${name}`] ?? String(name ?? "");
}
