# SPDX-License-Identifier: Apache-2.0
"""What people do when something is in the way: a name that is taken, an answer that is lost, a click too many."""

import re

from browser import eventually, watched
from flows import column, search

checks = []
LOST = ["Failed to load resource", "failed: "]


def check(function):
    checks.append(function)
    return function


def focused(page):
    """The label of what has the focus."""
    return page.evaluate("""() => {
        const { activeElement: one } = document;
        return one.dataset.control ?? one.getAttribute('aria-label') ?? (one === document.body ? 'BODY' : one.textContent);
    }""")


def refused(page, text):
    page.click("dialog[open] button[type=submit]")
    page.wait_for_selector(f"dialog[open] [role=alert]:has-text('{text}')")


@check
def who_is_added_replaces_nobody(browser, service, screenshots):
    before = service.get("/v1/subjects/user-7")["profile"]
    with watched(browser, service, service.key, expected=["412"]) as one:
        # No search finds who has the id.
        one.page.route(re.compile("/v1/subjects[?].*q="), lambda route: route.fulfill(json={"subjects": [], "next": None}))
        one.page.click("button:has-text('Add a user')")
        one.page.fill("dialog[open] [name=id]", "user-7")
        one.page.fill("dialog[open] [name=username]", "usurper")
        refused(one.page, "There is a user “user-7” already")
        assert service.get("/v1/subjects/user-7")["profile"] == before
        one.dialog(id="added-1", username="added")
        assert service.get("/v1/subjects/added-1")["profile"]["username"] == "added"


@check
def what_a_button_could_not_do_is_said(browser, service, screenshots):
    with watched(browser, service, service.key, expected=LOST) as one:
        page = one.page
        page.route("**/v1/credits/*", lambda route: route.abort("connectionrefused"))
        page.click("button[aria-label^='Credits: '] >> nth=0")
        page.wait_for_selector(".message.error:has-text('cannot be reached')")
        page.route("**/v1/session", lambda route: route.abort("connectionrefused"))
        page.click("header button:has-text('Sign out')")
        eventually(page, lambda: page.locator(".message.error").count() == 2, "that signing out failed")
        assert page.locator("tbody tr").count() == 50 and page.locator("header nav").count() == 1
        page.unroute("**/v1/session")
        page.click("header button:has-text('Sign out')")
        page.wait_for_selector("input[name=key]")


@check
def a_page_is_turned_once_at_a_time(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        first = column(one, "Username")
        waiting = []
        page.route(re.compile("/v1/subjects[?].*cursor="), lambda route: waiting.append(route))
        page.evaluate("""() => {
            const next = [...document.querySelectorAll('.pager button')].at(-1);
            next.click();
            next.click();
        }""")
        eventually(page, lambda: waiting, "the next page is asked for")
        for route in waiting:
            route.continue_()
        page.unroute(re.compile("/v1/subjects[?].*cursor="))
        eventually(page, lambda: column(one, "Username")[0] > first[-1], "the second page")
        assert one.texts(".pager .muted") == ["Page 2"]
        page.click(".pager button:has-text('Previous')")
        eventually(page, lambda: column(one, "Username") == first, "the first page again")
        assert one.texts(".pager .muted") == ["Page 1"]


@check
def credits_are_granted_once_and_what_was_done_is_said(browser, service, screenshots):
    path = "/v1/credits/user-21"
    with watched(browser, service, service.key, expected=LOST) as one:
        page = one.page
        search(one, "user021@")
        before = service.get(path)
        known = {grant["id"] for grant in before["grants"]}

        def granted():
            return sorted(grant["remaining"] for grant in service.get(path)["grants"] if grant["id"] not in known)
        grants = f"**{path}/grants"
        page.route(grants, lambda route: route.fulfill(status=503, json={"detail": "not now", "code": "backend_unavailable"}))
        page.click("button[aria-label='Credits: user021 (user-21)']")
        page.fill("dialog[open] [name=grant]", "5")
        page.fill("dialog[open] [name=allowance]", str(before["monthly_allowance"] + 10))
        refused(page, "The allowance is changed. The grant: not now")
        assert service.get(path)["monthly_allowance"] == before["monthly_allowance"] + 10
        page.unroute(grants)
        # Another amount is another grant.
        one.dialog(grant="7", allowance="")
        page.wait_for_selector(".message:has-text('7 credits granted. Allowance changed.')")
        assert granted() == [7], granted()

        # One whose answer was lost is not made again in another amount.
        def lose(route):
            service.call("POST", f"{path}/grants", route.request.post_data_json)
            route.abort("connectionreset")
        page.route(grants, lose)
        page.click("button[aria-label='Credits: user021 (user-21)']")
        page.fill("dialog[open] [name=grant]", "3")
        refused(page, "cannot be reached")
        page.unroute(grants)
        page.fill("dialog[open] [name=grant]", "4")
        refused(page, "3 credits were granted")
        page.keyboard.press("Escape")
        page.wait_for_selector(".message:has-text('3 credits granted')")
        assert granted() == [3, 7], granted()


@check
def people_are_found_by_name_and_who_is_unknown_is_said_to_be(browser, service, screenshots):
    with watched(browser, service, service.key, expected=["404"]) as one:
        page = one.page
        search(one, "user007@")
        page.wait_for_selector("tbody th .id:text-is('user-7')")
        page.click("button[aria-label='Edit: user007 (user-7)']")
        assert page.input_value("dialog[open] [name=id]") == "user-7"
        page.keyboard.press("Escape")
        one.open("/usage")
        for text in ["user007", "USER007@example.com", "user-7"]:
            page.fill("input[name=id]", text)
            page.press("input[name=id]", "Enter")
            page.wait_for_selector("h2:has-text('user007') .id:text-is('user-7')")
            page.wait_for_selector("dt:text-is('Files failed')")
            page.fill("input[name=id]", "nobody-7")
            page.press("input[name=id]", "Enter")
            page.wait_for_selector("[role=alert]:has-text('Nobody is known by this name: “nobody-7”')")
            assert page.locator("dt:text-is('Files failed')").count() == 0
        one.open("/dashboard/keys")
        held = service.get("/api/elevenlabs/keys?assigned=true&limit=1000")["keys"]
        holder = held[0]["assigned_user_id"]
        page.fill("input[name=user_id]", service.get(f"/v1/subjects/{holder}")["profile"]["username"])
        page.press("input[name=user_id]", "Tab")
        own = [key["name"] for key in held if key["assigned_user_id"] == holder]
        eventually(page, lambda: column(one, "Name") == own, "the keys of one user")
        page.fill("input[name=user_id]", "nobody-7")
        page.press("input[name=user_id]", "Tab")
        page.wait_for_selector(".status .error:has-text('Nobody is known')")
        # A provider that cannot be has no keys.
        page.fill("input[name=user_id]", "")
        page.press("input[name=user_id]", "Tab")
        page.wait_for_selector("tbody tr")
        page.fill("input[name=provider]", "Eleven Labs")
        page.press("input[name=provider]", "Tab")
        page.wait_for_selector("tbody tr", state="detached")
        one.open("/dashboard/live")
        page.fill("input[name=subject]", "nobody-7")
        page.press("input[name=subject]", "Tab")
        page.wait_for_selector(".tag.bad:has-text('Nobody is known')")


@check
def the_limit_of_one_subject_is_shown_before_it_is_changed(browser, service, screenshots):
    path = "/v1/limits/files_per_day/subjects/user-7"
    with watched(browser, service, service.key, expected=["404"]) as one:
        page = one.page
        one.open("/dashboard/limits")

        def ask(name):
            page.click("button[aria-label='For one subject: files_per_day']")
            page.fill("dialog[open] [name=id]", name)
        ask("nobody-7")
        refused(page, "Nobody is known")
        page.fill("dialog[open] [name=id]", "user007")
        page.click("dialog[open] button[type=submit]")
        page.wait_for_selector("dialog[open]:has-text('It has no limit of its own')")
        refused(page, "Fill in an amount")
        one.dialog(limit="250")
        assert service.get(path)["limit"] == 250
        ask("user007@example.com")
        page.click("dialog[open] button[type=submit]")
        page.wait_for_selector("dialog[open]:has-text('Its own limit is 250')")
        assert page.input_value("dialog[open] [name=limit]") == "250"
        page.fill("dialog[open] [name=limit]", "")
        refused(page, "Fill in an amount")
        assert service.get(path)["limit"] == 250
        page.check("dialog[open] [name=forget]")
        one.dialog()
        assert service.get(path)["limit"] is None


@check
def the_focus_is_given_back(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        # While it is sent, what sends it keeps the focus.
        search(one, "user018@")
        waiting = []
        page.route("**/v1/subjects/user-18", lambda route: waiting.append(route))
        page.click("button[aria-label='Edit: user018 (user-18)']")
        page.fill("dialog[open] [name=full_name]", "Another Name")
        page.focus("dialog[open] button[type=submit]")
        page.keyboard.press("Enter")
        eventually(page, lambda: waiting, "the profile is sent")
        assert focused(page) == "Save" and page.get_attribute("dialog[open] button[type=submit]", "aria-disabled") == "true"
        waiting[0].continue_()
        page.unroute("**/v1/subjects/user-18")
        page.wait_for_selector(".message:has-text('Saved: user018')")
        one.ready()
        eventually(page, lambda: focused(page) == "Edit: user018 (user-18)", f"the focus on what was pressed, not on {focused(page)}")
        search(one, "")
        page.focus("header select[data-control=language]")
        one.language("vi")
        assert focused(page) == "language"
        one.language("en")
        for _ in range(10):
            if page.get_attribute(".pager button >> nth=1", "aria-disabled") == "true":
                break
            page.focus(".pager button >> nth=1")
            page.keyboard.press("Enter")
            page.wait_for_timeout(50)
            one.ready()
        assert focused(page) == "Next", focused(page)
        one.open("/dashboard/limits")
        page.focus("button:has-text('Add a model')")
        page.keyboard.press("Enter")
        one.dialog(name="focus*", input="1")
        eventually(page, lambda: focused(page) == "Add a model", f"the focus on what was pressed, not on {focused(page)}")
        page.focus("button[aria-label='Delete: focus*']")
        page.keyboard.press("Enter")
        one.dialog()
        # What had it is gone.
        eventually(page, lambda: focused(page) == "Limits and prices", f"the focus on the heading, not on {focused(page)}")


@check
def money_decimals_and_refusals_are_those_of_the_language(browser, service, screenshots):
    service.call("POST", "/v1/workspaces", {"id": "saigon", "currency": "VND", "time_zone": "Asia/Ho_Chi_Minh"})
    there = {"X-Tally-Workspace": "saigon"}
    service.call("PUT", "/v1/prices", {"per_message": "1500.5", "credit_rate": "0", "models": {"m": {"input": "2.5"}}}, there)
    service.call("PUT", "/v1/subjects/mai", {"username": "mai"}, there)
    service.call("POST", "/v1/events", {"id": "saigon-1", "subject": "mai", "meters": {"messages": 1}}, there)
    with watched(browser, service, service.key, locale="vi-VN", expected=["409"]) as one:
        page = one.page
        page.wait_for_selector("option[value=saigon]", state="attached")
        page.select_option("header select[data-control=workspace]", "saigon")
        page.wait_for_selector("tbody th:has-text('mai')")
        one.open("/dashboard/workspace")
        page.wait_for_selector("canvas")
        cost = page.inner_text(".tile strong >> nth=0")
        assert re.fullmatch(r"1\.50[01]\s₫", cost), cost
        # Between 0 and 1 message there is no other number to be told.
        ticks = "() => Chart.getChart(document.querySelectorAll('canvas')[1])?.scales.value0.ticks.map((one) => one.label)"
        eventually(page, lambda: page.evaluate(ticks), "the hours are drawn")
        labels = page.evaluate(ticks)
        assert len(labels) == len(set(labels)) > 1, labels
        # On a phone, too, each month has its name.
        page.set_viewport_size({"width": 360, "height": 800})
        months = "() => Chart.getChart(document.querySelectorAll('canvas')[2])?.scales.x.ticks.length"
        eventually(page, lambda: page.evaluate(months) == 4, "the names of four months")
        page.set_viewport_size({"width": 1280, "height": 900})
        one.open("/dashboard/limits")
        page.wait_for_selector("p:has-text('1.500,5 mỗi tin nhắn')")
        assert "2,5" in one.texts("section:has(> h2:text-is('Giá')) tbody td")
        page.click("button:has-text('Giá tin nhắn và tỷ lệ')")
        assert page.input_value("dialog[open] [name=per_message]") == "1500,5"
        # It may be one and a half, or fifteen hundred.
        page.fill("dialog[open] [name=per_message]", "1.500")
        assert not page.evaluate("document.querySelector('dialog[open] [name=per_message]').validity.valid")
        one.dialog(per_message="2,75")
        assert service.call("GET", "/v1/prices", None, there)["per_message"] == "2.75"
        one.open("/dashboard/users")
        page.click("button[aria-label='Cấp khóa: mai']")
        page.fill("dialog[open] [name=quantity]", "1")
        refused(page, "Không còn khóa nào để cấp")
        page.keyboard.press("Escape")
        # A day ends when it ends there.
        page.click("button[aria-label='Tín dụng: mai']")
        one.dialog(grant="2,5", expires="2031-03-01")
        grant = service.call("GET", "/v1/credits/mai", None, there)["grants"][-1]
        assert grant["expires_at"] == "2031-03-01T16:59:59Z" and grant["remaining"] == 2.5, grant


@check
def a_guest_of_any_letters_sees_the_times_of_the_workspace(browser, service, screenshots):
    service.call("POST", "/usage/track/upload", {"file_size": 1048576, "processing_type": "transcription", "guest_id": "khách"})
    session = service.call("GET", "/v1/session")
    with watched(browser, service, expected=["401"]) as one:
        page = one.page
        page.route("**/v1/session", lambda route: route.fulfill(json={
            **session, "role": "guest", "name": "guest", "subject": "guest:khách", "time_zone": "Asia/Kolkata",
        }) if route.request.method == "GET" else route.continue_())
        one.open("/usage")
        # A key may have other letters, too: then it is not known, and the service is there all the same.
        page.fill("input[name=key]", "khóa của tôi không đúng")
        page.click("form:has(input[name=key]) button")
        page.wait_for_selector("[role=alert]:has-text('not known')")
        page.click("summary:has-text('as a guest')")
        page.fill("input[name=id]", "khách")
        page.click("button:has-text('Show my usage')")
        page.wait_for_selector("tbody th:text-is('transcription')")
        page.wait_for_selector("li:has-text('Files per day'):has-text('05:30')")


@check
def keys_that_did_not_come_in_stay_in_the_field(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/keys")
        page.click("button:has-text('Import keys')")
        page.fill("dialog[open] [name=table]", "name,secret,credit_balance\nFirst,sk-part-1,5\nTwice,sk-part-1,6\nOdd,sk-part-2,x\nLast,sk-part-3,7\n")
        read = len([url for url in one.requests if "/elevenlabs/keys?" in url])
        refused(page, "2 imported, 2 not. Row 1:")
        eventually(page, lambda: len([url for url in one.requests if "/elevenlabs/keys?" in url]) > read, "the keys are read anew")
        assert page.input_value("dialog[open] [name=table]") == "name,secret,credit_balance\nTwice,sk-part-1,6\nOdd,sk-part-2,x\n"
        one.dialog(table="name,secret,credit_balance\nOdd,sk-part-2,8\n")
        names = {key["name"] for key in service.get("/api/elevenlabs/keys?limit=1000")["keys"]}
        assert {"First", "Odd", "Last"} <= names and "Twice" not in names


@check
def a_page_of_an_older_version_is_loaded_anew(browser, service, screenshots):
    with watched(browser, service, service.key, expected=["404", "page-audit.js"]) as one:
        page = one.page
        gone = []

        def answer(route):
            gone.append(route.request.url)
            route.fulfill(status=404, body="")
        page.route("**/page-audit.js", answer, times=1)
        page.click("header nav a[href='/dashboard/audit']")
        page.wait_for_selector("tbody tr code")
        assert len(gone) == 1
        # Once: what is still not there then is said.
        page.route("**/page-alerts.js", lambda route: route.fulfill(status=404, body=""))
        one.expected += ["page-alerts.js"]
        page.click("header nav a[href='/dashboard/alerts']")
        page.wait_for_selector("[role=alert]:has-text('could not be loaded')")


@check
def live_figures_go_with_the_stream(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        asked = []

        def answer(route):
            asked.append(route.request.url)
            if len(asked) > 1:
                return route.fulfill(status=503, json={"detail": "not now"})
            route.fulfill(content_type="text/event-stream", body=(
                'retry: 1\nevent: summary\ndata: {"events": 7, "meters": {"credits_micro": 2500000, "cost_micro": 1250000}, "latest": '
                '[{"id": "a", "time": "2026-11-21T10:00:00Z", "subject": "one", "action": "act", "model": null, '
                '"meters": {"credits_micro": 2500000}}]}\n\n'))
        page.add_init_script("""addEventListener('DOMContentLoaded', () => {
            globalThis.rates = [];
            new MutationObserver(() => {
                const text = document.querySelector('#rate')?.textContent;
                if (text && rates.at(-1) !== text) rates.push(text);
            }).observe(document, { childList: true, subtree: true, characterData: true });
        })""")
        one.expected = LOST
        page.route("**/v1/stream*", answer)
        one.open("/dashboard/live")
        page.wait_for_selector(".tag.bad:has-text('interrupted')")
        eventually(page, lambda: page.evaluate("rates").count("–") > 1, "the figure is gone")
        assert "7" in page.evaluate("rates") and page.inner_text("#rate") == "–"
        assert "meter=tokens" in asked[0], asked
        page.wait_for_selector("tbody td:has-text('credits 2.5')")
        assert page.locator(".rate .facts > *").count() == 0


@check
def the_header_tells_the_name_of_the_key(browser, service, screenshots):
    key = service.call("POST", "/v1/keys", {"role": "admin", "name": "back office"})["secret"]
    with watched(browser, service, key) as one:
        one.page.wait_for_selector("header .who:has-text('back office')")
    with watched(browser, service, service.make_key("self", subject="user-1")) as one:
        assert one.page.inner_text("header .who").startswith("user-1"), one.page.inner_text("header .who")
    with watched(browser, service, service.make_key("reader")) as one:
        assert one.page.inner_text("header .who") == "reader"


@check
def dates_that_cannot_be_are_not_exported(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        one.open("/dashboard/workspace")
        one.page.fill("input[name=from]", "")
        one.page.click("button:has-text('Export CSV')")
        one.page.wait_for_timeout(300)
        assert not any("/usage/export/" in url for url in one.requests)
        assert one.page.evaluate("document.activeElement.name") == "from"
