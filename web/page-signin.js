// SPDX-License-Identifier: Apache-2.0
// Signing in with a key, or looking at one's own usage as a guest.

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { field, values } from "./dialog.js";
import { t } from "./i18n.js";

/** The forms; `start(session)` goes on with who signed in. */
export function signInForm({ start, withGuests = true }) {
    const error = h("p", { class: "error", role: "alert" });
    const keyForm = form(t("signin.action"), error, [{
        name: "key", label: t("signin.key"), type: "password", required: true, autocomplete: "current-password",
        help: t("signin.keyHelp"),
    }], async ({ key }) => {
        try {
            await api.signIn(key);
        } catch (problem) {
            throw problem.status === 401 ? new Error(t("signin.wrong")) : problem;
        }
        start(await api.currentSession());
    });
    return [
        h("div", { class: "narrow" }, h("h1", { tabindex: "-1" }, t("signin.title")), h("p", { class: "muted" }, t("signin.text")),
            error, keyForm, withGuests ? guestForm(start, error) : null),
    ];
}

function guestForm(start, error) {
    return h("details", null, h("summary", null, t("signin.guest")), form(t("signin.guestAction"), error, [{
        name: "id", label: t("signin.guestID"), required: true, maxlength: "128", help: t("signin.guestHelp"),
    }], async ({ id }) => {
        api.guest.set(id);
        let session;
        try {
            session = await api.currentSession();
        } catch (problem) {
            api.guest.set(null);
            throw problem;
        }
        history.replaceState(null, "", "/usage");
        start(session);
    }));
}

function form(action, error, fields, submit) {
    const submitButton = h("button", { type: "submit", class: "primary" }, action);
    const element = h("form", {
        onsubmit: async (event) => {
            event.preventDefault();
            if (submitButton.hasAttribute("aria-disabled")) return;
            submitButton.setAttribute("aria-disabled", "true");
            fill(error);
            try {
                await submit(values(element));
            } catch (problem) {
                fill(error, problem.message);
            }
            submitButton.removeAttribute("aria-disabled");
        },
    }, fields.some((one) => one.type === "password")
        // Browsers that keep keys ask under which name.
        ? h("input", { name: "username", autocomplete: "username", value: "tally", hidden: true }) : null,
    fields.map(field), submitButton);
    return element;
}
