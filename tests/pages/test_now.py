"""Now: what is happening and what is wrong, each number with the list behind it."""

import html
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from shutil import copytree

import httpx
import pytest
from playwright.sync_api import Browser

from api.pages.now import workarounds
from lifecycle.catalogue import load
from lifecycle.model import Lifecycle
from tests.pages.browsing import LOOKS, caught_up, visitor, window
from tests.running import DEFINITIONS, Service, issue_key


@pytest.fixture(scope="module")
def staff(firm: Service) -> Iterator[httpx.Client]:
    """Look at the firm's Now."""
    with visitor(firm, firm.keys["staff"]) as client:
        yield client


HAPPENED = {"CaseOpened", "TransitionMade", "FieldsSet", "StateCorrected", "Erased", "Refused"}


def drawn(page: httpx.Response) -> dict[str, tuple[str, int]]:
    """State → where its number in the picture leads, and the number."""
    found = re.findall(r'<a href="([^"]+)" aria-label="[^":]+(?:: ([0-9,]+))?"><g', page.text)
    return {
        link.partition("state=")[2]: (html.unescape(link), int(number.replace(",", "") or 0))
        for link, number in found
    }


def listed(firm: Service, **query: str) -> int:
    """How many cases the API lists."""
    answer = firm.by("staff").get("/v1/jobs", params={**query, "limit": "500"})
    return len(answer.json()["items"])


class TestNumbers:
    def test_each_number_is_that_of_the_list_behind_it(
        self, firm: Service, staff: httpx.Client
    ) -> None:
        """In every state as many cases as its list holds, and the number leads to that list."""
        caught_up(firm)
        numbers = drawn(staff.get("/?of=jobs"))
        assert numbers.keys() == {
            "quoted", "deposit_confirmed", "scheduled", "completed", "invoiced", "cancelled",
        }  # fmt: skip
        for state, (link, number) in numbers.items():
            assert link == f"/jobs?state={state}"
            assert number == listed(firm, state=state), state
            assert f'<strong class="number">{number:,}</strong>' in staff.get(link).text

    def test_what_is_overdue_is_counted_and_named(self, firm: Service, staff: httpx.Client) -> None:
        """The number of what is late leads to its list; the longest overdue stand there by name."""
        caught_up(firm)
        page = staff.get("/").text
        number = re.search(r'href="/jobs\?overdue=true"><b>([0-9,]+)</b>', page)
        assert number
        assert int(number[1]) == listed(firm, overdue="true")
        first = firm.by("staff").get("/v1/jobs?overdue=true&limit=1").json()["items"][0]
        late = re.findall(r'<li><a href="/jobs/([^"]+)" data-row>', page)
        assert late[0] == first["id"]

    def test_what_happened_last_stands_first(self, firm: Service, staff: httpx.Client) -> None:
        """The latest events of cases, in sentences, those first that happened last."""
        client = firm.by("staff")
        end = int(client.get("/v1/events?limit=1").headers["Statekeeper-Position"])
        found = client.get(f"/v1/events?limit=500&after={end - 100}").json()["items"]
        events = [one for one in found if one["type"] in HAPPENED]
        page = html.unescape(staff.get("/").text)
        told = page.partition('id="lately-title"')[2]
        latest = sorted(events[-4:], key=lambda one: one["time"])
        places = [told.find(one["sentence"]) for one in latest]
        assert -1 not in places
        assert places == sorted(places, reverse=True)

    def test_what_is_not_known_is_not_shown_as_nothing(self, staff: httpx.Client) -> None:
        """A number that no read model tells yet does not stand there as a zero."""
        page = staff.get("/").text
        for href in ("/drift", "/messages"):
            if f'href="{href}' in page:
                assert staff.get(href).status_code == httpx.codes.OK

    def test_an_unknown_collection_is_refused(self, staff: httpx.Client) -> None:
        """Now shows a lifecycle that is there; another is told with those there are."""
        answer = staff.get("/?of=yachts")
        assert answer.status_code == httpx.codes.BAD_REQUEST
        assert "jobs" in answer.text


def test_an_empty_service_says_how_to_begin(shared_sqlite_service: Service) -> None:
    """Where nothing has happened yet, Now says so, and what would make something happen."""
    key = issue_key(shared_sqlite_service.database, staff="First").key
    with visitor(shared_sqlite_service, key) as staff:
        page = staff.get("/").text
    is_new = "Nothing has happened yet" in page
    cases = shared_sqlite_service.by("staff").get("/v1/jobs?limit=1").json()["items"]
    assert is_new is not bool(cases)
    assert not is_new or "statekeeper demo" in page


class TestWorkarounds:
    def test_a_workaround_stands_until_its_day(self, tmp_path: Path) -> None:
        """A word that is ignored until a day is listed before that day, and not from it on."""
        lifecycle = with_workaround(tmp_path)
        before = workarounds([lifecycle], date(2026, 12, 31))
        assert [(one.tool, one.word, one.until) for one in before] == [
            ("HubSpot", "qualifiedtobuy", date(2027, 1, 1))
        ]
        assert workarounds([lifecycle], date(2027, 1, 1)) == []

    def test_what_is_ignored_for_good_is_no_workaround(self) -> None:
        """An `ignore` without a day is how things are, and not listed."""
        lifecycles = load(DEFINITIONS, {}).lifecycles.values()
        assert workarounds(lifecycles, date(2026, 1, 1)) == []


def with_workaround(folder: Path) -> Lifecycle:
    """Read the field service with one word ignored for a time."""
    copied = copytree(DEFINITIONS, folder / "definitions")
    file = copied / "field_service.yaml"
    text = file.read_text()
    assert "qualifiedtobuy: ignore" in text
    for_now = "qualifiedtobuy: {ignore: true, until: 2027-01-01}"
    file.write_text(text.replace("qualifiedtobuy: ignore", for_now))
    return load(copied, {}).lifecycles["jobs"]


class TestInABrowser:
    @pytest.mark.parametrize(("screen", "scheme"), LOOKS)
    def test_now_is_for_everybody(
        self, firm: Service, chromium: Browser, screen: str, scheme: str
    ) -> None:
        """Every lifecycle's picture, on every screen: no barrier, no fault, no foreign request."""
        with window(chromium, firm, screen, scheme) as shown:
            shown.sign_in()
            shown.page.get_by_role("heading", name="Now").wait_for()
            shown.assert_sound()
            shown.page.get_by_role("link", name="Permits").last.click()
            shown.page.wait_for_url("**/?of=permits")
            shown.assert_sound()

    def test_a_state_leads_to_its_cases(self, firm: Service, chromium: Browser) -> None:
        """Clicked, or reached by Tab and opened by Enter."""
        with window(chromium, firm) as shown:
            shown.sign_in().go("/?of=jobs")
            shown.page.get_by_role("link", name=re.compile("^Invoiced:")).click()
            shown.page.wait_for_url("**/jobs?state=invoiced")
            shown.go("/?of=jobs")
            shown.page.get_by_role("link", name=re.compile("^Quoted:")).focus()
            shown.page.keyboard.press("Enter")
            shown.page.wait_for_url("**/jobs?state=quoted")

    def test_what_happens_is_seen_without_loading_again(
        self, sqlite_service: Service, chromium: Browser
    ) -> None:
        """A page that is open shows a new case by itself, also after the service was restarted."""
        with window(chromium, sqlite_service) as shown:
            shown.expected |= {401, 503}
            shown.sign_in().go("/?of=jobs")
            shown.page.evaluate("window.notLoadedAgain = true")
            for number in range(2):
                by_crm = sqlite_service.by("crm").post("/v1/jobs", json={"id": f"LIVE-{number}"})
                assert by_crm.status_code == httpx.codes.CREATED
                shown.page.get_by_role("link", name=f"Quoted: {number + 1}").wait_for()
                shown.page.locator("#lately").get_by_text(f"LIVE-{number}").first.wait_for()
                assert shown.page.evaluate("window.notLoadedAgain")
                if number == 0:
                    sqlite_service.kill()
                    shown.page.get_by_text("trying to reach the service").wait_for()
                    shown.wrong.clear()  # what a browser says of a service that is not there
                    sqlite_service.start()
                    shown.page.get_by_text("trying to reach").wait_for(state="hidden")
            shown.wrong[:] = [one for one in shown.wrong if "ERR_CONNECTION" not in one]

    def test_times_are_the_readers_own(self, firm: Service, chromium: Browser) -> None:
        """A time is shown in the reader's zone; what it is in UTC stands in its title."""
        with window(chromium, firm) as shown:
            shown.sign_in()
            time = shown.page.locator("#lately time").first
            title = time.get_attribute("title") or ""
            assert title.endswith(" UTC")
            hour = shown.page.evaluate(
                "at => new Intl.DateTimeFormat('en-GB', {hour: '2-digit', hourCycle: 'h23',"
                " timeZone: 'America/New_York'}).format(new Date(at))",
                time.get_attribute("datetime"),
            )
            assert f", {hour}:" in time.inner_text()

    def test_now_is_read_without_scripts(self, firm: Service, chromium: Browser) -> None:
        """Everything on Now can be read and opened without a script."""
        with window(chromium, firm, runs_scripts=False) as shown:
            shown.sign_in()
            assert "UTC" in shown.page.locator("#as-of").inner_text()
            shown.page.get_by_role("link", name=re.compile("^Invoiced:")).click()
            shown.page.get_by_role("heading", name="Jobs").wait_for()
