# SPDX-License-Identifier: Apache-2.0
"""What people do on the pages."""

import csv
import io
import json
import re

from browser import accessible, eventually, watched

checks = []
HOSTILE = "<img src=x onerror=alert(document.domain)>"


def check(function):
    checks.append(function)
    return function


def column(one, label):
    """The texts of a column of the first table, by its head; the first line of each, without an id below a name."""
    heads = [re.sub(r"\s+", " ", re.sub(r"\s*[▲▼]$", "", text)) for text in one.texts("thead >> nth=0 >> th")]
    index = heads.index(label) + 1
    return [text.split("\n")[0] for text in one.texts(f"tbody >> nth=0 >> tr > :nth-child({index})")]


def numbers(texts):
    return [int(text.replace(",", "")) for text in texts]


def row(one, name):
    return one.page.locator("tbody tr", has=one.page.get_by_role("rowheader", name=name, exact=True))


def search(one, text):
    with one.page.expect_response(lambda answer: "/v1/subjects?" in answer.url and ("q=" in answer.url) == bool(text)):
        one.page.fill("input[name=q]", text)
    one.ready()


@check
def a_wrong_key_is_said_to_be_wrong(browser, service, screenshots):
    with watched(browser, service, expected=["401"]) as one:
        one.open("/")
        one.page.fill("input[name=key]", "certainly-not-a-key")
        one.page.click("form:has(input[name=key]) button")
        one.page.wait_for_selector("[role=alert]:has-text('not known')")
        assert one.page.locator("header nav").count() == 0
        assert not one.context.cookies()


@check
def the_cookie_is_out_of_reach_of_scripts_and_goes_with_signing_out(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        (cookie,) = one.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict", cookie
        stored = one.page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
        assert service.key not in stored and "tally_session" not in stored
        one.page.reload()
        one.ready()
        one.page.wait_for_selector("tbody tr")
        one.page.click("header button:has-text('Sign out')")
        one.page.wait_for_selector("input[name=key]")
        assert not one.context.cookies()


@check
def users_are_sorted_and_paged(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        names = column(one, "Username")
        assert len(names) == 50 and names == sorted(names), names
        # By a column that orders the shown rows only, both ways.
        page.click("th button:has-text('Assigned')")
        assigned = numbers(column(one, "Assigned"))
        assert assigned == sorted(assigned, reverse=True) and assigned[0] > assigned[-1], assigned
        page.click("th button:has-text('Assigned')")
        assert numbers(column(one, "Assigned")) == sorted(assigned)
        # And by one that orders all pages.
        board = service.get("/v1/leaderboards/tokens?window=lifetime&limit=120")["entries"]
        with page.expect_response(lambda answer: "sort=-tokens" in answer.url):
            page.click("th button:has-text('Tokens used')")
        one.ready()
        assert re.sub(r"\s", " ", page.locator("th[aria-sort=descending]").inner_text()).startswith("Tokens used")
        tokens = numbers(column(one, "Tokens used"))
        page.click(".pager button:has-text('Next')")
        eventually(page, lambda: numbers(column(one, "Tokens used"))[0] < tokens[-1], "the second page by tokens")
        tokens += numbers(column(one, "Tokens used"))
        assert len(tokens) == 100 and tokens == [entry["value"] for entry in board][:100], tokens
        page.wait_for_selector("p:has-text('Tokens used order all pages')")
        page.click("th button:has-text('Email')")
        eventually(page, lambda: page.locator("th[aria-sort=ascending]").inner_text().startswith("Email"), "the order by e-mail")
        one.ready()
        emails = column(one, "Email")
        assert emails == sorted(emails)
        page.click(".pager button:has-text('Next')")
        one.ready()
        eventually(page, lambda: column(one, "Email")[0] > emails[-1], "the second page")
        page.click(".pager button:has-text('Previous')")
        eventually(page, lambda: column(one, "Email") == emails, "the first page again")
        assert not any("/api/users" in url for url in one.requests), "all users were loaded"
        assert all("limit=50" in url for url in one.requests if "/v1/subjects?" in url)


@check
def users_are_filtered(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        for field, value, label, expected in [
            ("active", "false", "Status", "Inactive"), ("active", "true", "Status", "Active"),
        ]:
            with page.expect_response(lambda answer: f"{field}={value}" in answer.url):
                page.select_option(f"select[name={field}]", value)
            one.ready()
            found = column(one, label)
            assert found and all(text.split()[0] == expected for text in found), found
        page.select_option("select[name=active]", "")
        with page.expect_response(lambda answer: "role=admin" in answer.url):
            page.select_option("select[name=role]", "admin")
        one.ready()
        assert column(one, "Role") and set(column(one, "Role")) == {"admin"}
        page.select_option("select[name=role]", "")
        search(one, "user007@")
        assert column(one, "Username") == ["user007"]
        search(one, "nobody at all")
        page.wait_for_selector(".status:has-text('Nothing matches')")
        search(one, "")
        with page.expect_response(lambda answer: "inactive_since=" in answer.url):
            page.select_option("select[name=inactive]", "7")
        one.ready()
        names = column(one, "Username")
        assert names and "user001" not in names, names


@check
def keys_are_assigned_and_shown_with_their_colours(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        before = service.get("/api/users/user-20/stats")["current_keys"]
        search(one, "user020@")
        one.page.click("button[aria-label='Assign keys: user020 (user-20)']")
        one.dialog(provider="elevenlabs", quantity="2")
        one.page.wait_for_selector(".message:has-text('2 keys assigned to user020')")
        after = service.get("/api/users/user-20/stats")["current_keys"]
        assert after["total_assigned"] == before["total_assigned"] + 2
        shown = {label: column(one, label)[0] for label in ["Assigned", "Active", "Ready", "Ever received"]}
        assert shown["Assigned"] == str(after["total_assigned"]) and shown["Ready"] == str(after["ready_to_use"]), shown
        green, blue = (one.page.locator(f"tbody td.number .{name}").first.evaluate(
            "(one) => getComputedStyle(one).color.match(/[0-9]+/g).map(Number)") for name in ["good", "info"])
        assert green[1] == max(green) and blue[2] == max(blue), (green, blue)
        # What the pool has not is said as the service says it.
        one.expected = ["409"]
        one.page.click("button[aria-label='Assign keys: user020 (user-20)']")
        one.page.fill("dialog[open] [name=provider]", "no-such-provider")
        one.page.fill("dialog[open] [name=quantity]", "1")
        one.page.click("dialog[open] button[type=submit]")
        one.page.wait_for_selector("dialog[open] [role=alert]:has-text('no key of no-such-provider')")
        one.page.keyboard.press("Escape")
        one.page.click("tbody button.link")
        one.page.wait_for_selector("dialog[open] dt:has-text('Credits available')")
        # All of them, also those that nobody has used.
        held = service.get("/api/elevenlabs/keys?user_id=user-20&limit=10")["keys"]
        assert len(held) == after["total_assigned"] > 0
        one.page.wait_for_selector("dialog[open] h3:has-text('Keys of elevenlabs')")
        eventually(one.page, lambda: {key["name"] for key in held} <= set(one.texts("dialog[open] tbody th")), "the keys it holds")
        one.page.wait_for_selector("dialog[open] .status:has-text('None of its keys has been used')")


@check
def a_profile_is_edited_and_credits_are_granted(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        search(one, "user019@")
        one.page.click("button[aria-label='Edit: user019 (user-19)']")
        one.dialog(username="nineteen", role="teacher")
        assert service.get("/v1/subjects/user-19")["profile"]["role"] == "teacher"
        assert column(one, "Username") == ["nineteen"]
        one.page.click("button[aria-label='Edit: nineteen (user-19)']")
        one.dialog(username="user019", role="user")
        before = service.get("/v1/credits/user-19")["current_balance"]
        one.page.click("button[aria-label='Credits: user019 (user-19)']")
        one.dialog(grant="12.25")
        after = service.get("/v1/credits/user-19")["current_balance"]
        assert abs(after - before - 12.25) < 1e-9, (before, after)


@check
def users_are_exported(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/formula", {"username": "=1+1", "email": "formula@example.com"})
    with watched(browser, service, service.key) as one:
        rows = list(csv.reader(io.StringIO(one.download("button:has-text('Export CSV')"))))
        assert rows[0][:6] == ["id", "username", "email", "role", "active", "tokens"], rows[0]
        assert len(rows) > 150 and len({row[0] for row in rows}) == len(rows)
        (formula,) = (row for row in rows if row[0] == "formula")
        assert formula[1] == "'=1+1", formula
        (first,) = (row for row in rows if row[0] == "user-1")
        assert first[5] == str(service.get("/v1/subjects/user-1")["totals"]["tokens"])


@check
def hostile_names_are_text(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/hostile", {"username": HOSTILE, "full_name": HOSTILE, "email": "hostile@example.com", "role": "<b>x</b>"})
    with watched(browser, service, service.key) as one:
        one.page.on("dialog", lambda dialog: one.note(f"a script ran: {dialog.message}"))
        search(one, "hostile@")
        assert column(one, "Username") == [HOSTILE] and column(one, "Role") == ["<b>x</b>"]
        one.page.click(f'button[aria-label="Edit: {HOSTILE} (hostile)"]')
        assert HOSTILE in one.page.inner_text("dialog h2")
        one.page.keyboard.press("Escape")
        one.open("/dashboard/live")
        one.page.wait_for_selector(".tag.good")
        service.call("POST", "/v1/events", {"subject": HOSTILE, "action": HOSTILE, "model": HOSTILE, "meters": {"tokens": 10_000_000}})
        one.page.wait_for_selector(f"tbody th:has-text('{HOSTILE}')")
        one.page.wait_for_selector(f".board .name:has-text('{HOSTILE}')")
        assert one.page.locator("main img, main b").count() == 0


@check
def the_live_page_moves(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        one.open("/dashboard/live")
        one.page.wait_for_selector(".tag.good:has-text('connected')")
        first = one.page.locator(".board .name").first
        assert "rising star" not in one.texts(".board .name")
        service.call("POST", "/v1/events", [
            {"subject": "rising star", "action": "ai_chat_message", "meters": {"tokens": 20_000_000}} for _ in range(3)])
        one.page.wait_for_function("() => Number(document.querySelector('#rate').textContent) >= 1")
        one.page.wait_for_selector("tbody th:has-text('rising star')")
        eventually(one.page, lambda: first.inner_text() == "rising star", "the new leader")
        one.page.screenshot(path=f"{screenshots}/live-moving.png")
        # Only what passes the filter.
        one.page.fill("input[name=subject]", "rising star")
        one.page.press("input[name=subject]", "Tab")
        one.page.wait_for_selector(".tag.good")
        service.call("POST", "/v1/events", {"subject": "another", "meters": {"tokens": 1}})
        service.call("POST", "/v1/events", {"subject": "rising star", "meters": {"tokens": 1}})
        one.page.wait_for_selector("tbody th:has-text('rising star')")
        assert "another" not in one.texts("tbody th")


@check
def a_broken_stream_is_said_and_taken_up_again(browser, service, screenshots):
    with watched(browser, service, service.key, expected=["stream"]) as one:
        one.page.route("**/v1/stream*", lambda route: route.abort("connectionreset"))
        one.open("/dashboard/live")
        one.page.wait_for_selector(".tag.bad:has-text('interrupted')")
        one.page.unroute("**/v1/stream*")
        one.page.wait_for_selector(".tag.good:has-text('connected')")


@check
def numbers_are_written_as_vietnam_writes_them(browser, service, screenshots):
    service.call("PUT", "/v1/subjects/vn", {"username": "vn", "email": "vn@example.com"})
    service.call("POST", "/v1/events", {"id": "vn-1", "subject": "vn", "meters": {"tokens": 1916}})
    with watched(browser, service, service.key, locale="vi-VN") as one:
        search(one, "vn@example.com")
        # The answer that was waited for may be that to the page before its new language.
        eventually(one.page, lambda: column(one, "Token đã sử dụng") == ["1.916"], "1.916")
        one.language("en")
        search(one, "vn@example.com")
        eventually(one.page, lambda: column(one, "Tokens used") == ["1,916"], "1,916")


@check
def everything_is_reached_by_keyboard(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        page.reload()
        one.ready()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.focus("header nav a[href='/dashboard/live']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/dashboard/live")
        one.ready()
        assert page.evaluate("document.activeElement.tagName") == "H1"
        page.go_back()
        page.wait_for_url("**/dashboard/users")
        one.ready()
        button = page.locator("button[aria-label^='Edit:']").first
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        assert page.evaluate("document.activeElement.closest('dialog') !== null")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", outline
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog[open]", state="detached")
        eventually(page, lambda: page.evaluate("document.activeElement.getAttribute('aria-label') ?? ''").startswith("Edit:"), "the focus back")


@check
def readers_and_users_see_their_pages_only(browser, service, screenshots):
    with watched(browser, service, service.make_key("reader")) as one:
        links = one.texts("header nav a")
        assert "Users" in links and "Key pool" not in links and "Audit log" not in links, links
        assert one.page.locator("tbody tr").count() == 50 and "Assigned" not in one.texts("thead th")
        assert one.page.locator("button:has-text('Edit')").count() == 0
        one.open("/dashboard/limits")
        assert one.page.locator("main button:has-text('Edit')").count() == 0
    with watched(browser, service, service.make_key("self", subject="user-1")) as one:
        assert one.texts("header nav a") == ["Usage"]
        one.page.wait_for_selector("progress")
        own = json.loads(one.download("button:has-text('Export my data')"))
        assert own["events"] and {event["subject"] for event in own["events"]} == {"user-1"}
        assert own["credits"]["subject"] == "user-1" and own["ledger"] and own["usage"]["user_type"] == "authenticated"
        one.open("/dashboard/users")
        assert one.page.locator("table").count() == 0


@check
def a_guest_sees_its_own_usage(browser, service, screenshots):
    upload = {"file_size": 5 * 1048576, "processing_type": "transcription"}
    service.call("POST", "/usage/track/upload", {**upload, "guest_id": "3f2c"})
    with watched(browser, service) as one:
        one.open("/usage")
        one.page.click("summary:has-text('as a guest')")
        one.page.fill("input[name=id]", "3f2c")
        one.page.click("button:has-text('Show my usage')")
        one.page.wait_for_selector("progress[aria-label^='Files per day: ']")
        one.page.wait_for_selector("tbody th:text-is('transcription')")
        one.page.screenshot(path=f"{screenshots}/usage-guest.png", full_page=True)
        accessible(one.page, "a guest's usage")
        one.page.click("header button:has-text('Sign out')")
        one.page.wait_for_selector("input[name=key]")


@check
def the_period_of_costs_is_chosen_and_exported(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        one.open("/dashboard/workspace")
        with one.page.expect_response(lambda answer: "/stats/" in answer.url):
            one.page.select_option("select[name=days]", "7")
        one.ready()
        eventually(one.page, lambda: len(one.page.query_selector_all("canvas")) == 3, "the charts")
        one.page.click("details:has-text('As a table') >> nth=0 >> summary")
        one.page.wait_for_selector("details tbody tr")
        assert one.page.locator("details[open] tbody tr").count() == 7
        rows = list(csv.reader(io.StringIO(one.download("button:has-text('Export CSV')"))))
        assert rows[0] == ["id", "date", "clientId", "clientName", "clientPhone", "price"] and len(rows) > 20, rows[:2]
        stats = service.get("/api/usage/stats/default")
        shown = one.texts("section:has(h2:text-is('Top clients')) tbody th")
        assert len(shown) == 10 and stats["topClients"][0]["clientName"] in shown


@check
def a_consumer_s_credits_are_opened(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        one.open("/dashboard/credits")
        one.page.click("section:has(h2:text-is('Top consumers')) button.link >> nth=0")
        one.page.wait_for_selector("h2:text-is('Ledger')")
        one.ready()
        one.page.wait_for_selector("section:has(> h2:text-is('Ledger')) tbody td:text-is('charge')")
        one.page.wait_for_selector("section:has(h2:text-is('Unusual events')) tbody tr:nth-child(5)")
        one.page.wait_for_selector("section:has(> h2:text-is('Cost validation')) tbody th:text-is('report')")
        balances = list(csv.reader(io.StringIO(one.download("button:has-text('Export balances')"))))
        assert balances[0][0] == "email" and len(balances) > 100


@check
def the_operator_looks_at_another_workspace(browser, service, screenshots):
    service.call("POST", "/v1/workspaces", {"id": "shop", "currency": "EUR", "time_zone": "Europe/Rome"})
    service.call("PUT", "/v1/subjects/mario", {"username": "mario"}, {"X-Tally-Workspace": "shop"})
    with watched(browser, service, service.key) as one:
        one.page.wait_for_selector("option[value=shop]", state="attached")
        one.page.select_option("select[aria-label=Workspace]", "shop")
        one.page.wait_for_selector("tbody th:has-text('mario')")
        one.ready()
        assert column(one, "Username") == ["mario"]
        one.open("/dashboard/live")
        one.page.wait_for_selector(".tag.good")
        service.call("POST", "/v1/events", {"subject": "of default", "meters": {"tokens": 1}})
        service.call("POST", "/v1/events", {"subject": "mario", "meters": {"tokens": 1}}, {"X-Tally-Workspace": "shop"})
        one.page.wait_for_selector("tbody th:has-text('mario')")
        assert "of default" not in one.texts("tbody th")
