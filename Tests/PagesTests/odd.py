# SPDX-License-Identifier: Apache-2.0
"""Who and what is unusual: people without an e-mail, odd names, long words, another key in another tab."""

import re

from browser import eventually, in_width, tables_in_width, watched
from faults import refused
from flows import column, search

checks = []


def check(function):
    checks.append(function)
    return function


def find(page, text):
    page.fill("form[role=search] input[name=subject]", text)
    page.press("form[role=search] input[name=subject]", "Enter")


@check
def who_has_no_email_is_named_and_opened(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/mailless-1", {"username": "mailless"})
    for subject, credits in [("mailless-1", "410.5"), ("bare-1", "400")]:
        service.call("POST", "/v1/events", {"id": f"odd-{subject}", "subject": subject, "action": "report", "credits": credits, "meters": {"messages": 1}})
    top = "section:has(> h2:text-is('Top consumers'))"
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/credits")
        assert one.texts(f"{top} tbody th")[:2] == ["mailless", "bare-1"], one.texts(f"{top} tbody th")
        for caption in ["Balances", "Unusual events"]:
            page.wait_for_selector(f"section:has(h2:text-is('{caption}')) tbody button bdi:text-is('bare-1')")
        for name in ["mailless", "bare-1"]:
            page.click(f"{top} button bdi:text-is('{name}')")
            page.wait_for_selector(f"section:has(> .panel-head h2 bdi:text-is('{name}')) section:has(> h2:text-is('Ledger')) tbody td:text-is('charge')")
            one.ready()
            assert "report" in one.texts("section:has(> .panel-head h2) section:has(> h2:text-is('By action')) tbody th")
            assert "report" in one.texts("section:has(> .panel-head h2):has(h3:text-is('Recent events')) td")
        # By any of their names; of which none is an error in the console.
        for text in ["mailless", "mailless-1", "user007", "user007@example.com"]:
            find(page, text)
            page.wait_for_selector(f"section:has(> .panel-head h2) >> text={'mailless' if text[0] == 'm' else 'user007@example.com'}")
            one.ready()
        one.expected = ["404"]
        find(page, "bare-1")
        page.wait_for_selector("section:has(> .panel-head h2 bdi:text-is('bare-1'))")
        find(page, "nobody-9")
        page.wait_for_selector("[role=alert]:has-text('Nobody is known by this name: “nobody-9”')")


@check
def an_id_is_found_before_a_name_that_is_the_same(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/twin-a", {"username": "twin"})
    service.call("POST", "/v1/events", {"id": "odd-twin", "subject": "twin", "meters": {"messages": 1}})
    service.call("PUT", "/v1/subjects/twin-b", {"username": "twin-a"})
    with watched(browser, service, service.key) as one:
        one.open("/usage")
        for text, heading in [("twin", "twin"), ("TWIN", "twin twin-a"), ("twin-a", "twin twin-a")]:
            one.page.fill("input[name=id]", text)
            one.page.press("input[name=id]", "Enter")
            one.page.wait_for_selector("dt:text-is('Files failed')")
            one.ready()
            assert one.texts("main > div > h2")[0] == heading, (text, one.texts("main > div > h2"))
            one.page.evaluate("document.querySelector('main > div > h2').remove()")


@check
def limits_of_any_name_are_edited(browser, service, screenshots):
    before = service.get("/v1/limits")
    service.call("PUT", "/v1/limits", {"limits": [*before["limits"], {"name": "3d-files", "meter": "files_uploaded", "window": "day", "user": 5}]})
    try:
        with watched(browser, service, service.key) as one:
            page = one.page
            one.open("/dashboard/limits")
            page.click("button[aria-label='Edit: 3d-files']")
            page.fill("dialog[open] [name=user]", "")
            refused(page, "Fill in an amount for users, or one for guests")
            one.dialog(user="7")
            limits = {limit["name"]: limit for limit in service.get("/v1/limits")["limits"]}
            assert limits["3d-files"]["user"] == 7, limits
    finally:
        service.call("PUT", "/v1/limits", {"limits": before["limits"]})


@check
def a_model_is_added_beside_the_others_only(browser, service, screenshots):
    before = service.get("/v1/prices")
    try:
        with watched(browser, service, service.key) as one:
            page = one.page
            one.open("/dashboard/limits")
            page.click("button:has-text('Add a model')")
            page.fill("dialog[open] [name=name]", "gpt-4o*")
            page.fill("dialog[open] [name=input]", "99")
            refused(page, "“gpt-4o*” has a price already")
            assert service.get("/v1/prices") == before
            one.dialog(name="__proto__")
            assert service.get("/v1/prices")["models"] == {**before["models"], "__proto__": {
                "input": "99", "output": "0", "cached_read": "0", "cached_write": "0"}}
            # It is there, too, when another is changed.
            page.click("button[aria-label='Edit: gpt-4o*']")
            one.dialog(output="11")
            models = service.get("/v1/prices")["models"]
            assert models["__proto__"]["input"] == "99" and models["gpt-4o*"]["output"] == "11", models
    finally:
        service.call("PUT", "/v1/prices", before)


@check
def a_key_that_is_revoked_ends_the_live_page(browser, service, screenshots):
    key = service.call("POST", "/v1/keys", {"role": "reader", "name": "short"})
    with watched(browser, service, key["secret"], expected=["401"]) as one:
        one.open("/dashboard/live")
        one.page.wait_for_selector(".tag.good:has-text('connected')")
        service.call("DELETE", f"/v1/keys/{key['id']}")
        one.page.wait_for_selector("input[name=key]")
        one.page.wait_for_selector(".message:has-text('The session has ended')")


@check
def who_signs_in_in_another_tab_is_signed_in_here(browser, service, screenshots):
    with watched(browser, service, service.key, expected=["403", "409"]) as one:
        page = one.page
        other = one.context.new_page()
        other.goto(service.url + "/readyz")
        other.evaluate("(key) => fetch('/v1/session', { method: 'POST', headers: { Authorization: `Bearer ${key}` } })", service.make_key("reader"))
        other.close()
        page.click("header nav a:has-text('Audit log')")
        page.wait_for_selector(".message:has-text('signed in')")
        page.wait_for_selector("header .who:has-text('reader')")
        assert "Audit log" not in one.texts("header nav a") and "Users" in one.texts("header nav a")
        # Where the role is the same, what was refused is said, and nothing else happens.
        page.click("header nav a:has-text('Users')")
        page.wait_for_selector("tbody tr")
        one.ready()
        asked = len([url for url in one.requests if url.endswith("/v1/session")])
        page.route(re.compile("/v1/subjects[?]"), lambda route: route.fulfill(status=403, json={"detail": "not for you", "code": "forbidden"}))
        page.fill("input[name=q]", "user")
        page.wait_for_selector(".status:has-text('not for you')")
        eventually(page, lambda: len([url for url in one.requests if url.endswith("/v1/session")]) == asked + 1, "it is asked once who is signed in")


@check
def long_words_are_broken(browser, service, screenshots):
    role, action, model = "r" * 64, "a" * 64, "m" * 128
    service.call("PUT", "/v1/subjects/long-1", {"username": "u" * 120, "full_name": "n" * 200, "email": f"{'e' * 60}@{'d' * 60}.example.com", "role": role})
    service.call("POST", "/v1/events", {"id": "odd-long", "subject": "long-1", "action": action, "model": model, "credits": "350", "meters": {"messages": 1}})
    # Somebody without a balance, and with long names.
    service.call("PUT", f"/v1/subjects/{'idle' * 30}", {"username": "idle"})
    try:
        with watched(browser, service, service.key) as one:
            page = one.page
            search(one, "u" * 20)
            assert column(one, "Role") == [role]
            tables_in_width(page, "users")
            one.open("/dashboard/credits")
            page.wait_for_selector(f"p:has-text('Without a balance'):has-text('{'idle' * 30}')")
            page.wait_for_selector(f"section:has(h2:text-is('Unusual events')) td:text-is('{model}')")
            tables_in_width(page, "credits")
            for path in ["/dashboard/users", "/dashboard/credits", "/dashboard/live", "/dashboard/workspace"]:
                one.open(path)
                in_width(page, path)
                page.set_viewport_size({"width": 360, "height": 800})
                page.wait_for_timeout(300)
                in_width(page, f"{path} on a phone")
                page.set_viewport_size({"width": 1280, "height": 900})
    finally:
        for subject in ["long-1", "idle" * 30]:
            service.call("DELETE", f"/v1/subjects/{subject}")


@check
def what_turns_the_direction_of_a_text_is_shown(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/turned", {"username": "bill\u202egpj.exe", "full_name": "مرحبا\u2067", "email": "turned@example.com"})
    with watched(browser, service, service.key) as one:
        search(one, "turned@")
        assert column(one, "Username") == ["bill[U+202E]gpj.exe"], column(one, "Username")
        assert one.page.locator("tbody th bdi").count() == 1
        one.open("/dashboard/credits")
        find(one.page, "turned")
        one.page.wait_for_selector(".panel-head h2 bdi:text-is('مرحبا[U+2067]')")


@check
def a_wrong_key_is_said_once(browser, service, screenshots):
    for locale, text in [("en-US", "This key is not known, or was revoked."), ("vi-VN", "Khóa không đúng, hoặc đã bị thu hồi.")]:
        with watched(browser, service, expected=["401"], locale=locale) as one:
            one.open("/")
            one.page.fill("input[name=key]", "certainly-not-a-key")
            one.page.click("form:has(input[name=key]) button")
            one.page.wait_for_selector("[role=alert]:not(:empty)")
            assert one.texts("[role=alert]") == [text], one.texts("[role=alert]")


@check
def a_period_ends_after_it_begins(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        for path, call in [("/dashboard/workspace", "/usage/stats/"), ("/dashboard/audit", "/v1/audit?")]:
            one.open(path)
            page.fill("input[name=to]", "2026-01-10")
            page.press("input[name=to]", "Tab")
            one.ready()
            asked = len([url for url in one.requests if call in url])
            page.fill("input[name=from]", "2026-01-11")
            page.press("input[name=from]", "Tab")
            page.click("button:has-text('Export CSV')")
            page.wait_for_timeout(300)
            assert len([url for url in one.requests if call in url]) == asked and not any("export" in url for url in one.requests), path
            assert page.evaluate("document.activeElement.name") == "to", path
            page.fill("input[name=from]", "2026-01-10")
            page.press("input[name=from]", "Tab")
            eventually(page, lambda: len([url for url in one.requests if call in url]) > asked, "a day is a period")
            one.ready()


@check
def the_address_keeps_what_users_are_looked_for(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        search(one, "user0")
        with page.expect_response(lambda answer: "role=admin" in answer.url):
            page.select_option("select[name=role]", "admin")
        one.ready()
        # By e-mail, and at a second click backwards.
        for order in ["email", "-email"]:
            with page.expect_response(lambda answer: f"sort={order}&" in answer.url):
                page.click("th button:has-text('Email')")
            one.ready()
        shown = column(one, "Email")
        assert len(shown) > 2 and shown == sorted(shown, reverse=True), shown
        assert page.locator("th[aria-sort=descending]").count() == 1

        def is_kept():
            one.ready()
            eventually(page, lambda: column(one, "Email") == shown, "the same users")
            assert page.input_value("input[name=q]") == "user0" and page.input_value("select[name=role]") == "admin"
        page.reload()
        is_kept()
        page.click("header nav a[href='/dashboard/audit']")
        page.wait_for_url("**/dashboard/audit")
        one.ready()
        page.go_back()
        page.wait_for_selector("input[name=q]")
        is_kept()
        # All of them, when the page is asked for by its name.
        page.click("header nav a[href='/dashboard/users']")
        one.ready()
        assert page.input_value("input[name=q]") == "" and page.url.endswith("/dashboard/users")
        with page.expect_response(lambda answer: "sort=-username" in answer.url):
            page.click("th button:has-text('Username')")
        one.ready()
        names = column(one, "Username")
        eventually(page, lambda: column(one, "Username")[0] > names[-1], "the last name first")
        names = column(one, "Username")
        assert names == sorted(names, reverse=True), names


@check
def what_a_page_needs_is_asked_for_at_once(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        state = one.context.storage_state()
    with watched(browser, service, storage_state=state) as one:
        # Nobody says who is signed in before all that the page is made of was asked for.
        needed = ["chart.js", "page-credits.js", "credit-tables.js", "credit-user.js", "tiles.js", "people.js"]
        waiting = []
        one.page.route("**/v1/session", lambda route: waiting.append(route))
        one.page.goto(service.url + "/dashboard/credits")
        eventually(one.page, lambda: waiting and all(any(url.endswith(f"/{name}") for url in one.requests) for name in needed), f"all of {needed}")
        waiting[0].continue_()
        one.page.wait_for_selector("canvas")
        one.ready()


@check
def parts_of_the_credits_page_do_not_wait_for_each_other(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        waiting = []
        page.route("**/credits/overview*", lambda route: waiting.append(route))
        page.click("header nav a[href='/dashboard/credits']")
        page.wait_for_selector("canvas")
        page.wait_for_selector("section:has(> h2:text-is('Top consumers')) tbody tr")
        assert page.locator(".tile").count() == 0
        # One that is refused leaves the others.
        one.expected = ["503"]
        waiting[0].fulfill(status=503, json={"detail": "not now", "code": "backend_unavailable"})
        page.wait_for_selector("[role=alert]:has-text('not now')")
        assert page.locator("canvas").count() == 2
        page.unroute("**/credits/overview*")
        page.click("button:has-text('Try again') >> nth=0")
        page.wait_for_selector("dt:text-is('Credits taken')")
        one.ready()
        assert page.locator("[role=alert]:not(:empty)").count() == 0


@check
def the_pages_speak_vietnamese_of_meters_and_hold_lines(browser, service, screenshots):
    with watched(browser, service, service.key, locale="vi-VN") as one:
        page = one.page
        one.open("/dashboard/live")
        assert one.texts("select[name=meter] option") == ["token", "tin nhắn", "chi phí", "tín dụng"], one.texts("select[name=meter] option")
        one.open("/dashboard/credits")
        field, button = (page.locator(f"form[role=search] {one}").bounding_box() for one in ["input", "button"])
        assert abs(field["y"] + field["height"] - button["y"] - button["height"]) <= 1, (field, button)
        page.set_viewport_size({"width": 360, "height": 800})
        one.open("/dashboard/workspace")
        page.wait_for_selector(".phone")
        heights = page.evaluate("[...document.querySelectorAll('.phone')].map((one) => one.getClientRects().length)")
        assert set(heights) == {1}, heights


@check
def when_a_balance_runs_out_is_said_as_far_as_it_is_known(browser, service, screenshots):
    for subject in ["odd-unspent", "odd-spent"]:
        service.call("POST", f"/v1/credits/{subject}/grants", {"id": "odd", "credits": "1"})
    left = service.get("/v1/credits/odd-spent")["current_balance"]
    service.call("POST", "/v1/events", {"id": "odd-spent", "subject": "odd-spent", "credits": str(left), "meters": {"messages": 1}})
    for subject, text in [("odd-unspent", "not known yet"), ("odd-spent", "used up")]:
        key = service.call("POST", "/v1/keys", {"role": "self", "subject": subject, "name": subject})["secret"]
        with watched(browser, service, key) as one:
            one.open("/usage")
            one.page.wait_for_selector(f"dt:text-is('Runs out on') + dd strong:text-is('{text}')")
