// SPDX-License-Identifier: Apache-2.0
// Makes elements. Whatever comes from outside becomes text, never markup.

// As properties, since these change while the attribute tells only the first value.
const properties = new Set(["value", "checked", "disabled", "selected", "open", "hidden", "indeterminate"]);

/** An element with attributes, listeners (`onclick: f`) and children; `null` and `false` are none. */
export function h(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
        if (value === null || value === undefined) continue;
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (properties.has(name)) element[name] = value;
        else if (value === true) element.setAttribute(name, "");
        else if (value !== false) element.setAttribute(name, String(value));
    }
    element.append(...parts(children));
    return element;
}

function parts(children) {
    return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
        .map((child) => (child instanceof Node ? child : visible(String(child))));
}

// Control characters, and those that are not seen but turn the direction of what stands around them.
const unseen = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** A text in which nothing is hidden: what is not seen stands there by its number. */
const visible = (text) =>
    text.replace(unseen, (one) => `[U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

/** Puts children in the place of all that an element has. The focus goes to what is in the place of what had it. */
export function fill(element, ...children) {
    const { activeElement } = document;
    const giveBack = activeElement !== element && element.contains(activeElement) ? rememberFocus() : null;
    element.replaceChildren(...parts(children));
    giveBack?.();
    return element;
}

// MARK: Focus

const controls = "button, a[href], input, select, textarea, summary";

/** By what a control is known again after it was made anew: its name here, or its label. */
const nameOf = (element) => element.dataset.control ?? element.getAttribute("aria-label") ?? element.textContent;

/** The row of a table that a control is in: another one may be called the same, and this one otherwise by now. */
const rowOf = (element) => element.closest("[data-row]")?.dataset.row ?? null;

const hasFocus = () => document.activeElement !== null && document.activeElement !== document.body;

/**
 * Notes which control has the focus.
 * @returns a function that gives it back when nothing has it any more: to that control, to the one that was made in
 *   its place, or else to the heading of the page.
 */
export function rememberFocus() {
    const control = document.activeElement;
    if (!hasFocus()) return () => {};
    const [tag, name, row, text] = [control.tagName, nameOf(control), rowOf(control), control.textContent];
    const isIt = (one) => one.tagName === tag && rowOf(one) === row
        && (row === null ? nameOf(one) === name : one.textContent === text) && one.checkVisibility();
    return () => {
        if (hasFocus()) return;
        const found = control.isConnected ? control : [...document.querySelectorAll(controls)].find(isIt);
        found?.focus();
        // Later, for what comes into the page in the same turn.
        if (!hasFocus()) queueMicrotask(() => { if (!hasFocus()) document.querySelector("h1")?.focus(); });
    };
}

// MARK: Presses

const clickPause = 50;
let pressed = null;

function endPress() {
    const one = pressed;
    pressed = null;
    one?.end();
}

// Only the first button's: of another one's end nothing may be told.
addEventListener("pointerdown", ({ target, button }) => {
    endPress();
    if (button !== 0) return;
    let end;
    const ended = new Promise((resolve) => { end = resolve; });
    pressed = { target, ended, end };
}, true);

for (const type of ["pointerup", "pointercancel"]) {
    addEventListener(type, () => {
        const one = pressed;
        if (one) one.isUp = true;
        // The click comes behind it; a finger's is an event of its own.
        setTimeout(() => { if (pressed === one) endPress(); }, clickPause);
    }, true);
}

// The end of a press is not told where a menu comes up in its midst, or another window.
addEventListener("contextmenu", endPress, true);
addEventListener("blur", ({ target }) => { if (target === window) endPress(); }, true);
addEventListener("pointermove", ({ buttons }) => { if (pressed && !pressed.isUp && buttons === 0) endPress(); }, true);

/** The end of a press that is under way in an element, or null. What is drawn anew before then takes the click away. */
export const pressIn = (element) => (pressed && element.contains(pressed.target) ? pressed.ended : null);

const svgSpace = "http://www.w3.org/2000/svg";

/** A line through values, as a small picture that says nothing to who cannot see it. */
export function sparkline(values, width = 240, height = 48) {
    const svg = document.createElementNS(svgSpace, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("class", "sparkline");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("preserveAspectRatio", "none");
    const highest = Math.max(1, ...values);
    const step = width / Math.max(1, values.length - 1);
    const points = values.map((value, index) => {
        const y = height - (value / highest) * (height - 4);
        return `${(index * step).toFixed(1)},${y.toFixed(1)}`;
    });
    for (const [name, corners] of [["polygon", [`0,${height}`, ...points, `${width},${height}`]], ["polyline", points]]) {
        const shape = document.createElementNS(svgSpace, name);
        shape.setAttribute("points", corners.join(" "));
        svg.append(shape);
    }
    return svg;
}

let count = 0;

/** An id that no other element has. */
export function newID(prefix = "id") {
    count += 1;
    return `${prefix}-${count}`;
}

let failed = (error) => { throw error; };

/** What is done when what a button does fails. */
export function onFailure(action) { failed = action; }

/** A button that does nothing more while what it does is under way. It keeps the focus. What fails is said. */
export function button(label, action, attributes = {}) {
    let isBusy = false;
    const element = h("button", { type: "button", ...attributes }, label);
    element.addEventListener("click", async () => {
        if (isBusy) return;
        isBusy = true;
        try {
            await action();
        } catch (error) {
            if (error.name !== "AbortError") failed(error);
        } finally {
            isBusy = false;
        }
    });
    return element;
}
