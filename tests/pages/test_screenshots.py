"""The pictures of the README, taken of a firm that the demo has filled.

They are taken every time, and looked at as far as a program can. With `STATEKEEPER_SCREENSHOTS`
set to a folder they are kept there: `STATEKEEPER_SCREENSHOTS=.github/images`.
"""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.pages.browsing import Window, caught_up, window
from tests.running import ROOT, Service

KEPT_IN = os.environ.get("STATEKEEPER_SCREENSHOTS")
WIDTH = 1280
HEIGHTS = {"now": 1000, "list": 760, "case": 980, "drift": 590, "lifecycles": 1060}
"""Page → how much of it the picture shows."""
BYTES_MIN, BYTES_MAX = 20_000, 200_000
SIZE_AT = 16
"""Where a PNG says how wide and how high it is."""


@pytest.fixture(scope="module")
def screen(chromium: Browser, firm: Service) -> Iterator[Window]:
    """Sit before a screen on which the firm is to be seen."""
    caught_up(firm)
    with window(chromium, firm) as opened:
        opened.sign_in()
        yield opened


def address(name: str, firm: Service) -> str:
    """Where the page of this picture is; of a case, that of a job that a tool shows wrongly."""
    if name == "case":
        wrong = firm.by("staff").get("/v1/drift?tool=accounting&why=not-the-owner").json()["items"]
        return f"/{next(one['case'] for one in wrong if one['is_word'])}"
    pages = {"now": "/", "list": "/jobs", "drift": "/drift", "lifecycles": "/lifecycles/"}
    return f"{pages[name]}{'field_service' if name == 'lifecycles' else ''}"


@pytest.mark.parametrize("name", HEIGHTS)
def test_pages_of_the_readme_are_what_staff_see(
    screen: Window, firm: Service, name: str, tmp_path: Path
) -> None:
    """Each picture is of a real page, 1280 pixels wide, and light enough to be read anywhere."""
    picture = Path(KEPT_IN or tmp_path).resolve() / f"{name}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    screen.page.set_viewport_size({"width": WIDTH, "height": HEIGHTS[name]})
    answer = screen.page.goto(firm.url + address(name, firm))
    assert answer is not None
    assert answer.ok, answer.status
    screen.page.locator("main h1").first.wait_for()
    screen.page.screenshot(path=picture, animations="disabled")
    assert struct.unpack_from(">II", picture.read_bytes(), SIZE_AT) == (WIDTH, HEIGHTS[name])
    assert BYTES_MIN < picture.stat().st_size < BYTES_MAX
    screen.assert_sound()


def test_every_picture_stands_in_the_readme() -> None:
    """The README shows each picture that is taken, and says in words what is to be seen."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[([^\]]{20,})\]\(\.github/images/([a-z]+)\.png\)", readme)
    assert {name for _, name in shown} >= HEIGHTS.keys()
