// SPDX-License-Identifier: Apache-2.0
// Rules that are read, shown and written as a whole.

import * as api from "./api.js";
import { button, fill, h } from "./dom.js";
import { t } from "./i18n.js";

/** A set of rules that is written as a whole. */
export class Rules {
    constructor(path, show) {
        Object.assign(this, { path, show });
        this.element = h("section", { class: "panel" }, t("table.loading"));
    }

    /** Reads them, and shows them. */
    async read() {
        const { value, version } = await api.getVersioned(this.path);
        this.put(value, version);
    }

    put(value, version) {
        this.version = version;
        fill(this.element, this.show(value, (changed) => this.save(changed)));
    }

    /** Writes it, unless it is not any more what is shown. */
    async save(changed) {
        let answer;
        try {
            answer = await api.put(this.path, changed, { "If-Match": this.version });
        } catch (error) {
            if (error.status !== 412) throw error;
            await this.read();
            throw new Error(t("limits.changed"));
        }
        await this.read();
        return answer;
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
