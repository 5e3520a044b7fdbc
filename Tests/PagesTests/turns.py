# SPDX-License-Identifier: Apache-2.0
"""What happens in another order: another tab, another page, an answer that comes late, or none at all."""

import re

from browser import eventually, in_width, watched
from faults import LOST
from flows import row, search

checks = []
SIGN_IN = "(key) => fetch('/v1/session', { method: 'POST', headers: { Authorization: `Bearer ${key}` } })"


def check(function):
    checks.append(function)
    return function


class Held:
    """Answers that do not come before they are let go."""

    def __init__(self, page, path):
        self.page, self.path, self.routes = page, path, []
        page.route(path, lambda route: self.routes.append(route))

    def wait(self, count=1):
        eventually(self.page, lambda: len(self.routes) >= count, f"{count} of {self.path}")

    def let_go(self):
        for route in self.routes:
            route.continue_()
        self.page.unroute(self.path)


def another_tab(one, path="/"):
    page = one.context.new_page()
    page.set_default_timeout(30_000)
    page.goto(one.service.url + path)
    return page


def sign_in(page, key):
    page.fill("input[name=key]", key)
    page.click("form:has(input[name=key]) button")


@check
def what_is_shown_of_one_workspace_is_not_done_in_another(browser, service, screenshots):
    keys = {}
    for workspace in ["alpha", "beta"]:
        service.call("POST", "/v1/workspaces", {"id": workspace})
        keys[workspace] = service.make_key("admin", workspace=workspace)
        service.call("PUT", "/v1/subjects/ann", {"username": "ann"}, {"X-Tally-Workspace": workspace})
    with watched(browser, service, keys["alpha"], expected=["409"]) as one:
        page = one.page
        page.click("button[aria-label='Credits: ann']")
        page.fill("dialog[open] [name=grant]", "77")
        another_tab(one, "/readyz").evaluate(SIGN_IN, keys["beta"])
        page.click("dialog[open] button[type=submit]")
        page.wait_for_selector(".message:has-text('Somebody else has signed in')")
        page.wait_for_selector("header .bar:has-text('beta')")
        assert page.locator("dialog[open]").count() == 0
        one.ready()
        for workspace in keys:
            assert service.call("GET", "/v1/credits/ann", None, {"X-Tally-Workspace": workspace})["grants"] == [], workspace
        # From now on it is who is shown.
        page.click("button[aria-label='Credits: ann']")
        one.dialog(grant="5")
        (grant,) = service.call("GET", "/v1/credits/ann", None, {"X-Tally-Workspace": "beta"})["grants"]
        assert float(grant["remaining"]) == 5, grant


@check
def who_signs_out_or_in_does_so_in_all_tabs(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/live")
        page.wait_for_selector(".tag.good:has-text('connected')")
        other = another_tab(one, "/dashboard/audit")
        other.wait_for_selector("tbody tr")
        other.click("header button:has-text('Sign out')")
        other.wait_for_selector("input[name=key]")
        page.wait_for_selector("input[name=key]")
        assert page.locator("#rate").count() == 0
        sign_in(other, service.make_key("reader"))
        page.wait_for_selector("header .who:has-text('reader')")
        page.wait_for_selector("#rate")
        # Nothing more is asked as who is not signed in any more.
        other.click("header button:has-text('Sign out')")
        page.wait_for_selector("input[name=key]")
        sign_in(page, service.key)
        other.wait_for_selector("header .who:has-text('operator')")


@check
def a_guest_leaves_the_session_of_another_tab(browser, service, screenshots):
    with watched(browser, service) as one:
        one.open("/")
        other = another_tab(one)
        sign_in(other, service.make_key("reader"))
        one.page.wait_for_selector("header .who:has-text('reader')")
        guest = another_tab(one, "/readyz")
        guest.evaluate("sessionStorage.setItem('tally.guest', 'g9')")
        guest.goto(service.url + "/usage")
        guest.wait_for_selector("header .who:has-text('guest')")
        guest.click("header button:has-text('Sign out')")
        guest.wait_for_selector("input[name=key]")
        for page in [one.page, other]:
            page.reload()
            page.wait_for_selector("header .who:has-text('reader')")


@check
def an_alert_keeps_a_limit_that_was_deleted(browser, service, screenshots):
    limits = service.get("/v1/limits")["limits"]
    service.call("PUT", "/v1/limits", {"limits": [*limits, {"name": "brief", "meter": "messages", "window": "day", "user": 5}]})
    hook = {"webhook": "https://1.1.1.1/hook"}
    service.call("PUT", "/v1/alerts", {"alerts": [{"name": "old", "on": {"limit": "brief"}, "percent": [80], "to": hook}]})
    service.call("PUT", "/v1/limits", {"limits": limits})
    try:
        with watched(browser, service, service.key, expected=["422"]) as one:
            page = one.page
            one.open("/dashboard/alerts")
            page.click("button[aria-label='Edit: old']")
            assert page.locator("dialog[open] [name=on] option:checked").inner_text() == "limit brief (deleted)"
            page.fill("dialog[open] [name=percent]", "90")
            page.click("dialog[open] button[type=submit]")
            page.wait_for_selector("dialog[open] [role=alert]:has-text('no limit of this name')")
            one.dialog(percent="80")
            page.click("button:has-text('Add an alert')")
            page.fill("dialog[open] [name=name]", "new")
            page.fill("dialog[open] [name=to]", hook["webhook"])
            page.click("dialog[open] button[type=submit]")
            page.wait_for_selector("dialog[open] pre:has-text('whsec_')")
            page.click("dialog[open] button:has-text('Close')")
            alerts = {alert["name"]: alert["on"] for alert in service.get("/v1/alerts")["alerts"]}
            assert alerts == {"old": {"limit": "brief"}, "new": {"balance": True}}, alerts
    finally:
        service.call("PUT", "/v1/alerts", {"alerts": []})


@check
def only_what_was_changed_is_written(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/kim", {"username": "kim", "email": "kim@example.com", "phone": "+84901234567", "full_name": " Kim "})
    service.call("POST", "/api/turning/keys/import", [{"name": "turning", "secret": "sk-turning-1", "credit_balance": 300}])
    (key,) = service.get("/api/turning/keys")["keys"]
    with watched(browser, service, service.key) as one:
        page = one.page
        written = []
        page.on("request", lambda request: request.method == "PATCH" and written.append(request.post_data_json))
        search(one, "kim@example.com")
        page.click("button[aria-label='Edit: kim']")
        service.call("PATCH", "/v1/subjects/kim", {"email": "new@example.com", "active": False})
        one.dialog(phone="+84907654321")
        profile = service.get("/v1/subjects/kim")["profile"]
        assert (profile["email"], profile["active"], profile["phone"]) == ("new@example.com", False, "+84907654321"), profile
        search(one, "new@example.com")
        page.click("button[aria-label='Edit: kim']")
        one.dialog()
        page.click("button[aria-label='Edit: kim']")
        one.dialog(phone="")
        one.open("/dashboard/keys")
        page.fill("input[name=provider]", "turning")
        page.press("input[name=provider]", "Tab")
        page.click("button[aria-label^='Edit: turning (']")
        service.call("POST", "/api/tool/turning/status", {"key_id": key["id"], "status": "dead", "credit_balance": 0, "error_message": "banned"})
        one.dialog(name="turned")
        (key,) = service.get("/api/turning/keys")["keys"]
        assert (key["name"], key["status"], key["credit_balance"]) == ("turned", "dead", 0), key
        page.click("button[aria-label^='Edit: turned (']")
        one.dialog(credit_balance="", status="active")
        assert written == [{"phone": "+84907654321"}, {"phone": None}, {"name": "turned"}, {"status": "active", "credit_balance": None}], written


@check
def a_dialog_stays_until_it_is_known_what_was_done(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/carl", {"username": "carl"})
    with watched(browser, service, service.key) as one:
        page = one.page
        search(one, "carl")
        page.click("button[aria-label='Credits: carl']")
        page.fill("dialog[open] [name=grant]", "5")
        held = Held(page, "**/v1/credits/carl/grants")
        page.press("dialog[open] [name=grant]", "Enter")
        held.wait()
        for _ in range(3):
            page.keyboard.press("Escape")
        page.click("dialog[open] button:has-text('Cancel')", force=True)
        page.press("dialog[open] [name=grant]", "Enter")
        assert page.locator("dialog[open] button[aria-disabled=true]").count() == 2
        held.let_go()
        page.wait_for_selector(".message:has-text('5 credits granted')")
        assert page.locator("dialog[open]").count() == 0 and len(held.routes) == 1
        assert len(service.get("/v1/credits/carl")["grants"]) == 1
        # Before it sends, and after it was refused, it is left as ever.
        for leave in [lambda: page.keyboard.press("Escape"), lambda: page.click("dialog[open] button:has-text('Cancel')")]:
            page.click("button[aria-label='Credits: carl']")
            page.click("dialog[open] button[type=submit]")
            page.wait_for_selector("dialog[open] [role=alert]:has-text('Fill in')")
            leave()
            page.wait_for_selector("dialog[open]", state="detached")


@check
def a_button_does_what_it_says_right_after_a_search(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/carl", {"username": "carl"})
    with watched(browser, service, service.key) as one:
        page = one.page
        search(one, "carl")
        page.hover("button[aria-label='Credits: carl']")
        # The field is left by the press; who presses slowly has pressed nonetheless.
        page.mouse.down()
        page.wait_for_timeout(500)
        one.ready()
        page.mouse.up()
        page.wait_for_selector("dialog[open] [name=grant]")


@check
def who_was_looked_for_last_is_shown(browser, service, screenshots):
    for subject in ["slow-ann", "fast-bob"]:
        service.call("PUT", f"/v1/subjects/{subject}", {"username": subject})
        service.call("POST", "/v1/events", {"id": f"turns-{subject}", "subject": subject, "meters": {"files_downloaded": 1}})
    with watched(browser, service, service.key) as one:
        page = one.page
        for path, field, heading in [
            ("/usage", "input[name=id]", "main > div > h2"),
            ("/dashboard/credits", "form[role=search] input[name=subject]", "section > .panel-head > h2:has(bdi):not([class])"),
        ]:
            one.open(path)
            held = Held(page, re.compile("/v1/subjects[?].*q=slow-ann"))
            page.fill(field, "slow-ann")
            page.press(field, "Enter")
            held.wait()
            page.fill(field, "fast-bob")
            page.press(field, "Enter")
            page.wait_for_selector(f"{heading}:has-text('fast-bob')")
            with page.expect_response(lambda answer: "q=slow-ann" in answer.url):
                held.let_go()
            one.ready()
            page.wait_for_timeout(500)
            assert one.texts(heading) == ["fast-bob"], (path, one.texts(heading))


@check
def nothing_comes_up_on_another_page(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/carl", {"username": "carl"})
    service.call("POST", "/v1/workspaces", {"id": "elsewhere"})
    leave = {
        "elsewhere": lambda page: page.select_option("header select[data-control=workspace]", "elsewhere"),
        # The dialog that waits is in front of the page: by the browser's own button, or another tab's doing.
        "default": lambda page: page.evaluate("document.querySelector('header nav a[href=\"/dashboard/audit\"]').click()"),
    }
    with watched(browser, service, service.key) as one:
        page = one.page
        for name, path, button in [
            ("elsewhere", "**/v1/credits/carl", "button[aria-label='Credits: carl']"),
            ("default", "**/api/users/carl/stats", "button[aria-label$='keys of carl']"),
        ]:
            one.open("/dashboard/users")
            page.select_option("header select[data-control=workspace]", "default")
            one.ready()
            search(one, "carl")
            held = Held(page, path)
            page.click(button)
            held.wait()
            leave[name](page)
            page.wait_for_selector("tbody th:text-is('carl')", state="detached")
            one.ready()
            held.let_go()
            page.wait_for_timeout(500)
            assert page.locator("dialog").count() == 0, name
        held = Held(page, "**/v1/workspace")
        page.click("header nav a:has-text('Live')")
        held.wait()
        page.click("header nav a:has-text('Audit log')")
        one.ready()
        held.let_go()
        page.wait_for_timeout(500)
        assert not any("/v1/stream" in url for url in one.requests)
        # A workspace that is gone is not looked at, and the page goes on with its own.
        one.expected = ["404"]
        page.evaluate("""() => {
            const select = document.querySelector('header select[data-control=workspace]');
            select.append(new Option('never', 'never'));
            select.value = 'never';
            select.dispatchEvent(new Event('change'));
        }""")
        page.wait_for_selector(".message.error")
        assert page.input_value("header select[data-control=workspace]") == "default"


@check
def a_stream_that_is_silent_is_interrupted(browser, service, screenshots):
    with watched(browser, service, service.key, expected=LOST) as one:
        page = one.page
        # Its first connection stays open, and tells of one second only.
        page.add_init_script("""
            const { fetch } = globalThis;
            globalThis.streams = 0;
            globalThis.fetch = (url, options) => {
                if (!String(url).startsWith('/v1/stream') || ++globalThis.streams > 1) return fetch(url, options);
                return Promise.resolve(new Response(new ReadableStream({
                    start(controller) {
                        controller.enqueue(new TextEncoder().encode('event: summary\\ndata: {"events": 37, "meters": {}, "latest": []}\\n\\n'));
                        options.signal.addEventListener('abort', () => controller.error(options.signal.reason));
                    },
                })));
            };""")
        one.open("/dashboard/live")
        page.wait_for_selector("#rate:text-is('37')")
        page.wait_for_selector(".tag.bad")
        page.wait_for_selector("#rate:text-is('–')")
        eventually(page, lambda: page.evaluate("streams") == 2, "it is asked for again")
        page.wait_for_selector(".tag.good:has-text('connected')")
        page.wait_for_selector("#rate:text-is('0')")


@check
def numbers_are_whole_and_no_less_than_they_are(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/tiny", {"username": "tiny"})
    service.call("PUT", "/v1/credits/tiny/allowance", {"monthly_allowance": "0"})
    service.call("POST", "/v1/events", {"id": "turns-tiny", "subject": "tiny", "credits": "0.00001", "meters": {"messages": 1}})
    with watched(browser, service, service.key, viewport={"width": 360, "height": 800}) as one:
        page = one.page
        one.open("/dashboard/limits")
        page.wait_for_selector("td.number:has-text('1,048,576,000')")
        lines = page.evaluate("""[...document.querySelectorAll('td.number')].map((one) => {
            const range = document.createRange();
            range.selectNodeContents(one);
            return [one.textContent, new Set([...range.getClientRects()].map((line) => line.top)).size];
        }).filter(([text, count]) => count > 1)""")
        assert not lines, lines
        in_width(page, "limits on a phone")
        one.open("/dashboard/users")
        search(one, "tiny")
        assert row(one, "tiny tiny").or_(row(one, "tiny")).locator("td[data-label='Ready']").count() == 1
        one.open("/dashboard/credits")
        page.fill("form[role=search] input[name=subject]", "tiny")
        page.press("form[role=search] input[name=subject]", "Enter")
        page.wait_for_selector("section:has(> .panel-head h2 bdi:text-is('tiny')) .tile:has(dt:text-is('Balance')) dd:has-text('-0.00001')")
