// SPDX-License-Identifier: Apache-2.0
// A period, from a day to another, that is chosen or typed.

// A year that is being typed is one before: 0002, 0020, 0202.
const [firstDay, lastDay] = ["2000-01-01", "9999-12-31"];
const typingPause = 500;

/** What the fields of a period (`from`, `to`) are, besides their names and labels. */
export const dateField = { type: "date", min: firstDay, max: lastDay };

/**
 * Whether the last day of a period is none before the first.
 * @param isTold whether it is said at its field, which takes the focus there.
 */
export function isPeriod(form, isTold = true) {
    const { from, to } = form.elements;
    const least = from.value || firstDay;
    // A field that is told its bounds anew forgets the digits that were typed before a date is complete.
    if (to.min !== least) to.min = least;
    return isTold ? form.reportValidity() : form.checkValidity();
}

/**
 * Applies what is changed in a form with a period, if it is one. A date that is typed changes with each digit of its year:
 * it is applied when no more of them come, or at Enter, and until then nobody is interrupted.
 */
export function onPeriodChange(form, apply) {
    let [isTyped, waiting] = [false, null];
    const applyNow = (isTold) => {
        clearTimeout(waiting);
        if (form.isConnected && isPeriod(form, isTold)) apply();
    };
    const isDate = (event) => event.target.type === "date";
    form.addEventListener("focusin", () => { isTyped = false; });
    form.addEventListener("keydown", (event) => {
        if (!isDate(event)) return;
        if (event.key !== "Enter") isTyped = true;
        else applyNow(true);
    });
    form.addEventListener("change", (event) => {
        clearTimeout(waiting);
        if (isDate(event) && isTyped) waiting = setTimeout(() => applyNow(false), typingPause);
        else applyNow(true);
    });
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        applyNow(true);
    });
}
