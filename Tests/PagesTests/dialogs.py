# SPDX-License-Identifier: Apache-2.0
"""Dialogs over a slow or broken network: nothing is overwritten, done twice, or lost without a word."""

from browser import watched
from faults import LOST, refused
from flows import search

checks = []


def check(function):
    checks.append(function)
    return function


@check
def what_somebody_else_changed_is_not_overwritten_by_saving_again(browser, service, screenshots):
    limits, prices, policy = (service.get(f"/v1/{name}") for name in ["limits", "prices", "credit-policy"])
    theirs = {"name": "theirs", "meter": "messages", "window": "day", "user": 5}
    try:
        with watched(browser, service, service.key, expected=["412"]) as one:
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
        with watched(browser, service, service.key, expected=LOST) as one:
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
def the_wheel_changes_no_number(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        one.open("/dashboard/limits")
        page.click("button[aria-label='Edit: files_per_day']")
        page.fill("dialog[open] [name=user]", "77")
        page.hover("dialog[open] [name=user]")
        page.mouse.wheel(0, 120)
        page.wait_for_timeout(300)
        assert page.input_value("dialog[open] [name=user]") == "77"


@check
def who_has_an_e_mail_of_any_letters_is_edited(browser, service, screenshots):
    mails = ["người@example.com", "x@ví-dụ.vn"]
    for index, mail in enumerate(mails):
        service.call("PUT", f"/v1/subjects/mail-{index}", {"username": f"mail-{index}", "email": mail})
    with watched(browser, service, service.key) as one:
        for index, mail in enumerate(mails):
            search(one, f"mail-{index}")
            one.page.click(f"button[aria-label='Edit: mail-{index}']")
            one.dialog(full_name="Mai")
            profile = service.get(f"/v1/subjects/mail-{index}")["profile"]
            assert (profile["email"], profile["full_name"]) == (mail, "Mai"), profile


@check
def blanks_around_what_was_pasted_are_left_out(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/blank", {"username": "blank"})
    with watched(browser, service, service.key) as one:
        page = one.page
        search(one, "blank")
        page.click("button[aria-label='Credits: blank']")
        page.fill("dialog[open] [name=grant]", " 5 ")
        page.keyboard.press("Enter")
        page.wait_for_selector(".message:has-text('5 credits granted')")
        limits = service.get("/v1/limits")
        one.open("/dashboard/limits")
        page.click("button:has-text('Add a limit')")
        one.dialog(name=" pasted ", meter="messages ", user="1")
        assert service.get("/v1/limits")["limits"][-1]["name"] == "pasted"
        service.call("PUT", "/v1/limits", limits)
        one.open("/dashboard/keys")
        page.fill("input[name=provider]", " elevenlabs ")
        page.press("input[name=provider]", "Enter")
        page.wait_for_selector("tbody tr")
        assert page.input_value("input[name=provider]") == "elevenlabs"
