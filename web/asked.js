// SPDX-License-Identifier: Apache-2.0
// What is asked for on a page is in its address: it is there again when the page is loaded anew, come back to, or shown in
// the other language.

import { address } from "./api.js";

export const asked = () => Object.fromEntries(new URLSearchParams(location.search));

export function keepInAddress(values) {
    const found = address(location.pathname, values);
    if (found !== location.pathname + location.search) history.replaceState(null, "", found);
}
