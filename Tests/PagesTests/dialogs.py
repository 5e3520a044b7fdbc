# SPDX-License-Identifier: Apache-2.0
"""Dialogs over a slow or broken network: nothing is overwritten, done twice, or lost without a word."""

import contextlib

from browser import eventually, watched
from faults import LOST, focused, refused
from flows import column, search
from turns import Held

checks = []


def check(function):
    checks.append(function)
    return function


@contextlib.contextmanager
def steady(browser, service, **options):
    """Signed in, with each request looked at from the first one on: what is held or lost later is so at once."""
    with watched(browser, service, **options) as one:
        one.page.route("**/never", lambda route: route.abort())
        one.sign_in(service.key)
        yield one


def lose(page, path, method):
    """Has what is sent done, and its answer lost, until the function that is returned is called."""
    def answer(route):
        if route.request.method != method:
            return route.fallback()
        route.fetch()
        route.abort("connectionreset")
    page.route(path, answer)
    return lambda: page.unroute(path, answer)


def pool(service, provider, *names):
    """A pool of keys, each with a balance above the threshold."""
    keys = [{"name": name, "secret": f"sk-{provider}-{index}", "credit_balance": 5000} for index, name in enumerate(names)]
    service.call("POST", f"/api/{provider}/keys/import", keys)


def open_pool(one, provider):
    one.open("/dashboard/keys")
    one.page.fill("input[name=provider]", provider)
    one.page.press("input[name=provider]", "Enter")
    eventually(one.page, lambda: column(one, "Name"), f"the keys of {provider}")
    one.ready()


def closed(page):
    page.wait_for_selector("dialog", state="detached")


@check
def what_somebody_else_changed_is_not_overwritten_by_saving_again(browser, service, screenshots):
    limits, prices, policy = (service.get(f"/v1/{name}") for name in ["limits", "prices", "credit-policy"])
    theirs = {"name": "theirs", "meter": "messages", "window": "day", "user": 5}
    try:
        with steady(browser, service, expected=["412"]) as one:
            page = one.page
            one.open("/dashboard/limits")

            def save_twice(button, field, path, changed):
                page.click(button)
                if field:
                    page.fill(f"dialog[open] [name={field}]", "123")
                service.call("PUT", path, changed)
                now = service.get(path)
                for _ in range(2):
                    with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.status == 412):
                        page.click("dialog[open] button[type=submit]")
                    page.wait_for_selector("dialog[open] [role=alert]:has-text('by somebody else')")
                assert service.get(path) == now, path
                page.keyboard.press("Escape")
                page.wait_for_selector("dialog[open]", state="detached")
            save_twice("button[aria-label='Edit: files_per_day']", "user", "/v1/limits", {"limits": [*limits["limits"], theirs]})
            save_twice("button:has-text('Per message and rate')", "per_message", "/v1/prices",
                       {**prices, "models": {**prices["models"], "newer": {"input": "1"}}})
            save_twice("button[aria-label='Delete: theirs']", None, "/v1/limits", {"limits": [*limits["limits"], {**theirs, "user": 6}]})
            save_twice("button[aria-label='Edit: Credit policy']", "overdraft", "/v1/credit-policy", {**policy, "default_allowance": "777"})
            # Who opens it anew changes what is there by now.
            page.click("button[aria-label='Edit: Credit policy']")
            one.dialog(overdraft="9")
            saved = service.get("/v1/credit-policy")
            assert (float(saved["overdraft"]), float(saved["default_allowance"])) == (9, 777), saved
    finally:
        for path, value in [("limits", limits), ("prices", prices), ("credit-policy", policy)]:
            service.call("PUT", f"/v1/{path}", value)


@check
def the_secret_of_a_webhook_is_shown_whatever_fails_behind_it(browser, service, screenshots):
    try:
        with steady(browser, service, expected=LOST) as one:
            page = one.page
            one.open("/dashboard/alerts")
            page.click("button:has-text('Add an alert')")
            page.fill("dialog[open] [name=name]", "told")
            page.fill("dialog[open] [name=to]", "http://127.0.0.1:9/hook")
            page.route("**/v1/alerts", lambda route: route.abort() if route.request.method == "GET" else route.fallback())
            page.click("dialog[open] button[type=submit]")
            page.wait_for_selector("dialog[open] pre:has-text('whsec_')")
            page.click("dialog[open] button:has-text('Close')")
            # What was answered is what is changed next; secrets are not sent back.
            page.click("button[aria-label='Edit: told']")
            one.dialog(percent="70")
            (alert,) = service.get("/v1/alerts")["alerts"]
            assert alert["percent"] == [70], alert
    finally:
        service.call("PUT", "/v1/alerts", {"alerts": []})


@check
def a_dialog_that_is_waited_for_is_there_already(browser, service, screenshots):
    with steady(browser, service) as one:
        page = one.page
        for path, button, asked in [
            ("/dashboard/users", "button[aria-label^='Credits: user001']", "**/v1/credits/user-1"),
            ("/dashboard/users", "button[aria-label*='keys of user001']", "**/api/users/user-1/stats"),
            ("/dashboard/keys", "button:has-text('Change threshold')", "**/api/elevenlabs/settings"),
        ]:
            one.open(path)
            held = Held(page, asked)
            page.focus(button)
            page.keyboard.press("Enter")
            page.wait_for_selector("dialog[open] .status:has-text('Loading')")
            # What is pressed and typed now goes nowhere.
            page.keyboard.press("Enter")
            page.keyboard.type("12")
            held.wait()
            assert page.locator("dialog[open]").count() == len(held.routes) == 1
            page.keyboard.press("Escape")
            closed(page)
            held.let_go()
            page.wait_for_timeout(300)
            assert page.locator("dialog").count() == 0, "it comes after it was left"
            page.keyboard.press("Enter")
            page.wait_for_selector("dialog[open] :is([name=grant], .facts, table, [name=threshold])")
        page.wait_for_selector("dialog[open] [name=threshold]")
        assert page.evaluate("document.activeElement.name") == "threshold"


@check
def a_dialog_does_not_wait_for_ever(browser, service, screenshots):
    # Of a minute, which is not waited for here.
    hurry = "() => { const { timeout } = AbortSignal; AbortSignal.timeout = (time) => timeout.call(AbortSignal, time / 60); }"
    with steady(browser, service, expected=LOST) as one:
        page = one.page
        held = Held(page, "**/v1/credits/user-1")
        page.evaluate(hurry)
        page.click("button[aria-label^='Credits: user001']")
        page.wait_for_selector(".message.error:has-text('Credits of user001 (user-1): The service cannot be reached')")
        closed(page)
        held.let_go()
        one.open("/dashboard/limits")
        held = Held(page, "**/v1/subjects?*")
        page.evaluate(hurry)
        page.click("button[aria-label='For one subject: files_per_day']")
        page.fill("dialog[open] [name=id]", "user001")
        refused(page, "cannot be reached")
        page.keyboard.press("Escape")
        closed(page)
        held.let_go()


@check
def a_key_that_is_pressed_twice_assigns_nothing(browser, service, screenshots):
    with steady(browser, service) as one:
        page = one.page
        page.focus("button[aria-label^='Assign keys: user020']")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        assert page.evaluate("document.activeElement.name") == "quantity"
        assert not any("bulk-assign" in url for url in one.requests)


@check
def keys_are_assigned_once(browser, service, screenshots):
    pool(service, "once", "a", "b", "c", "d", "e")

    def held():
        return len(service.get("/api/once/keys?user_id=user-22")["keys"])
    with steady(browser, service, expected=LOST) as one:
        page = one.page
        search(one, "user022@")

        def ask(quantity):
            page.click("button[aria-label^='Assign keys: user022']")
            page.fill("dialog[open] [name=provider]", "once")
            page.fill("dialog[open] [name=quantity]", quantity)
        ask("2")
        found = lose(page, "**/bulk-assign", "POST")
        refused(page, "cannot be reached")
        found()
        refused(page, "2 keys were assigned by what you sent before")
        page.keyboard.press("Escape")
        page.wait_for_selector(".message:has-text('2 keys assigned to user022')")
        assert held() == 2
        # What was not done is done when it is sent again.
        ask("1")
        page.route("**/bulk-assign", lambda route: route.fulfill(status=503, json={"detail": "not now"}))
        refused(page, "not now")
        page.unroute("**/bulk-assign")
        one.dialog()
        page.wait_for_selector(".message:has-text('1 keys assigned to user022')")
        assert held() == 3


@check
def what_was_refused_or_not_answered_is_read_again(browser, service, screenshots):
    pool(service, "gone", "first", "second", "third")
    keys = {key["name"]: key["id"] for key in service.get("/api/gone/keys")["keys"]}
    with steady(browser, service, expected=[*LOST, "404", "412"]) as one:
        page = one.page
        open_pool(one, "gone")
        page.click("button[aria-label^='Delete: first']")
        service.call("DELETE", f"/api/gone/keys/{keys['first']}")
        page.click("dialog[open] button.danger")
        page.wait_for_selector("dialog[open] [role=alert]:has-text('no such key')")
        eventually(page, lambda: column(one, "Name") == ["second", "third"], "the keys that are left")
        page.keyboard.press("Escape")
        closed(page)
        page.click("button[aria-label^='Delete: second']")
        found = lose(page, "**/api/gone/keys/*", "DELETE")
        refused(page, "cannot be reached")
        found()
        eventually(page, lambda: column(one, "Name") == ["third"], "the key that is left")
        page.keyboard.press("Escape")
        one.open("/dashboard/users")
        search(one, "twice-added")
        page.click("button:has-text('Add a user')")
        page.fill("dialog[open] [name=id]", "twice-added")
        found = lose(page, "**/v1/subjects/twice-added", "PUT")
        refused(page, "cannot be reached")
        found()
        refused(page, "There is a user “twice-added” already")
        eventually(page, lambda: column(one, "Username") == ["twice-added"], "who was added")


@check
def nothing_is_typed_while_it_is_sent(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/typist", {"username": "typist"})
    with steady(browser, service, expected=["409"]) as one:
        page = one.page
        search(one, "typist")
        page.click("button[aria-label='Edit: typist']")
        page.fill("dialog[open] [name=phone]", "+84901111111")
        held = Held(page, "**/v1/subjects/typist")
        page.keyboard.press("Enter")
        held.wait()
        page.keyboard.type("2222")
        page.click("dialog[open] [name=demo]")
        assert page.input_value("dialog[open] [name=phone]") == "+84901111111"
        assert not page.is_checked("dialog[open] [name=demo]") and focused(page) != "BODY"
        held.routes[0].fulfill(status=409, json={"detail": "not this one"})
        page.unroute(held.path)
        page.wait_for_selector("dialog[open] [role=alert]:has-text('not this one')")
        # Then it is as before; an id stays what it is.
        page.fill("dialog[open] [name=phone]", "+84902222222")
        assert page.get_attribute("dialog[open] [name=id]", "readonly") is not None
        page.check("dialog[open] [name=demo]")
        one.dialog()
        profile = service.get("/v1/subjects/typist")["profile"]
        assert (profile["phone"], profile["demo"]) == ("+84902222222", True), profile


@check
def what_was_done_is_said_on_the_page_that_was_gone_to(browser, service, screenshots):
    limits, settings = service.get("/v1/limits"), service.get("/api/elevenlabs/settings")
    grant = ("users", "button[aria-label^='Credits: user003']", "grant", "**/v1/credits/user-3/grants")
    with steady(browser, service, expected=["409"]) as one:
        page = one.page
        for (name, button, field, path), outcome, text in [
            (grant, None, "user003: 3 credits granted"),
            (grant, "too many grants", "Credits of user003 (user-3): too many grants"),
            (("limits", "button[aria-label='Edit: files_per_day']", "user", "**/v1/limits"), None, "Saved: Limits"),
            (("keys", "button:has-text('Change threshold')", "threshold", "**/elevenlabs/settings"), None, "Saved: Threshold"),
        ]:
            one.open("/dashboard/audit")
            page.click(f"header nav a[href='/dashboard/{name}']")
            one.ready()
            page.click(button)
            page.fill(f"dialog[open] [name={field}]", "3")
            held = Held(page, path)
            page.keyboard.press("Enter")
            held.wait()
            page.evaluate("history.back()")
            page.wait_for_url("**/dashboard/audit")
            closed(page)
            if outcome:
                held.routes[0].fulfill(status=409, json={"detail": outcome})
                page.unroute(held.path)
            else:
                held.let_go()
            said = page.wait_for_selector(".message").inner_text()
            assert said.startswith(text), said
    service.call("PUT", "/v1/limits", limits)
    service.call("PUT", "/api/elevenlabs/settings", {"threshold": settings["threshold"]})


@check
def a_key_is_one_of_the_pool_that_it_came_from(browser, service, screenshots):
    pool(service, "ours", "ours-1")
    pool(service, "other", "other-1")
    for provider, threshold in [("ours", 111), ("other", 222)]:
        service.call("PUT", f"/api/{provider}/settings", {"threshold": threshold})
    with steady(browser, service) as one:
        page = one.page
        open_pool(one, "ours")
        page.wait_for_selector("main .actions .muted:has-text('111')")
        keys, settings = Held(page, "**/api/other/keys?*"), Held(page, "**/api/other/settings")
        page.fill("input[name=provider]", "other")
        page.press("input[name=provider]", "Enter")
        keys.wait()
        page.click("button[aria-label^='Delete: ours-1']")
        page.click("dialog[open] button.danger")
        page.wait_for_selector(".message:has-text('Deleted')")
        assert service.get("/api/ours/keys")["keys"] == [] and len(service.get("/api/other/keys")["keys"]) == 1
        # A threshold is that of the provider that is shown.
        page.fill("input[name=provider]", "ours")
        page.press("input[name=provider]", "Enter")
        one.ready()
        page.wait_for_selector("main .actions .muted:has-text('111')")
        settings.wait()
        with page.expect_response("**/api/other/settings"):
            settings.let_go()
        keys.let_go()
        page.wait_for_timeout(300)
        assert one.texts("main .actions .muted") == ["Ready above 111"]


@check
def two_of_one_name_are_told_apart(browser, service, screenshots):
    for name in ["same-a", "same-b"]:
        service.call("PUT", f"/v1/subjects/{name}", {"username": "same"})
    pool(service, "same", "dup", "dup")
    ids = [key["id"] for key in service.get("/api/same/keys")["keys"]]
    with steady(browser, service) as one:
        page = one.page
        search(one, "same")
        for name in ["same-a", "same-b"]:
            for action, title in [("Edit", "Edit"), ("Credits", "Credits of"), ("Assign keys", "Assign keys to")]:
                page.click(f"button[aria-label='{action}: same ({name})']")
                page.wait_for_selector(f"dialog[open] h2:text-is('{title} same ({name})')")
                page.keyboard.press("Escape")
                closed(page)
        page.focus("button[aria-label='Edit: same (same-b)']")
        page.keyboard.press("Enter")
        one.dialog(full_name="Second")
        eventually(page, lambda: focused(page) == "Edit: same (same-b)", f"the focus on what was pressed, not on {focused(page)}")
        open_pool(one, "same")
        assert one.texts("tbody th .id") == [str(number) for number in ids]
        page.click(f"button[aria-label='Delete: dup ({ids[1]})']")
        page.wait_for_selector(f"dialog[open]:has-text('“dup ({ids[1]})” will be gone')")
        page.click("dialog[open] button.danger")
        closed(page)
        assert [key["id"] for key in service.get("/api/same/keys")["keys"]] == ids[:1]
