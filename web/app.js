// SPDX-License-Identifier: Apache-2.0
// The shell of the pages: who is signed in, which page is open, language and theme.

import * as api from "./api.js";
import { button, fill, h, onFailure } from "./dom.js";
import { useWorkspace } from "./format.js";
import { language, languages, setLanguage, t, word } from "./i18n.js";
import { library, redraw, removePlots } from "./plots.js";
import { signInForm } from "./page-signin.js";
import { forGood, forTab } from "./store.js";

const readers = ["operator", "admin", "writer", "reader"];
const admins = ["operator", "admin"];

/** Loads a module, and at the same time what it imports besides the shell's: not one behind the other. */
const modules = (...names) => async () => (await Promise.all(names.map((name) => import(`./${name}.js`))))[0];

// In the order of the navigation; the first one that a role may see is its first page.
const pages = [
    { path: "/dashboard/users", name: "users", roles: readers, load: modules("page-users", "asked", "people", "user-dialogs") },
    { path: "/dashboard/workspace", name: "workspace", roles: readers, hasCharts: true, load: modules("page-workspace", "asked", "period", "tiles") },
    { path: "/dashboard/credits", name: "credits", roles: admins, hasCharts: true, load: modules("page-credits", "asked", "credit-tables", "credit-user", "people", "tiles") },
    { path: "/dashboard/live", name: "live", roles: readers, load: modules("page-live", "asked", "people", "stream") },
    { path: "/dashboard/keys", name: "keys", roles: admins, load: modules("page-keys", "asked", "people", "user-dialogs") },
    { path: "/dashboard/limits", name: "limits", roles: readers, load: modules("page-limits", "people", "rules") },
    { path: "/usage", name: "usage", roles: [...admins, "self", "guest"], load: modules("page-usage", "asked", "people", "tiles") },
    { path: "/dashboard/alerts", name: "alerts", roles: admins, load: modules("page-alerts", "people", "rules") },
    { path: "/dashboard/audit", name: "audit", roles: admins, load: modules("page-audit", "asked", "period") },
];

const app = document.getElementById("app");
const messages = h("div", { class: "messages", role: "status", "aria-live": "polite" });
// Whether it is worth to ask who is signed in: a refusal would be an error in the browser's console.
const signedInKey = "tally.signed-in";
const themeKey = "tally.theme";
const reloadedKey = "tally.reloaded";
// How the service names keys; who comes with a token has the name in it behind `token:`.
const keyPrefix = "key:";
let session = null;
let leave = [];
let leaving = new AbortController();
let opening = 0;

/** Says something for some seconds, aloud to who listens. */
function say(text, isError = false) {
    const message = h("p", { class: isError ? "message error" : "message" }, text);
    messages.append(message);
    setTimeout(() => message.remove(), 8000);
}

onFailure((error) => say(error.message, true));

function allowed() {
    return pages.filter((page) => page.roles.includes(session.role));
}

function leavePage() {
    leaving.abort();
    leaving = new AbortController();
    for (const action of leave) action();
    leave = [];
    removePlots();
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}

// MARK: Signing in and out

async function begin() {
    if (!session && (api.guest.get() || forGood.getItem(signedInKey))) {
        // It comes while the service is asked who is signed in; whether it did is seen when the page is opened.
        const page = pages.find((one) => one.path === location.pathname);
        if (page) moduleOf(page).catch(() => {});
        try {
            enter(await currentSession());
        } catch (error) {
            if (error.status !== 401) return fail(error);
            forget();
        }
    }
    show();
}

async function currentSession() {
    try {
        return await api.currentSession();
    } catch (error) {
        // The workspace that was chosen may be gone, or not be for the key that is signed in with now.
        if (![403, 404].includes(error.status) || !api.workspace.get()) throw error;
        api.workspace.set(null);
        return api.currentSession();
    }
}

/** Goes on as who is signed in. A guest is one in this tab only, whoever is signed in in the others. */
function enter(found) {
    session = found;
    if (found.role !== "guest") forGood.setItem(signedInKey, found.id);
}

function forget() {
    session = null;
    if (api.guest.get()) api.guest.set(null);
    else forGood.removeItem(signedInKey);
    api.workspace.set(null);
}

function end() {
    if (!session) return;
    forget();
    show();
    say(t("session.ended"), true);
}

api.onSignedOut(end);

// Who signs in in another tab is signed in here, too.
let isAsking = false;
async function askAgain() {
    if (!session || isAsking) return;
    isAsking = true;
    try {
        const found = await currentSession();
        if (session && ["id", "workspace"].some((name) => found[name] !== session[name])) {
            enter(found);
            show();
            say(t("session.other"), true);
        }
    } catch {
        // What was refused is said where it was asked for.
    } finally {
        isAsking = false;
    }
}

api.onForbidden(askAgain);

// What another tab notes of it: at once, and not only when something is asked.
addEventListener("storage", (event) => {
    if (event.key !== signedInKey || api.guest.get()) return;
    if (event.newValue === null) end();
    else if (!session) begin();
    else if (event.newValue !== session.id) askAgain();
});

async function signOut() {
    if (session.role !== "guest") await api.remove("/v1/session");
    forget();
    history.pushState(null, "", "/");
    show();
}

function fail(error) {
    fill(app, h("main", { id: "main", class: "narrow" }, h("h1", { tabindex: "-1" }, "Tally"),
        h("p", { class: "error", role: "alert" }, error.message), button(t("table.retry"), begin)));
}

// MARK: The shell

function show() {
    leavePage();
    useWorkspace(session);
    api.useSession(session);
    const main = h("main", { id: "main", tabindex: "-1" });
    const skip = h("a", {
        class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); },
    }, t("shell.skip"));
    if (!session) {
        document.title = `${t("signin.title")} · Tally`;
        fill(app, skip, header(null), main, messages);
        fill(main, signInForm({
            withGuests: pages.some((one) => one.roles.includes("guest")),
            start: (found) => {
                enter(found);
                // Where somebody else signed out, or went back to since, may be a page of theirs.
                if (!allowed().some((one) => one.path === location.pathname)) history.replaceState(null, "", "/");
                show();
            },
        }));
        return;
    }
    const available = allowed();
    const page = available.find((one) => one.path === location.pathname);
    if (!page && location.pathname === "/" && available.length) {
        history.replaceState(null, "", available[0].path);
        return show();
    }
    fill(app, skip, header(page), main, messages);
    app.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (page) open(page, main);
    else fill(main, h("h1", { tabindex: "-1" }, t("shell.notFound")), h("p", null, t("shell.notForRole", { role: word("role", session.role) })));
}

async function open(page, main) {
    const number = ++opening;
    const { signal } = leaving;
    document.title = `${t(`page.${page.name}`)} · Tally`;
    const heading = h("h1", { tabindex: "-1" }, t(`page.${page.name}`));
    // It is seen until something stands behind it.
    const loading = h("p", { class: "status opening", role: "status" }, t("table.loading"));
    fill(main, heading, loading);
    try {
        const module = await loaded(page, loading);
        if (number !== opening || signal.aborted) return;
        // What `signal` ends when the page is left does not go on over another one.
        const view = { main, session, say, signal, isAdmin: admins.includes(session.role), onLeave: (action) => leave.push(action) };
        await module.open(view);
        // The heading stays in its place: it may have the focus.
        loading.remove();
    } catch (error) {
        if (number !== opening || signal.aborted || error.name === "AbortError") return;
        fill(main, heading, h("p", { class: "error", role: "alert" }, error.message),
            button(t("table.retry"), () => open(page, main)));
    }
}

/** The module of a page, which is asked for once unless it did not come, together with what draws its charts. */
function moduleOf(page) {
    if (page.hasCharts) library();
    page.module ??= page.load().catch((error) => {
        page.module = null;
        throw error;
    });
    return page.module;
}

/**
 * The module of a page. A newer service has other files, and the document that names them: it is loaded anew, once,
 * where the service can be reached.
 */
async function loaded(page, status) {
    try {
        const module = await moduleOf(page);
        forTab.removeItem(reloadedKey);
        return module;
    } catch {
        const isReached = await fetch("/readyz", { cache: "no-store" }).then(() => true, () => false);
        if (!isReached) throw new Error(t("error.network"));
        if (forTab.getItem(reloadedKey)) throw new Error(t("error.module"));
        forTab.setItem(reloadedKey, "1");
        fill(status, t("error.moduleAnew"));
        location.reload();
        return new Promise(() => {});
    }
}

function header(page) {
    const nav = session && allowed().length ? h("nav", { "aria-label": t("shell.pages") }, h("ul", null, allowed().map((one) =>
        h("li", null, h("a", {
            href: one.path, "aria-current": one === page ? "page" : null, onclick: follow,
        }, t(`page.${one.name}`)))))) : null;
    return h("header", null,
        h("div", { class: "bar" },
            h("span", { class: "brand" }, "Tally"), workspaceChoice(), h("span", { class: "space" }),
            choice("language", t("shell.language"), languages, language(), (tag) => { setLanguage(tag); show(); }),
            choice("theme", t("shell.theme"), ["auto", "light", "dark"].map((name) => [name, t(`theme.${name}`)]), theme(), setTheme),
            session ? who() : null,
            session ? button(t("shell.signOut"), signOut, { class: "sign-out" }) : null),
        nav);
}

/** Who is signed in: the subject, or the name that an administrator gave the key, with the role. */
function who() {
    const { role, name, subject } = session;
    if (["guest", "operator"].includes(role)) return h("span", { class: "who" }, word("role", role));
    const isID = name.startsWith(keyPrefix);
    const shown = h("bdi", null, subject ?? (isID ? "" : name.replace(/^token:/, "")));
    // Only administrators may look into the list of keys.
    if (isID && !subject && role === "admin") {
        const signedIn = session;
        nameOfKey(name).then((found) => {
            signedIn.name = found;
            fill(shown, found);
        }, () => {});
    }
    return h("span", { class: "who" }, shown, " ", h("small", { class: "muted" }, word("role", role)));
}

/** By what the key that is signed in with was called, from the list that administrators see. */
async function nameOfKey(name) {
    let cursor = null;
    do {
        const page = await api.get("/v1/keys", { limit: 1000, cursor });
        const key = page.keys.find((one) => keyPrefix + one.id === name);
        if (key) return key.name;
        cursor = page.next;
    } while (cursor);
    return "";
}

function choice(control, label, options, value, choose) {
    return h("select", { "aria-label": label, "data-control": control, onchange: (event) => choose(event.target.value) },
        options.map(([option, text]) => h("option", { value: option, selected: option === value }, text)));
}

/** The operator may look at any workspace; the others see which one is theirs. */
function workspaceChoice() {
    if (!session?.workspace) return null;
    if (session.role !== "operator") return h("span", { class: "muted" }, session.workspace);
    let chosen = 0;
    const select = choice("workspace", t("shell.workspace"), [[session.workspace, session.workspace]], session.workspace, async (id) => {
        const turn = ++chosen;
        try {
            // What the page that is shown asks meanwhile is still of its own workspace.
            const found = await api.currentSession(id);
            if (turn !== chosen) return;
            api.workspace.set(id);
            enter(found);
            show();
        } catch (error) {
            if (turn !== chosen) return;
            select.value = session.workspace;
            say(error.message, true);
        }
    });
    api.get("/v1/workspaces").then(({ workspaces }) => {
        fill(select, workspaces.map(({ id }) => h("option", { value: id, selected: id === session?.workspace }, id)));
    }).catch(() => {});
    return select;
}

function follow(event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    history.pushState(null, "", event.currentTarget.href);
    show();
    document.querySelector("h1")?.focus();
    scrollTo(0, 0);
}

// MARK: Theme

const theme = () => forGood.getItem(themeKey) ?? "auto";

function setTheme(name) {
    forGood.setItem(themeKey, name);
    document.documentElement.dataset.theme = name;
    redraw();
}

setTheme(theme());
addEventListener("popstate", show);
begin();
