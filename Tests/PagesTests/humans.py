# SPDX-License-Identifier: Apache-2.0
"""What people do at their own pace: a button held, a date typed, a text marked; and what is there when something is not."""

from browser import eventually, watched
from flows import column
from turns import Held, sign_in

checks = []
DETAIL = "main > div[aria-live] h2"


def check(function):
    checks.append(function)
    return function


def held_press(page, selector, held):
    """Presses a button, and lets it go when what is drawn anew has come."""
    page.hover(selector)
    page.mouse.down()
    held.wait()
    with page.expect_response(held.path):
        held.let_go()
    page.wait_for_function("() => !document.querySelector('.table [aria-busy]')")
    # Nothing that was drawn then is noticed too late.
    page.wait_for_timeout(300)
    page.mouse.up()


@check
def a_press_is_not_lost_to_rows_that_come(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/pressed", {"username": "pressed", "email": "pressed@example.com"})
    service.call("PATCH", "/v1/subjects/pressed", {"phone": "+84901112223"})
    service.call("POST", "/v1/events", {"id": "press-1", "subject": "pressed", "credits": "900", "meters": {"messages": 1}})
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/audit")
        held = Held(page, "**/v1/audit?*")
        page.fill("input[name=actor]", "operator")
        held_press(page, "tbody tr:first-child button", held)
        page.click("dialog[open] button")
        # What came meanwhile is shown.
        one.open("/dashboard/users")
        held = Held(page, "**/v1/subjects?*q=pressed*")
        page.fill("input[name=q]", "pressed")
        held_press(page, "tbody tr:first-child button:has-text('Edit')", held)
        page.wait_for_selector("dialog[open] [name=phone]")
        page.keyboard.press("Escape")
        eventually(page, lambda: one.texts("tbody th") == ["pressed"], "the row that was looked for")
        # The next row, while the table is read again after a change.
        page.fill("input[name=q]", "")
        eventually(page, lambda: page.locator("tbody tr").count() > 2, "all rows")
        page.click("tbody tr:nth-child(1) button:has-text('Edit')")
        page.fill("dialog[open] [name=phone]", "+84901112224")
        held = Held(page, "**/v1/subjects?*")
        page.click("dialog[open] button[type=submit]")
        page.wait_for_selector("dialog[open]", state="detached")
        held_press(page, "tbody tr:nth-child(2) button:has-text('Edit')", held)
        page.wait_for_selector("dialog[open] [name=phone]")
        page.keyboard.press("Escape")


@check
def a_press_is_not_lost_to_parts_that_come(browser, service, screenshots):
    service.call("POST", "/v1/events", {"id": "press-2", "subject": "pressed", "credits": "901", "meters": {"messages": 1}})
    with watched(browser, service, service.key) as one:
        page = one.page
        for path, field, section in [("**/top-consumers?*", "select[name=days]", "Top consumers"), ("**/credits/events?*", "input[type=number]", "Unusual events")]:
            one.open("/dashboard/credits")
            person = f"section:has(> h2:text-is('{section}'), .panel-head h2:text-is('{section}')) tbody tr:first-child button.link"
            page.wait_for_selector(person)
            held = Held(page, path)
            if field.startswith("select"):
                # The parts above it come, and move it no more then.
                with page.expect_response("**/overview?*"), page.expect_response("**/daily-trend?*"):
                    page.select_option(field, "7")
            else:
                page.fill(field, "0.5")
            page.wait_for_timeout(500)
            held_press(page, person, held)
            page.wait_for_selector(DETAIL)


@check
def what_comes_is_shown_though_the_end_of_a_press_is_not_told(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/pressed", {"username": "pressed"})
    down = "(button) => document.querySelector('tbody tr').dispatchEvent(new PointerEvent('pointerdown', { bubbles: true, button, buttons: 1 }))"
    with watched(browser, service, service.key) as one:
        page = one.page
        # By a press of another button, a menu, another window, and when the pointer comes back.
        for end in [f"({down})(2)", "dispatchEvent(new Event('contextmenu'))", "dispatchEvent(new Event('blur'))", "dispatchEvent(new PointerEvent('pointermove'))"]:
            one.open("/dashboard/users")
            eventually(page, lambda: page.locator("tbody tr").count() > 2, "all rows")
            page.evaluate(down, 0)
            with page.expect_response("**/v1/subjects?*q=pressed*"):
                # A pointer would end it.
                page.evaluate("""() => {
                    const field = document.querySelector('input[name=q]');
                    field.value = 'pressed';
                    field.dispatchEvent(new Event('input', { bubbles: true }));
                }""")
            page.wait_for_timeout(300)
            page.evaluate(f"() => {{ {end}; }}")
            eventually(page, lambda: one.texts("tbody th") == ["pressed"], end)


@check
def a_tap_is_not_lost_either(browser, service, screenshots):
    with watched(browser, service, service.key, has_touch=True, viewport={"width": 390, "height": 800}) as one:
        page = one.page
        one.open("/dashboard/audit")
        page.tap("tbody tr:first-child button")
        page.wait_for_selector("dialog[open]")


@check
def a_key_that_is_pressed_is_that_of_its_provider(browser, service, screenshots):
    for provider in ["pressed-a", "pressed-b"]:
        service.call("POST", f"/api/{provider}/keys/import", [{"name": f"of-{provider}", "secret": f"sk-{provider}", "credit_balance": 1}])
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/keys")
        page.fill("input[name=provider]", "pressed-a")
        page.press("input[name=provider]", "Enter")
        page.wait_for_selector("tbody th:text-is('of-pressed-a')")
        one.ready()
        held = Held(page, "**/api/pressed-b/keys?*")
        page.fill("input[name=provider]", "pressed-b")
        page.click("button[aria-label^='Delete: of-pressed-a']")
        with page.expect_request(lambda request: request.method == "DELETE") as asked:
            page.click("dialog[open] button.danger")
        assert "/api/pressed-a/keys/" in asked.value.url, asked.value.url
        held.wait()
        held.let_go()
        one.ready()
        page.wait_for_selector("tbody th:text-is('of-pressed-b')")


def typed(page, name, keys):
    page.focus(f"input[name={name}]")
    for key in keys:
        page.keyboard.press(key)


@check
def dates_are_typed(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        asked = []
        page.on("request", lambda request: any(name in request.url for name in ["/usage/stats/", "/v1/audit?"]) and asked.append(request.url))
        for path in ["/dashboard/workspace", "/dashboard/audit"]:
            one.open(path)
            page.fill("input[name=from]", "2026-01-01")
            one.ready()
            asked.clear()
            typed(page, "to", "11202026")
            assert page.input_value("input[name=to]") == "2026-11-20", (path, page.input_value("input[name=to]"))
            # At Enter it is asked for at once, and no year was asked for that was being typed.
            eventually(page, lambda: any("2026-11-20" in url for url in asked), "the day that was typed")
            one.ready()
            assert not any("=0" in url or "=-" in url for url in asked), asked
            # A month behind the last day, on the way to an earlier year, takes nobody away.
            typed(page, "from", "12012025")
            page.keyboard.press("Enter")
            eventually(page, lambda: any("2025-12-01" in url for url in asked), "the first day that was typed")
            assert page.evaluate("document.activeElement.name") == "from", path
            one.ready()
            # A year such as 2 is none that is asked for.
            asked.clear()
            typed(page, "from", "12010002")
            page.keyboard.press("Enter")
            assert page.evaluate("document.querySelector('input[name=from]').matches(':invalid')") and not asked, asked


@check
def the_focus_stays_in_the_row(browser, service, screenshots):
    for subject in ["same-a", "same-b"]:
        service.call("PUT", f"/v1/subjects/{subject}", {"username": "same"})
    service.call("POST", "/api/samekeys/keys/import", [{"name": "same", "secret": f"sk-same-{number}", "credit_balance": number} for number in range(3)])
    with watched(browser, service, service.key) as one:
        page = one.page
        page.goto(service.url + "/dashboard/users?q=same-")
        one.ready()
        in_row = "document.activeElement.closest('tr')?.querySelector('th').innerText ?? document.activeElement.tagName"
        page.focus("tbody tr:nth-child(2) button:has-text('Edit')")
        page.keyboard.press("Enter")
        subject = page.input_value("dialog[open] [name=id]")
        with page.expect_response(lambda answer: "/v1/subjects?" in answer.url):
            one.dialog(phone="+84901112225")
        eventually(page, lambda: page.locator("table[aria-busy]").count() == 0, "the rows again")
        eventually(page, lambda: page.evaluate(in_row).split() == ["same", subject], "the focus in its row")
        # By another name it is the same row, and the same button.
        page.keyboard.press("Enter")
        with page.expect_response(lambda answer: "/v1/subjects?" in answer.url):
            one.dialog(username="other")
        eventually(page, lambda: "other" in page.inner_text("tbody"), "the other name")
        eventually(page, lambda: page.evaluate(in_row).split() == ["other", subject], "the focus in its row")
        one.open("/dashboard/keys")
        page.fill("input[name=provider]", "samekeys")
        page.press("input[name=provider]", "Enter")
        eventually(page, lambda: page.locator("tbody tr").count() == 3, "the keys")
        page.focus("tbody tr:nth-child(3) button:has-text('Edit')")
        page.keyboard.press("Enter")
        with page.expect_response(lambda answer: "/samekeys/keys?" in answer.url):
            one.dialog(credit_balance="77")
        eventually(page, lambda: "77" in column(one, "Balance"), "the other balance")
        eventually(page, lambda: "77" in page.evaluate("document.activeElement.closest('tr')?.innerText ?? ''"), "the focus in its row")


@check
def the_last_choice_of_a_workspace_wins(browser, service, screenshots):
    for workspace in ["choice-a", "choice-b"]:
        service.call("POST", "/v1/workspaces", {"id": workspace})
    with watched(browser, service, service.key) as one:
        page = one.page
        select = "header select[data-control=workspace]"
        page.wait_for_selector(f"{select} option[value=choice-b]", state="attached")
        held = Held(page, "**/v1/session")
        page.select_option(select, "choice-a")
        held.wait()
        page.select_option(select, "choice-b")
        held.wait(2)
        first, last = held.routes
        last.continue_()
        page.wait_for_function("() => sessionStorage.getItem('tally.workspace') === 'choice-b'")
        one.ready()
        with page.expect_response(lambda answer: "/v1/session" in answer.url):
            first.continue_()
        page.unroute(held.path)
        page.click("header nav a:has-text('Audit log')")
        one.ready()
        assert page.input_value(select) == "choice-b" and page.evaluate("sessionStorage.getItem('tally.workspace')") == "choice-b"
        for workspace in ["choice-a", "choice-b"]:
            service.call("DELETE", f"/v1/workspaces/{workspace}")


@check
def one_answer_that_fails_leaves_the_others(browser, service, screenshots):
    away = {"status": 503, "json": {"detail": "not now", "code": "backend_unavailable"}}
    own = service.make_key("self", subject="user-1")
    for key, path, call, there in [
        (service.key, "/dashboard/workspace", "**/usage/dashboard/*", "dt:text-is('Cost per day')"),
        (service.key, "/dashboard/workspace", "**/usage/stats/*", "figcaption:text-is('Months')"),
        (service.key, "/dashboard/limits", "**/v1/prices", "h2:text-is('Credit policy')"),
        (service.key, "/dashboard/alerts", "**/v1/limits", "h2:text-is('Given up')"),
        (service.key, "/usage", "**/admin/analytics", "form input[name=id]"),
        (own, "/usage", "**/v1/credits/**", ".bars"),
        (own, "/usage", "**/usage/limits", "dt:text-is('Files uploaded')"),
        (own, "/usage", "**/v1/credits/*/forecast", "dt:text-is('Balance')"),
    ]:
        with watched(browser, service, key, expected=["503"]) as one:
            page = one.page
            page.route(call, lambda route: route.fulfill(**away))
            page.goto(service.url + path)
            page.wait_for_selector("main .error:has-text('not now')")
            page.wait_for_selector(there)
            one.ready()
            page.unroute(call)
            if page.locator("button:has-text('Try again')").count():
                page.click("button:has-text('Try again') >> nth=0")
                page.wait_for_selector("main .error", state="detached")
                one.ready()


@check
def a_day_begins_when_clocks_skip_its_midnight(browser, service, screenshots):
    with watched(browser, service) as one:
        one.open("/")
        wrong = one.page.evaluate("""async () => {
            const found = await import(new URL('format.js', document.querySelector('script[type=module]').src).href);
            const wrong = [];
            for (const zone of ['America/Santiago', 'America/Havana', 'Atlantic/Azores', 'Africa/Cairo', 'Asia/Beirut', 'Pacific/Apia', 'Asia/Ho_Chi_Minh']) {
                found.useWorkspace({ time_zone: zone, currency: 'USD' });
                const dayOf = new Intl.DateTimeFormat('en-CA', { timeZone: zone });
                for (let day = '2026-01-01'; day < '2027-01-01'; day = found.addDays(day, 1)) {
                    const start = Date.parse(found.startOf(day));
                    if (dayOf.format(start) !== day || dayOf.format(start - 1000) >= day) wrong.push(`${zone} ${day} ${found.startOf(day)}`);
                    if (dayOf.format(Date.parse(found.endOf(day))) !== day) wrong.push(`${zone} ${day} ends ${found.endOf(day)}`);
                }
            }
            return wrong;
        }""")
        assert not wrong, wrong


@check
def what_is_marked_on_the_live_page_stays_so(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/live")
        page.wait_for_selector(".tag.good:has-text('connected')")
        service.call("POST", "/v1/events", {"id": "marked-1", "subject": "marked-1", "meters": {"tokens": 9}})
        page.wait_for_selector("tbody th:text-is('marked-1')")
        page.evaluate("() => getSelection().selectAllChildren([...document.querySelectorAll('tbody th')].find((one) => one.textContent === 'marked-1'))")
        service.call("POST", "/v1/events", {"id": "marked-2", "subject": "marked-2", "meters": {"tokens": 9}})
        page.wait_for_selector("tbody th:text-is('marked-2')")
        assert page.evaluate("getSelection().toString()") == "marked-1"
        assert one.texts("tbody th")[:2] == ["marked-2", "marked-1"], one.texts("tbody th")


@check
def the_next_page_is_seen_from_its_top(browser, service, screenshots):
    with watched(browser, service, service.key, viewport={"width": 390, "height": 800}) as one:
        page = one.page
        first = one.texts("tbody th")[0]
        page.click(".pager button:has-text('Next')")
        eventually(page, lambda: one.texts("tbody th")[0] != first, "the next page")
        eventually(page, lambda: 0 <= page.locator("main > .table").bounding_box()["y"] < 400, "its top")


@check
def another_language_and_the_way_back_keep_what_is_asked_for(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        for path, name, value in [
            ("/dashboard/audit", "actor", "operator"), ("/dashboard/keys", "user_id", "user-1"), ("/dashboard/live", "action", "chat"),
            ("/usage", "id", "user-1"), ("/dashboard/workspace", "from", "2026-01-01"), ("/dashboard/credits", "subject", "user-1"),
        ]:
            one.open(path)
            field = f"main input[name={name}]"
            page.fill(field, value)
            page.press(field, "Enter")
            eventually(page, lambda: f"{name}={value}" in page.url, f"{path} in the address")
            one.ready()

            def is_kept():
                if path == "/dashboard/credits":
                    page.wait_for_selector(DETAIL)
                else:
                    assert page.input_value(field) == value, path
            one.language("vi")
            is_kept()
            page.click("header nav a[href='/dashboard/alerts']")
            page.wait_for_url("**/dashboard/alerts")
            one.ready()
            page.go_back()
            page.wait_for_selector(field)
            one.ready()
            is_kept()
            one.language("en")


@check
def the_detail_of_a_user_goes_with_the_period(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/credits")
        # More than are listed, which is said.
        page.wait_for_selector("p:has-text('The first 50 in this order')")
        person = page.locator("section:has(h2:text-is('Balances')) tbody button.link").nth(20)
        name = person.inner_text()
        person.click()
        page.wait_for_selector(DETAIL)
        one.ready()
        with page.expect_response(lambda answer: "/v1/series?" in answer.url):
            page.select_option("select[name=days]", "7")
        page.wait_for_selector(DETAIL)
        one.ready()
        assert page.inner_text(DETAIL + " >> nth=0") == name
        page.click("main > div[aria-live] button:has-text('Close')")
        assert page.evaluate("document.activeElement.textContent") == name and page.locator(DETAIL).count() == 0


@check
def an_answer_that_breaks_off_is_said_so(browser, service, screenshots):
    for locale, text in [("en-US", "The answer of the service broke off."), ("vi-VN", "Câu trả lời của dịch vụ bị ngắt giữa chừng.")]:
        with watched(browser, service, service.key, locale=locale) as one:
            one.page.route("**/v1/audit?*", lambda route: route.fulfill(status=200, content_type="application/json", body='{"entries":[{"id"'))
            one.open("/dashboard/audit")
            one.page.wait_for_selector(f".status .error:text-is('{text}')")


@check
def who_signs_in_is_on_a_page_of_theirs(browser, service, screenshots):
    own = service.make_key("self", subject="user-1")
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/keys")
        page.click("header button:has-text('Sign out')")
        page.wait_for_selector("input[name=key]")
        page.go_back()
        page.wait_for_url("**/dashboard/keys*")
        page.wait_for_selector("input[name=key]")
        sign_in(page, own)
        page.wait_for_selector("h2:text-is('Limits')")
        assert page.url == service.url + "/usage", page.url
        one.ready()


@check
def a_browser_that_keeps_nothing_shows_the_pages(browser, service, screenshots):
    with watched(browser, service) as one:
        one.page.add_init_script("""for (const name of ['localStorage', 'sessionStorage']) {
            Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError'); } });
        }""")
        one.sign_in(service.key)
        one.page.wait_for_selector("tbody tr")
        one.language("vi")
        one.page.wait_for_selector("h1:text-is('Người dùng')")
