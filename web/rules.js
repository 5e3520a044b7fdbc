// SPDX-License-Identifier: Apache-2.0
// Rules that are read, shown and written as a whole.

import * as api from "./api.js";
import { button, fill, h } from "./dom.js";
import { t } from "./i18n.js";

/** A set of rules that is written as a whole. */
export class Rules {
    /** @param title what they are called where it is said, by `say`, that they were written after the page was left. */
    constructor(path, { title, say, show }) {
        Object.assign(this, { path, title, say, show, turn: 0 });
        this.element = h("section", { class: "panel" }, t("table.loading"));
    }

    /** Reads them, and shows them unless others were shown meanwhile. */
    async read() {
        const turn = ++this.turn;
        const { value, version } = await api.getVersioned(this.path);
        if (turn === this.turn) this.put(value, version);
    }

    put(value, version) {
        this.turn += 1;
        // With the version that is shown: a dialog that is open while there come others does not write over them.
        fill(this.element, this.show(value, (changed) => this.save(changed, version)));
    }

    /** Writes it in the place of a version, unless there is another one by now. */
    async save(changed, version) {
        let written;
        try {
            written = await api.putVersioned(this.path, changed, version);
        } catch (error) {
            // It may have been written without an answer.
            this.read().catch(() => {});
            throw error.status === 412 ? new Error(t("limits.changed")) : error;
        }
        if (!this.element.isConnected) this.say(t("users.saved", { name: this.title }));
        this.put(written.value, written.version);
        return written.value;
    }
}

/** Reads what an element shows. What keeps it away is said there, and leaves the rest of the page. */
export async function readOrSay(element, read) {
    try {
        await read();
    } catch (error) {
        fill(element, h("p", { class: "error", role: "alert" }, error.message),
            button(t("table.retry"), () => readOrSay(element, read)));
    }
}
