// SPDX-License-Identifier: Apache-2.0
// Charts, each with a table of the same numbers. Without the library there are the tables only.

import { fill, h } from "./dom.js";
import { number } from "./format.js";
import { t } from "./i18n.js";
import { plainTable } from "./table.js";

let loading;

/** The library, which is loaded when the first page with charts is asked for; null where it is not there. */
export function library() {
    loading ??= new Promise((resolve) => {
        const script = h("script", { src: new URL("chart.js", import.meta.url).href });
        script.addEventListener("load", () => resolve(globalThis.Chart ?? null));
        script.addEventListener("error", () => resolve(null));
        document.head.append(script);
    });
    return loading;
}

/** The colour that a variable of the style sheet has in the theme of now. */
function colour(name) {
    const probe = h("span", { hidden: true });
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
}

const shown = new Set();

/** Draws all charts anew, in the colours of another theme. */
export function redraw() { for (const plot of shown) plot.draw(); }

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

/** Forgets the charts of a page that is left, or those in an element that is drawn anew. */
export function removePlots(element = null) {
    for (const plot of shown) {
        if (element && !element.contains(plot.element)) continue;
        plot.chart?.destroy();
        shown.delete(plot);
    }
}

/** Draws values by labels: `series` is `[{ label, values, format, axis }]`, one or two of them. */
export class Plot {
    constructor({ title, type = "line", labels, labelTitle, series, isHorizontal = false }) {
        Object.assign(this, { title, type, labels, series, isHorizontal });
        this.canvas = h("canvas", { role: "img", "aria-label": title });
        this.area = h("div", { class: "plot" }, this.canvas);
        const rows = labels.map((label, index) => ({ label, values: series.map((one) => one.values[index]) }));
        const columns = [
            { label: labelTitle, cell: (row) => row.label },
            ...series.map((one, index) => ({
                label: one.label, numeric: true, cell: (row) => one.format(row.values[index]),
            })),
        ];
        const details = h("details", null, h("summary", null, t("plot.table")));
        details.addEventListener("toggle", () => {
            if (details.open && details.children.length === 1) details.append(plainTable(title, columns, rows));
        });
        this.element = h("figure", { class: "panel" }, h("figcaption", null, title), this.area, details);
        this.details = details;
        shown.add(this);
        this.draw();
    }

    async draw() {
        const Chart = await library();
        if (!shown.has(this)) return;
        if (!Chart) {
            fill(this.area, h("p", { class: "muted" }, t("plot.missing")));
            this.details.open = true;
            return;
        }
        this.chart?.destroy();
        Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
        this.chart = new Chart(this.canvas, this.configuration());
    }

    configuration() {
        const text = colour("--muted");
        const grid = { color: colour("--line"), drawBorder: false };
        const colours = [colour("--accent"), colour("--second")];
        const isBar = this.type === "bar";
        const scale = (index) => ({
            beginAtZero: true, position: index ? "right" : "left", grid: index ? { display: false } : grid,
            ticks: {
                color: text, maxTicksLimit: 6, callback: (value) => this.series[index].format(value),
                // Between whole numbers there are none to be told.
                ...(this.series[index].format === number ? { precision: 0 } : {}),
            },
        });
        const valueScales = Object.fromEntries(this.series.map((one, index) => [`value${index}`, scale(index)]));
        const label = { grid: { display: false }, ticks: { color: text, maxRotation: 0, autoSkipPadding: 12 } };
        return {
            type: this.type,
            data: {
                labels: this.labels,
                datasets: this.series.map((one, index) => ({
                    label: one.label, data: one.values, [this.isHorizontal ? "xAxisID" : "yAxisID"]: `value${index}`,
                    borderColor: colours[index], backgroundColor: colours[index],
                    borderWidth: isBar ? 0 : 2, borderDash: index && !isBar ? [5, 3] : [],
                    pointRadius: 0, pointHitRadius: 12, tension: 0, maxBarThickness: 28,
                })),
            },
            options: {
                responsive: true, maintainAspectRatio: false, animation: false,
                indexAxis: this.isHorizontal ? "y" : "x", interaction: { mode: "index", intersect: false },
                scales: { ...valueScales, [this.isHorizontal ? "y" : "x"]: label },
                plugins: {
                    legend: { display: this.series.length > 1, labels: { color: text, boxWidth: 16, boxHeight: isBar ? 10 : 0 } },
                    tooltip: {
                        callbacks: {
                            label: (item) => {
                                const one = this.series[item.datasetIndex];
                                return `${one.label}: ${one.format(item.raw)}`;
                            },
                        },
                    },
                },
            },
        };
    }
}
