"""Staff at their screens: a real browser, and visitors who sign in as they would."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.running import WAIT_SECONDS_MAX, Service, command, over, running_service, until

CHROMIUM = "/usr/bin/chromium"
ZONE = "America/New_York"
SHOWN = {"desktop": (1280, 800), "phone": (390, 844)}
LOOKS: list[tuple[str, str]] = [
    ("desktop", "light"),
    ("desktop", "dark"),
    ("phone", "light"),
    ("phone", "dark"),
]
AXE = files("axe_playwright_python") / "axe.min.js"
LOOK = """async rules => (
    await axe.run(document, {runOnly: {type: "tag", values: rules}, resultTypes: ["violations"]})
).violations"""
"""Tells faults alone: to name all that is right takes four times as long."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one browser for a file of tests; tests open windows of their own.

    Not longer: while it runs, an event loop does, and no other can be run beside it.
    """
    expect.set_options(timeout=WAIT_SECONDS_MAX * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--headless"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service in which a made-up firm has worked for some weeks."""
    folder = tmp_path_factory.mktemp("firm")
    with running_service(f"sqlite:///{folder}/log.db", folder) as service:
        done = command("demo", "--url", service.url, "--json", *over(service.database))
        assert done.returncode == 0, done.stderr
        caught_up(service)
        yield service


def caught_up(service: Service) -> None:
    """Wait until lists show everything that was acknowledged."""
    client = service.by("staff")
    position = client.get("/v1/events?limit=1").headers["Statekeeper-Position"]
    seen = {"Statekeeper-Position": position}
    until(
        lambda: client.get("/v1/jobs?limit=1", headers=seen).status_code == httpx.codes.OK,
        "the lists have caught up",
    )


# --- without a browser --------------------------------------------------------------------------


@contextmanager
def visitor(
    service: Service, key: str | None = None, *, address: str = "192.0.2.1"
) -> Iterator[httpx.Client]:
    """Visit as a browser does, but without one: signed in with this key, or as nobody.

    The address is what a proxy on this machine says where the visitor comes from.
    """
    headers = {
        "accept": "text/html",
        "sec-fetch-site": "same-origin",
        "x-forwarded-for": address,
    }
    with httpx.Client(
        base_url=service.url, headers=headers, timeout=WAIT_SECONDS_MAX, trust_env=False
    ) as client:
        if key:
            answer = signing_in(client, key)
            assert answer.status_code == httpx.codes.SEE_OTHER, answer.text
        yield client


def signing_in(client: httpx.Client, key: str, **fields: str) -> httpx.Response:
    """Fill in the form, and send it."""
    return client.post("/sign-in", data={"key": key, **fields})


def token(page: httpx.Response) -> str:
    """Find the hidden field by which a form is known to be of one's own session."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


# --- in a browser -------------------------------------------------------------------------------


@dataclass
class Window:
    """A browser's window, and everything in it that ought not to be."""

    page: Page
    service: Service
    wrong: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)
    """The statuses of answers that a test brings about on purpose."""

    def watch(self) -> None:
        """Note errors, warnings, and requests to anybody else."""
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        told = any(f"status of {status} " in message.text for status in self.expected)
        if message.type in {"error", "warning"} and not told:
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        where = urlsplit(request.url)
        if where.scheme in {"http", "https"} and where.port != self.service.port:
            self.wrong.append(f"foreign: {request.url}")

    def go(self, path: str) -> "Window":
        """Open an address of the service."""
        self.page.goto(self.service.url + path)
        return self

    def sign_in(self, who: str = "staff") -> "Window":
        """Sign in with the key of staff."""
        self.go("/sign-in")
        self.page.get_by_label("Staff key").fill(self.service.keys[who])
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/sign-in" not in url, wait_until="commit")
        return self

    def assert_sound(self) -> None:
        """Nothing is wrong with the page as it stands, for anybody who uses it."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(LOOK, RULES)
        faults = [
            f"{one['id']}: {node['html'][:200]} {node['any'][:1]}"
            for one in found
            for node in one["nodes"]
        ]
        assert not faults, "\n".join(faults)
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"the page is {wide} px wider than the window"
        assert not self.wrong, self.wrong


@contextmanager
def window(
    chromium: Browser,
    service: Service,
    screen: str = "desktop",
    scheme: str = "light",
    *,
    runs_scripts: bool = True,
) -> Iterator[Window]:
    """Open a window of this kind; at its end nothing may have gone wrong in it."""
    width, height = SHOWN[screen]
    shown: Literal["light", "dark"] = "dark" if scheme == "dark" else "light"
    context: BrowserContext = chromium.new_context(
        viewport={"width": width, "height": height},
        has_touch=screen == "phone",
        color_scheme=shown,
        timezone_id=ZONE,
        java_script_enabled=runs_scripts,
    )
    try:
        opened = Window(context.new_page(), service)
        opened.page.set_default_timeout(WAIT_SECONDS_MAX * 1000)
        opened.watch()
        yield opened
        assert not opened.wrong, opened.wrong
    finally:
        context.close()
