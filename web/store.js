// SPDX-License-Identifier: Apache-2.0
// What the browser keeps for the pages, for good or for a tab. Where it may keep nothing, it is gone with the page.

function kept(name) {
    try {
        globalThis[name].getItem("");
        return globalThis[name];
    } catch {
        const values = new Map();
        return {
            getItem: (key) => values.get(key) ?? null,
            setItem: (key, value) => values.set(key, String(value)),
            removeItem: (key) => values.delete(key),
        };
    }
}

export const [forGood, forTab] = ["localStorage", "sessionStorage"].map(kept);
