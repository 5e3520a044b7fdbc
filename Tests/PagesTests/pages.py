# SPDX-License-Identifier: Apache-2.0
"""pages.py URL SCREENSHOTS: looks at the pages of a filled service in Chromium, as who has the key in TALLY_ADMIN_KEY.

Prints a line for each check: "ok NAME", or "not ok NAME: WHY".
"""

import os
import sys
import time
import traceback

from playwright.sync_api import sync_playwright

import dialogs
import edits
import faults
import flows
import humans
import odd
import turns
from browser import Service, accessible, in_width, tables_in_width, watched

# By what a page shows when it has data.
PAGES = {
    "/dashboard/users": "tbody tr",
    "/dashboard/workspace": "canvas",
    "/dashboard/credits": "main:has(.tiles):has(canvas)",
    "/dashboard/live": ".board li",
    "/dashboard/keys": "tbody tr",
    "/dashboard/limits": "tbody tr",
    "/dashboard/alerts": "h2",
    "/usage": ".tile",
    "/dashboard/audit": "tbody tr",
}
FIRST_PAGE_MOST = 200 * 1024
checks = []


def check(function):
    checks.append(function)
    return function


def shot(page, screenshots, name):
    page.screenshot(path=f"{screenshots}/{name}.png")


@check
def each_page_in_both_languages_themes_and_widths(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        paths = [link.get_attribute("href") for link in page.locator("header nav a").all()]
        assert set(paths) == set(PAGES), paths
        for path in paths:
            name = path.rsplit("/", 1)[1]
            one.open(path)
            page.wait_for_selector(PAGES[path])
            # Data, and not the word that there is none.
            assert "undefined" not in page.inner_text("main") and "NaN" not in page.inner_text("main"), name
            english = page.inner_text("h1")
            shot(page, screenshots, f"{name}-en-light-1280")
            accessible(page, f"{name}, English, light")
            tables_in_width(page, name)
            page.emulate_media(color_scheme="dark")
            shot(page, screenshots, f"{name}-en-dark-1280")
            in_width(page, name)
            one.language("vi")
            page.wait_for_selector(PAGES[path])
            tables_in_width(page, f"{name}, Vietnamese")
            assert page.inner_text("h1") != english, f"{name} is not translated"
            assert page.evaluate("document.documentElement.lang") == "vi"
            page.set_viewport_size({"width": 360, "height": 800})
            page.wait_for_timeout(100)
            shot(page, screenshots, f"{name}-vi-dark-360")
            in_width(page, f"{name} on a phone")
            tables_in_width(page, f"{name} on a phone")
            accessible(page, f"{name}, Vietnamese, dark, 360 px")
            page.emulate_media(color_scheme="light")
            shot(page, screenshots, f"{name}-vi-light-360")
            one.language("en")
            page.set_viewport_size({"width": 1280, "height": 900})


@check
def tables_fit_into_windows_of_all_widths_and_on_paper(browser, service, screenshots):
    with watched(browser, service, service.key) as one:
        page = one.page
        for path in ["/dashboard/users", "/dashboard/keys", "/dashboard/audit", "/dashboard/credits", "/dashboard/limits"]:
            one.open(path)
            page.wait_for_selector("tbody tr")
            for width, media in [(1184, "screen"), (1024, "screen"), (768, "screen"), (718, "print")]:
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(media=media)
                page.wait_for_function(f"() => innerWidth === {width} && matchMedia('{media}').matches")
                in_width(page, f"{path} in {width} px, {media}")
                tables_in_width(page, f"{path} in {width} px, {media}")
            page.emulate_media(media="screen")
            page.set_viewport_size({"width": 1280, "height": 900})


@check
def the_first_page_is_small(browser, service, screenshots):
    with watched(browser, service) as one:
        one.open("/")
        accessible(one.page, "signing in")
        shot(one.page, screenshots, "sign-in-en-light-1280")
        one.sign_in(service.key)
        one.page.wait_for_selector("tbody tr")
        assert 10_000 < one.bytes < FIRST_PAGE_MOST, f"{one.bytes} bytes"
        state = one.context.storage_state()
    for path in ["/dashboard/workspace", "/dashboard/credits"]:
        with watched(browser, service, storage_state=state) as one:
            one.open(path)
            assert one.bytes < FIRST_PAGE_MOST, f"{path}: {one.bytes} bytes"


@check
def all_texts_are_there_in_both_languages(browser, service, screenshots):
    with watched(browser, service) as one:
        one.open("/")
        keys = one.page.evaluate("""async () => {
            const base = document.querySelector('script[type=module]').src;
            const load = async (name) => Object.entries((await import(new URL(name, base).href)).default);
            return [await load('en.js'), await load('vi.js')];
        }""")
        english, vietnamese = (dict(texts) for texts in keys)
        assert set(english) == set(vietnamese), set(english) ^ set(vietnamese)
        assert all(english.values()) and all(vietnamese.values())


def main():
    url, screenshots = sys.argv[1:3]
    os.makedirs(screenshots, exist_ok=True)
    service = Service(url, os.environ["TALLY_ADMIN_KEY"])
    every = (checks + flows.checks + edits.checks + faults.checks + odd.checks + turns.checks + dialogs.checks
             + humans.checks)
    failures = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for function in every:
            name = function.__name__.replace("_", " ")
            start = time.monotonic()
            try:
                function(browser, service, screenshots)
                print(f"ok {name} ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as error:  # A fault of any kind is one of this check alone.
                failures += 1
                where = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__) if "PagesTests" in frame.filename]
                print(f"not ok {name}: {' '.join(str(error).split())[:600]} ({' '.join(where)})", flush=True)
        browser.close()
    print(f"done: {failures} of {len(every)} failed", flush=True)


if __name__ == "__main__":
    main()
