"""The frame of all pages: what browsers see to, what is served, what everybody can use."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from api.pages.assets import assets
from api.pages.render import POLICY
from tests.pages.browsing import LOOKS, visitor, window
from tests.running import Service

PAGE_BYTES_MAX = 60_000
PAGES = ("/", "/?of=permits", "/jobs", "/jobs?q=nothing", "/loans", "/yachts", "/jobs?of=1")


@pytest.fixture(scope="module")
def staff(firm: Service) -> Iterator[httpx.Client]:
    """Look at the firm's pages."""
    with visitor(firm, firm.keys["staff"]) as client:
        yield client


class TestGuards:
    @pytest.mark.parametrize("path", PAGES)
    def test_every_page_is_guarded(self, staff: httpx.Client, path: str) -> None:
        """Also one that says no: nothing inline, nothing foreign, in nobody's frame."""
        page = staff.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"] == POLICY
        assert "'unsafe" not in POLICY
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(
            r"<style|<script(?! type=\"module\" src=)|<[^>]*\s(?:style|on[a-z]+)=", page.text
        )
        assert not re.search(r'(?:src|href|action)="(?!/|#)', page.text)

    @pytest.mark.parametrize("path", PAGES[1:])
    def test_nothing_is_shown_to_nobody(self, firm: Service, path: str) -> None:
        """Without a session every address leads to the door, whether or not it is there."""
        with visitor(firm) as nobody:
            answer = nobody.get(path)
        assert answer.status_code == httpx.codes.SEE_OTHER
        assert answer.headers["location"].startswith("/sign-in?next=")
        assert answer.text == ""

    def test_a_wrong_method_is_a_page_too(self, staff: httpx.Client) -> None:
        """What an address does not take is told with what it takes."""
        answer = staff.post("/sign-out/", data={})
        assert answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED}
        answer = staff.put("/jobs")
        assert answer.status_code == httpx.codes.METHOD_NOT_ALLOWED
        assert "GET" in answer.headers["allow"]
        assert answer.headers["content-type"] == "text/html; charset=utf-8"


class TestAssets:
    def test_what_names_its_content_is_kept_for_ever(self, staff: httpx.Client) -> None:
        """Every asset of a page is addressed by its content, compressed, and never asked again."""
        links = re.findall(r'(?:src|href)="(/static/[^"]+)"', staff.get("/").text)
        assert len(set(links)) >= 4
        for link in links:
            answer = staff.get(link)
            assert answer.status_code == httpx.codes.OK
            assert answer.headers["content-encoding"] == "gzip"
            assert "immutable" in answer.headers["cache-control"]

    def test_another_address_of_it_is_asked_again(self, staff: httpx.Client) -> None:
        """Without its content in the address an asset may change: a browser asks, and is quick."""
        answer = staff.get("/static/frame.js?v=0000000000000000")
        assert answer.headers["cache-control"] == "no-cache"
        again = staff.get("/static/frame.js", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == httpx.codes.NOT_MODIFIED
        assert again.content == b""

    @pytest.mark.parametrize(
        "name", ["../render.py", "%2e%2e%2frender.py", "render.py", ".", "x.css"]
    )
    def test_nothing_else_is_served(self, staff: httpx.Client, name: str) -> None:
        """Only what stands in the folder of the pages' own files."""
        assert staff.get(f"/static/{name}").status_code in {404, 307, 303}

    @pytest.mark.parametrize("path", ["/", "/?of=permits", "/jobs"])
    def test_no_page_is_heavy(self, staff: httpx.Client, path: str) -> None:
        """A page with everything it needs travels in less than 60 kB."""
        page = staff.get(path)
        links = set(re.findall(r'(?:src|href)="/static/([^"?]+)', page.text))
        heavy = len(gzip.compress(page.content, 5)) + sum(
            len(assets()[one].packed) for one in links
        )
        assert page.headers["content-encoding"] == "gzip"
        assert heavy < PAGE_BYTES_MAX


class TestInABrowser:
    @pytest.mark.parametrize(("screen", "scheme"), LOOKS)
    def test_the_door_is_for_everybody(
        self, firm: Service, chromium: Browser, screen: str, scheme: str
    ) -> None:
        """The form, and the form after a wrong key: no barrier, no fault, no foreign request."""
        with window(chromium, firm, screen, scheme) as shown:
            shown.expected.add(httpx.codes.UNAUTHORIZED)
            shown.go("/sign-in").assert_sound()
            shown.page.get_by_label("Staff key").fill("sk_wrong")
            shown.page.get_by_role("button", name="Sign in").click()
            shown.page.get_by_role("alert").wait_for()
            shown.assert_sound()

    @pytest.mark.parametrize(("screen", "scheme"), LOOKS)
    def test_a_page_that_says_no_is_for_everybody(
        self, firm: Service, chromium: Browser, screen: str, scheme: str
    ) -> None:
        """What is not there is said plainly, with the way back."""
        with window(chromium, firm, screen, scheme) as shown:
            shown.expected.add(httpx.codes.NOT_FOUND)
            shown.sign_in().go("/yachts")
            shown.page.get_by_role("link", name="Go to Now").wait_for()
            shown.assert_sound()

    def test_the_first_tab_leads_past_the_navigation(
        self, firm: Service, chromium: Browser
    ) -> None:
        """Who goes by keyboard skips to the content, and sees where they are."""
        with window(chromium, firm) as shown:
            shown.sign_in().go("/jobs")
            shown.page.keyboard.press("Tab")
            assert (
                shown.page.evaluate("document.activeElement.textContent") == "Skip to the content"
            )
            box = shown.page.locator(".skip").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            shown.page.keyboard.press("Enter")
            shown.page.keyboard.press("Tab")
            inside = "document.querySelector('main').contains(document.activeElement)"
            assert shown.page.evaluate(inside)

    def test_the_navigation_tells_where_one_is(self, firm: Service, chromium: Browser) -> None:
        """The current place is marked, for eyes and for ears; every entry leads somewhere."""
        with window(chromium, firm) as shown:
            shown.sign_in().go("/jobs")
            main = shown.page.get_by_role("navigation", name="Main")
            current = main.locator("[aria-current=page]")
            assert current.all_inner_texts() == ["Jobs"]
            for link in main.get_by_role("link").all():
                href = link.get_attribute("href")
                answer = shown.page.request.get(f"{firm.url}{href}")
                assert answer.status == httpx.codes.OK, href


def test_every_script_is_small_and_plain() -> None:
    """No script evaluates text or writes into the page as it is parsed."""
    folder = Path(__file__).parents[2] / "api" / "pages" / "static"
    for script in folder.glob("*.js"):
        text = script.read_text()
        assert not re.search(r"\beval\(|new Function|document\.write", text), script
