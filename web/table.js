// SPDX-License-Identifier: Apache-2.0
// A table with its states (loading, empty, failed), orders and pages.

import { fill, h, pressIn, rememberFocus } from "./dom.js";
import { t } from "./i18n.js";

// With more columns than that, a row is a card of labelled values where the window is narrow; with still more of them,
// numbers leave the room to words; and with more than that, the window is narrow sooner (style.css says when).
const [plainColumns, roomyColumns, denseColumns] = [3, 6, 10];
const narrow = matchMedia("(max-width: 40rem)");
const noteWidth = () => document.documentElement.toggleAttribute("data-narrow", narrow.matches);
narrow.addEventListener("change", noteWidth);
noteWidth();

// What would make a table wider than the window if it stood in one line; shorter words stay whole.
const longWord = /\S{25,}/;
// So long a number fits into a column of cards; a longer one has two of them.
const narrowDigits = 10;

/**
 * A column: `label`, `cell(row)` (text or an element), and perhaps
 *   `numeric` or `isTime`, `isWide` in a card; `value(row)` to sort the shown rows by; `orders`, the service's names of
 *   orders over all pages, of which a click takes the next one, with a minus when it is descending.
 */
export class Table {
    /**
     * @param load async ({ cursor, order, signal }) => ({ rows, next })
     * @param isFiltered () => whether there may be rows that are not asked for
     */
    constructor({ caption, columns, load, empty = t("table.empty"), order = null, isFiltered = () => false }) {
        Object.assign(this, { caption, columns, load, empty, order, isFiltered });
        this.sorting = null;
        this.rows = [];
        this.drawn = new Map();
        this.cursors = [null];
        this.next = null;
        this.status = h("p", { class: "status", role: "status" }, t("table.loading"));
        this.body = h("tbody", { role: "rowgroup" });
        this.headRow = h("tr", { role: "row" });
        // The roles are said since cards are no table to a browser any more.
        const layout = [[plainColumns, "cards"], [roomyColumns, "dense"], [denseColumns, "many"]]
            .filter(([most]) => columns.length > most).map(([, name]) => name).join(" ") || null;
        this.table = h("table", { role: "table", class: layout }, h("caption", { class: "hidden" }, caption),
            h("thead", { role: "rowgroup" }, this.headRow), this.body);
        this.box = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, this.table);
        this.previous = h("button", { type: "button", onclick: () => this.turn(-1) }, t("table.previous"));
        this.following = h("button", { type: "button", onclick: () => this.turn(1) }, t("table.next"));
        this.page = h("span", { class: "muted" });
        this.pager = h("nav", { class: "pager", "aria-label": t("table.pages", { name: caption }) },
            this.previous, this.page, this.following);
        this.element = h("div", { class: "table" }, this.box, this.status, this.pager);
        this.showHead();
        this.showPager();
    }

    showHead() {
        fill(this.headRow, this.columns.map((column) => {
            const isSorted = this.isSorted(column);
            const isDescending = this.sorting?.isDescending ?? this.order?.startsWith("-");
            const attributes = {
                scope: "col", role: "columnheader", class: tone(column),
                "aria-sort": isSorted ? (isDescending ? "descending" : "ascending") : null,
            };
            if (!column.value && !column.orders) return h("th", attributes, column.label);
            const mark = isSorted ? (isDescending ? "\u00a0▼" : "\u00a0▲") : "";
            return h("th", attributes, h("button", {
                type: "button", class: "sort", title: column.orders ? t("table.sortAll") : t("table.sortPage"),
                onclick: () => this.sort(column),
            }, column.label, h("span", { "aria-hidden": "true" }, mark)));
        }));
    }

    isSorted(column) {
        return this.sorting ? this.sorting.column === column : Boolean(column.orders?.includes(this.order));
    }

    sort(column) {
        const index = this.columns.indexOf(column);
        if (column.orders) {
            const place = this.sorting ? -1 : column.orders.indexOf(this.order);
            this.sorting = null;
            this.order = column.orders[(place + 1) % column.orders.length];
            this.reload();
        } else {
            const isAgain = this.sorting?.column === column;
            this.sorting = { column, isDescending: isAgain ? !this.sorting.isDescending : Boolean(column.numeric) };
            this.showRows();
        }
        this.showHead();
        this.headRow.children[index].querySelector("button")?.focus();
    }

    /** Reads the first page anew. */
    async reload() {
        this.cursors = [null];
        await this.read();
    }

    /** Shows rows that were not asked for here, and forgets the others. */
    show(rows) {
        this.request?.abort();
        this.request = null;
        this.table.removeAttribute("aria-busy");
        this.cursors = [null];
        this.put(rows, null);
        this.showPager();
    }

    put(rows, next) {
        this.rows = rows;
        this.next = next ?? null;
        this.showRows();
        const empty = this.next ? t("table.emptyPage") : this.isFiltered() ? t("table.noMatch") : this.empty;
        fill(this.status, rows.length ? "" : empty);
    }

    /** Reads the shown page anew. */
    async read() {
        this.request?.abort();
        const request = new AbortController();
        this.request = request;
        this.table.setAttribute("aria-busy", "true");
        if (!this.rows.length) fill(this.status, t("table.loading"));
        try {
            const { rows, next } = await this.load({
                cursor: this.cursors.at(-1), order: this.order, signal: request.signal,
            });
            if (this.request !== request) return;
            this.put(rows, next);
        } catch (error) {
            if (this.request !== request || error.name === "AbortError") return;
            this.put([], null);
            fill(this.status, h("span", { class: "error" }, error.message), " ",
                h("button", { type: "button", onclick: () => this.read() }, t("table.retry")));
        }
        this.table.removeAttribute("aria-busy");
        this.showPager();
    }

    showRows() {
        if (this.isHeld) return;
        const press = pressIn(this.body);
        if (press) {
            this.isHeld = true;
            press.then(() => {
                this.isHeld = false;
                this.showRows();
            });
            return;
        }
        let rows = this.rows;
        if (this.sorting) {
            const { column, isDescending } = this.sorting;
            const sign = isDescending ? -1 : 1;
            rows = [...rows].sort((left, right) => sign * compare(column.value(left), column.value(right)));
        }
        const drawn = new Map(rows.map((row) => [row, this.drawn.get(row) ?? this.rowOf(row)]));
        this.drawn = drawn;
        const giveBack = rememberFocus();
        // What is there already stays, with what is selected in it.
        const elements = [...drawn.values()];
        const kept = new Set(elements);
        for (const one of [...this.body.children]) if (!kept.has(one)) one.remove();
        elements.forEach((one, index) => {
            if (this.body.children[index] !== one) this.body.insertBefore(one, this.body.children[index] ?? null);
        });
        giveBack();
    }

    rowOf(row) {
        const name = row.id === undefined ? null : `${this.caption}: ${row.id}`;
        return h("tr", { role: "row", "data-row": name }, this.columns.map((column, index) => {
            const cell = h(index === 0 ? "th" : "td", {
                scope: index === 0 ? "row" : null, role: index === 0 ? "rowheader" : "cell",
                class: [tone(column), column.isWide ? "wide" : null].filter(Boolean).join(" ") || null, "data-label": column.label,
            }, column.cell(row));
            if (column.numeric && cell.textContent.length > narrowDigits) cell.classList.add("long-number");
            if (longWord.test(cell.textContent)) cell.classList.add("breaks");
            return cell;
        }));
    }

    showPager() {
        this.pager.hidden = this.cursors.length === 1 && !this.next;
        // Not `disabled`, which would take the focus away from who has come to an end.
        this.previous.setAttribute("aria-disabled", String(this.cursors.length === 1));
        this.following.setAttribute("aria-disabled", String(!this.next));
        fill(this.page, t("table.page", { page: this.cursors.length }));
    }

    async turn(step) {
        // The place of the page behind is not known before this one is here.
        if (this.table.hasAttribute("aria-busy")) return;
        if (step > 0 && this.next) this.cursors.push(this.next);
        else if (step < 0 && this.cursors.length > 1) this.cursors.pop();
        else return;
        await this.read();
        this.box.scrollTo(0, 0);
        if (this.element.getBoundingClientRect().top < 0) this.element.scrollIntoView();
    }
}

const tone = (column) => (column.numeric ? "number" : column.isTime ? "time" : null);

function compare(left, right) {
    if (typeof left === "number" || typeof right === "number") return (left ?? -Infinity) - (right ?? -Infinity);
    return String(left ?? "").localeCompare(String(right ?? ""));
}

/** A table of rows that are here already. */
export function plainTable(caption, columns, rows, empty) {
    const table = new Table({ caption, columns, empty, load: async () => ({ rows }) });
    table.read();
    return table.element;
}
