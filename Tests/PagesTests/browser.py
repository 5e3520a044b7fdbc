# SPDX-License-Identifier: Apache-2.0
"""A browser that notes whatever goes wrong in it, and the service as its pages' test talks to it."""

import contextlib
import json
import urllib.error
import urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError as PlaywrightTimeout

READY = """() => document.querySelector('h1') && !document.querySelector('[aria-busy]')
    && ![...document.querySelectorAll('.status')].some((one) => /Loading|Đang tải/.test(one.textContent))"""


class Service:
    def __init__(self, url, key):
        self.url, self.key = url, key

    def call(self, method, path, body=None, headers=None):
        """The answer as JSON; its status when it is an error. A body is sent as JSON, a text as it is."""
        all_headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})}
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        request = urllib.request.Request(self.url + path, data, all_headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code

    def get(self, path):
        return self.call("GET", path)

    def make_key(self, role, **members):
        return self.call("POST", "/v1/keys", {"role": role, "name": role, **members})["secret"]


class Watched:
    """A page of a context of its own. What it says on the console, asks elsewhere or does not get is a fault."""

    def __init__(self, browser, service, expected=(), **options):
        self.service, self.expected, self.faults, self.bytes = service, expected, [], 0
        self.context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("console", lambda one: self.note(f"console: {one.text} ({one.location.get('url')})"))
        self.page.on("pageerror", lambda one: self.note(f"script: {one}"))
        self.page.on("request", self.check_origin)
        # A stream or an answer that nobody waits for any more is ended by the page itself.
        self.page.on("requestfailed", lambda one: "ERR_ABORTED" in (one.failure or "") or self.note(f"failed: {one.url} {one.failure}"))
        network = self.context.new_cdp_session(self.page)
        network.send("Network.enable")
        network.on("Network.loadingFinished", self.count)
        self.requests = []
        self.page.on("request", lambda one: self.requests.append(one.url))

    def note(self, fault):
        if not any(part in fault for part in self.expected):
            self.faults.append(fault)

    def count(self, event):
        self.bytes += int(event["encodedDataLength"])

    def check_origin(self, request):
        if not request.url.startswith((self.service.url, "data:", "blob:" + self.service.url)):
            self.note(f"leaves: {request.url}")

    def open(self, path):
        self.page.goto(self.service.url + path)
        self.ready()

    def ready(self):
        try:
            self.page.wait_for_function(READY)
        except PlaywrightTimeout:
            raise AssertionError(f"{self.page.url} is not ready: {self.page.inner_text('body')[:400]}") from None

    def sign_in(self, key):
        self.open("/")
        self.page.fill("input[name=key]", key)
        self.page.click("form:has(input[name=key]) button")
        self.page.wait_for_selector("header .who")
        self.ready()

    def language(self, tag):
        self.page.select_option("header select:has(option[value=vi])", tag)
        self.ready()

    def texts(self, selector):
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]

    def dialog(self, **fields):
        """Fills the open dialog and saves it."""
        for name, value in fields.items():
            one = self.page.locator(f"dialog[open] [name={name}]")
            if one.evaluate("(one) => one.tagName") == "SELECT":
                one.select_option(value)
            else:
                one.fill(value)
        self.page.click("dialog[open] button[type=submit]")
        self.page.wait_for_selector("dialog[open]", state="detached")
        self.ready()

    def download(self, button):
        with self.page.expect_download() as found:
            self.page.click(button)
        with open(found.value.path(), encoding="utf-8") as file:
            return file.read()

    def close(self):
        self.context.close()
        assert not self.faults, "; ".join(self.faults)


@contextlib.contextmanager
def watched(browser, service, key=None, **options):
    one = Watched(browser, service, **options)
    try:
        if key:
            one.sign_in(key)
        yield one
    except BaseException:
        one.context.close()
        raise
    one.close()


def eventually(page, condition, what):
    """Waits until something is so; no longer than half a minute. What is being drawn may have no such row yet."""
    for _ in range(300):
        with contextlib.suppress(IndexError, ValueError):
            if condition():
                return
        page.wait_for_timeout(100)
    raise AssertionError(f"not within half a minute: {what}")


def accessible(page, what):
    # That of WCAG 2.2 is not looked for unless it is asked for.
    options = {"rules": {"target-size": {"enabled": True}}}
    violations = Axe().run(page, options=options).response["violations"]
    serious = [
        f"{one['id']} at {one['nodes'][0]['target']}" for one in violations if one["impact"] in ("serious", "critical")
    ]
    assert not serious, f"{what}: {'; '.join(serious)}"


def in_width(page, what):
    # Charts take a new width a moment later.
    with contextlib.suppress(PlaywrightTimeout):
        page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], f"{what} is {width[0]} wide in {width[1]}"


def tables_in_width(page, what):
    # Those that are behind a chart, too.
    page.evaluate("() => { for (const one of document.querySelectorAll('main details')) one.open = true; }")
    page.wait_for_function("() => [...document.querySelectorAll('main details')].every((one) => one.querySelector('tbody tr'))")
    hidden = page.evaluate("""() => [...document.querySelectorAll('.scroll')]
        .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.getAttribute('aria-label'))""")
    page.evaluate("() => { for (const one of document.querySelectorAll('main details')) one.open = false; }")
    assert not hidden, f"{what}: cut off at the right: {hidden}"
