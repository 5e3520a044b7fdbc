// SPDX-License-Identifier: Apache-2.0
// Forms in a dialog of their own.

import { fill, h, newID, rememberFocus } from "./dom.js";
import { language, t } from "./i18n.js";

// Decimals as they are written in a language. Where a comma parts the places, a dot before three digits may part
// thousands: that is not guessed at.
const decimals = {
    en: { mark: ".", pattern: "[0-9]+([.][0-9]{1,6})?" },
    vi: { mark: ",", pattern: "[0-9]+(,[0-9]{1,6}|[.]([0-9]{1,2}|[0-9]{4,6}))?" },
};

// Blanks around what was pasted are left out of what is sent: no pattern refuses them.
const trim = ({ target }) => {
    const text = target.value.trim();
    if (text !== target.value) target.value = text;
};

// The wheel would change the number in the field that has the focus.
const holdNumber = (event) => { if (event.target === document.activeElement) event.preventDefault(); };

/**
 * A field with its label: `name`, `label`, and perhaps `type`, `value`, `options`, `help` and attributes.
 * Of the type `decimal` it is written as in the reader's language, and read as the service writes it.
 */
export function field({ name, label, type = "text", value = "", options, help, ...attributes }) {
    const id = newID("field");
    const helpID = help ? `${id}-help` : null;
    const common = { id, name, "aria-describedby": helpID, ...attributes };
    let input;
    if (options) {
        input = h("select", common, options.map(([option, text]) =>
            h("option", { value: option, selected: option === value }, text)));
    } else if (type === "textarea") {
        input = h("textarea", { ...common, value, spellcheck: "false" });
    } else if (type === "checkbox") {
        input = h("input", { ...common, type, checked: Boolean(value) });
        return h("div", { class: "field check" }, input, h("label", { for: id }, label));
    } else if (type === "decimal") {
        const { mark, pattern } = decimals[language()];
        input = h("input", {
            ...common, type: "text", inputmode: "decimal", pattern, title: t("field.decimal"), autocomplete: "off",
            "data-mark": mark, onchange: trim, value: String(value ?? "").replace(".", mark),
        });
    } else {
        input = h("input", {
            ...common, type, value: value ?? "", autocomplete: attributes.autocomplete ?? "off", onchange: trim,
            onwheel: type === "number" ? holdNumber : null,
        });
    }
    return h("div", { class: "field" }, h("label", { for: id }, label), input,
        help ? h("small", { id: helpID, class: "muted" }, help) : null);
}

/** The values of a form's fields, by name. */
export function values(form) {
    const found = {};
    for (const input of form.elements) {
        if (!input.name) continue;
        const text = input.value.trim();
        const { mark } = input.dataset;
        found[input.name] = input.type === "checkbox" ? input.checked : mark ? text.replace(mark, ".") : text;
    }
    return found;
}

/**
 * Opens a dialog; `closed()` follows when it was left.
 * @param isWaiting whether it has nothing to show yet. A key that was pressed twice presses nothing in it.
 */
function openDialog(title, content, { isWaiting = false, closed = () => {}, ...attributes }) {
    const titleID = newID("title");
    const giveBack = rememberFocus();
    const dialog = h("dialog", {
        "aria-labelledby": titleID, ...attributes,
        onclose: () => {
            dialog.remove();
            giveBack();
            closed();
        },
    }, h("h2", { id: titleID, tabindex: isWaiting ? "-1" : null, autofocus: isWaiting }, title), content);
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
}

const waiting = () => h("p", { class: "status", role: "status" }, t("table.loading"));

/** What `load(signal)` brings for a dialog: leaving the dialog ends the wait for it, and where it fails the dialog goes. */
async function loaded(dialog, load) {
    const wait = new AbortController();
    dialog.addEventListener("close", () => wait.abort());
    try {
        return await load(wait.signal);
    } catch (error) {
        dialog.close();
        throw error;
    }
}

/**
 * Asks in a dialog. `submit(values, { form, stay, changed })` does it; what it throws is shown, and the dialog stays. `stay()`
 * comes before each further step: it throws where the page was left meanwhile. `changed`
 * are the values that are not the ones shown at first: the others may have been changed elsewhere since. While it is being
 * done, nothing can be typed, and the dialog cannot be left: it would not be known whether it was.
 * @param load brings `{ text, fields }` where they have to be asked for first: what is pressed and typed meanwhile goes
 *   nowhere else.
 * @param tried follows each try: what was refused, or not answered, may have been done nonetheless.
 * @returns whether it was done. Where the page was left meanwhile, it fails with what was not done.
 */
export function formDialog({ title, load, fields, text, action = t("dialog.save"), isDanger = false, submit, tried = () => {} }) {
    return new Promise((resolve, reject) => {
        const error = h("p", { class: "error", role: "alert" });
        const save = h("button", { type: "submit", class: isDanger ? "danger" : "primary" }, action);
        const cancel = h("button", { type: "button", onclick: () => { if (!isBusy) dialog.close(); } }, t("dialog.cancel"));
        const content = h("div");
        let [isDone, isBusy, shown, open] = [false, false, {}, []];
        // What was sent once without an answer may have been done.
        const touched = new Set();
        const end = (problem) => (problem ? reject(new Error(`${title}: ${problem.message}`)) : resolve(isDone));
        const setBusy = (value) => {
            isBusy = value;
            // Not `disabled`, which would take the focus away.
            for (const one of [save, cancel]) one[value ? "setAttribute" : "removeAttribute"]("aria-disabled", "true");
            for (const one of open) one.readOnly = value;
        };
        // What is done in several steps goes on only where it was begun: the page behind may be somebody else's.
        const stay = () => { if (!dialog.open) throw new Error(t("dialog.left")); };
        const keep = (event) => { if (isBusy) event.preventDefault(); };
        // What is chosen knows no `readOnly`.
        const hold = (event) => { if (event.key !== "Tab" && event.target.matches("select, [type=checkbox]")) keep(event); };
        const form = h("form", {
            novalidate: false, onclick: hold, onmousedown: hold, onkeydown: hold,
            onsubmit: async (event) => {
                event.preventDefault();
                if (isBusy) return;
                setBusy(true);
                fill(error);
                const found = values(form);
                for (const name of Object.keys(found)) if (found[name] !== shown[name]) touched.add(name);
                let problem = null;
                try {
                    await submit(found, { form, stay, changed: Object.fromEntries([...touched].map((name) => [name, found[name]])) });
                    isDone = true;
                } catch (caught) {
                    problem = caught;
                }
                setBusy(false);
                tried();
                if (!dialog.open) end(problem);
                else if (isDone) dialog.close();
                else fill(error, problem.message);
            },
        }, content, error, h("div", { class: "actions" }, cancel, save));
        const put = (found) => {
            fill(content, found.text ? h("p", null, found.text) : null, (found.fields ?? []).map(field));
            shown = values(form);
            open = [...content.querySelectorAll("input, textarea")].filter((one) => !one.readOnly);
            save.hidden = false;
        };
        if (load) {
            fill(content, waiting());
            save.hidden = true;
        } else {
            put({ text, fields });
        }
        const dialog = openDialog(title, form, {
            // A second Escape would not ask any more by `cancel`.
            isWaiting: Boolean(load), oncancel: keep, onkeydown: (event) => { if (event.key === "Escape") keep(event); },
            closed: () => { if (!isBusy) end(); },
        });
        if (!load) return;
        loaded(dialog, load).then((found) => {
            put(found);
            // Who has gone to the way out stays there.
            if (document.activeElement !== document.body && document.activeElement?.tagName !== "H2") return;
            (content.querySelector("[autofocus]") ?? content.querySelector("input, select, textarea") ?? save).focus();
        }).catch(end);
    });
}

/** Asks whether something shall be done. */
export const confirmDialog = (title, text, action, submit, tried) =>
    formDialog({ title, text, action, isDanger: true, submit, tried });

/** Shows something until it is closed. */
export const showDialog = (title, ...content) => openShown(title, content);

/** Shows what `load(signal)` brings, as soon as it is there. */
export async function showLoaded(title, load) {
    const content = h("div", null, waiting());
    fill(content, await loaded(openShown(title, content, true), load));
}

function openShown(title, content, isWaiting = false) {
    const close = h("button", { type: "button", onclick: () => dialog.close() }, t("dialog.close"));
    const dialog = openDialog(title, [content, h("div", { class: "actions" }, close)], { class: "wide", isWaiting });
    return dialog;
}
