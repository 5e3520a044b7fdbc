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
            "data-mark": mark, value: String(value ?? "").replace(".", mark),
        });
    } else {
        input = h("input", { ...common, type, value: value ?? "", autocomplete: attributes.autocomplete ?? "off" });
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
 * Asks in a dialog. `submit(values, { form, changed })` does it; what it throws is shown, and the dialog stays. `changed`
 * are the values that are not the ones shown at first: the others may have been changed elsewhere since. While it is being
 * done, the dialog cannot be left: it would not be known whether it was.
 * @returns whether it was done.
 */
export function formDialog({ title, fields = [], text, action = t("dialog.save"), isDanger = false, submit }) {
    return new Promise((resolve) => {
        const titleID = newID("title");
        const error = h("p", { class: "error", role: "alert" });
        const save = h("button", { type: "submit", class: isDanger ? "danger" : "primary" }, action);
        const giveBack = rememberFocus();
        const cancel = h("button", { type: "button", onclick: () => { if (!isBusy) dialog.close(); } }, t("dialog.cancel"));
        let [isDone, isBusy] = [false, false];
        // What was sent once without an answer may have been done.
        const touched = new Set();
        const setBusy = (value) => {
            isBusy = value;
            // Not `disabled`, which would take the focus away.
            for (const one of [save, cancel]) one[value ? "setAttribute" : "removeAttribute"]("aria-disabled", "true");
        };
        const form = h("form", {
            novalidate: false,
            onsubmit: async (event) => {
                event.preventDefault();
                if (isBusy) return;
                setBusy(true);
                fill(error);
                const found = values(form);
                for (const name of Object.keys(found)) if (found[name] !== shown[name]) touched.add(name);
                try {
                    await submit(found, { form, changed: Object.fromEntries([...touched].map((name) => [name, found[name]])) });
                    isDone = true;
                    dialog.close();
                } catch (problem) {
                    fill(error, problem.message);
                } finally {
                    setBusy(false);
                }
            },
        }, h("h2", { id: titleID }, title), text ? h("p", null, text) : null, fields.map((one) =>
            one instanceof Node ? one : field(one)), error,
        h("div", { class: "actions" }, cancel, save));
        const shown = values(form);
        const keep = (event) => { if (isBusy) event.preventDefault(); };
        const dialog = h("dialog", {
            // A second Escape would not ask any more by `cancel`.
            "aria-labelledby": titleID, oncancel: keep, onkeydown: (event) => { if (event.key === "Escape") keep(event); },
            onclose: () => {
                dialog.remove();
                giveBack();
                resolve(isDone);
            },
        }, form);
        document.body.append(dialog);
        dialog.showModal();
    });
}

/** Asks whether something shall be done. */
export const confirmDialog = (title, text, action, submit) =>
    formDialog({ title, text, action, isDanger: true, submit });

/** Shows something until it is closed. */
export function showDialog(title, ...content) {
    const titleID = newID("title");
    const giveBack = rememberFocus();
    const dialog = h("dialog", {
        "aria-labelledby": titleID, class: "wide",
        onclose: () => {
            dialog.remove();
            giveBack();
        },
    }, h("h2", { id: titleID }, title), content, h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, t("dialog.close"))));
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
}
