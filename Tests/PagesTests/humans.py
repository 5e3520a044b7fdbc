# SPDX-License-Identifier: Apache-2.0
"""What people do at their own pace: a button held, a date typed, a text marked; and what is there when something is not."""

from browser import eventually, watched
from turns import Held

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
                page.select_option(field, "7")
            else:
                page.fill(field, "0.5")
            held_press(page, person, held)
            page.wait_for_selector(DETAIL)


@check
def a_tap_is_not_lost_either(browser, service, screenshots):
    with watched(browser, service, service.key, has_touch=True, viewport={"width": 390, "height": 800}) as one:
        page = one.page
        one.open("/dashboard/audit")
        page.tap("tbody tr:first-child button")
        page.wait_for_selector("dialog[open]")


def typed(page, name, keys):
    page.focus(f"input[name={name}]")
    for key in keys:
        page.keyboard.press(key)


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
        assert page.evaluate(in_row).split() == ["same", subject], page.evaluate(in_row)
        # By another name it is the same row, and the same button.
        page.keyboard.press("Enter")
        with page.expect_response(lambda answer: "/v1/subjects?" in answer.url):
            one.dialog(username="other")
        eventually(page, lambda: "other" in page.inner_text("tbody"), "the other name")
        assert page.evaluate(in_row).split() == ["other", subject], page.evaluate(in_row)
        one.open("/dashboard/keys")
        page.fill("input[name=provider]", "samekeys")
        page.press("input[name=provider]", "Enter")
        eventually(page, lambda: page.locator("tbody tr").count() == 3, "the keys")
        page.focus("tbody tr:nth-child(3) button:has-text('Edit')")
        page.keyboard.press("Enter")
        with page.expect_response(lambda answer: "/samekeys/keys?" in answer.url):
            one.dialog(credit_balance="77")
        eventually(page, lambda: "77" in page.inner_text("tbody"), "the other balance")
        assert "77" in page.evaluate("document.activeElement.closest('tr')?.innerText ?? ''"), page.evaluate("document.activeElement.outerHTML")


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
