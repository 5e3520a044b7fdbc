# SPDX-License-Identifier: Apache-2.0
"""What administrators change: keys, rules, alerts."""

from browser import watched
from flows import search

checks = []


def check(function):
    checks.append(function)
    return function


@check
def the_pool_limits_and_prices_are_edited(browser, service, screenshots):
    with watched(browser, service, service.key, expected=["412"]) as one:
        one.open("/dashboard/keys")
        one.page.click("button:has-text('Import keys')")
        one.dialog(table="name,secret,credit_balance\nFresh,sk-fresh-key-1,5000\n")
        one.page.click(".pager button:has-text('Next')")
        one.ready()
        one.open("/dashboard/limits")
        one.page.click("button[aria-label='Edit: files_per_day']")
        one.dialog(user="120")
        limits = {limit["name"]: limit for limit in service.get("/v1/limits")["limits"]}
        assert limits["files_per_day"]["user"] == 120 and len(limits) == 3, limits
        one.page.click("button:has-text('Add a model')")
        one.dialog(name="new-model*", input="1.5", output="4")
        assert service.get("/v1/prices")["models"]["new-model*"]["output"] == "4"
        # Somebody else was faster: nothing is overwritten.
        prices = service.get("/v1/prices")
        prices["models"]["theirs"] = {"input": "1"}
        service.call("PUT", "/v1/prices", prices)
        one.page.click("button:has-text('Per message and rate')")
        one.page.fill("dialog[open] [name=per_message]", "0.007")
        one.page.click("dialog[open] button[type=submit]")
        one.page.wait_for_selector("dialog[open] [role=alert]:has-text('Somebody else')")
        assert service.get("/v1/prices")["per_message"] == "0.005"
        # What is shown now is theirs, too, and the same is saved again.
        one.page.wait_for_selector("tbody th:text-is('theirs')", state="attached")
        one.page.click("dialog[open] button[type=button]")
        one.page.click("button:has-text('Per message and rate')")
        one.dialog(per_message="0.007")
        saved = service.get("/v1/prices")
        assert saved["per_message"] == "0.007" and saved["models"]["theirs"]["input"] == "1", saved
        service.call("PUT", "/v1/prices", {**saved, "per_message": "0.005"})


@check
def alerts_are_edited(browser, service, screenshots):
    with watched(browser, service, service.key, expected=["422"]) as one:
        one.open("/dashboard/alerts")
        one.page.click("button:has-text('Add an alert')")
        one.page.fill("dialog[open] [name=name]", "files")
        one.page.select_option("dialog[open] [name=on]", "limit:files_per_day")
        one.page.fill("dialog[open] [name=percent]", "80, 100")
        # What the service cannot do is said as it says it.
        one.page.fill("dialog[open] [name=to]", "ops@example.com")
        one.page.click("dialog[open] button[type=submit]")
        one.page.wait_for_selector("dialog[open] [role=alert]:has-text('no server for e-mail')")
        one.page.fill("dialog[open] [name=to]", "http://127.0.0.1:9/hook")
        one.page.click("dialog[open] button[type=submit]")
        one.page.wait_for_selector("dialog[open] pre:has-text('whsec_')")
        one.page.click("dialog[open] button:has-text('Close')")
        (alert,) = service.get("/v1/alerts")["alerts"]
        assert alert["percent"] == [80, 100] and alert["on"] == {"limit": "files_per_day"}, alert
        one.page.click("button[aria-label='Delete: files']")
        one.page.click("dialog[open] button.danger")
        one.page.wait_for_selector("dialog[open]", state="detached")
        assert service.get("/v1/alerts")["alerts"] == []


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
