"""The list of a collection: found, filtered, paged, and taken away as a file."""

import csv
import html
import re
from collections.abc import Iterator
from io import BytesIO, StringIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser
from python_calamine import load_workbook

from api.pages.export import ROWS_MAX
from tests.pages.browsing import LOOKS, caught_up, visitor, window
from tests.running import Service

ATTACKS = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "{{ 7 * 7 }}${7*7}",
    "javascript:alert(1)",
    "</title><svg onload=alert(1)>",
)
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1")


@pytest.fixture(scope="module")
def staff(firm: Service) -> Iterator[httpx.Client]:
    """Look at the lists of the firm."""
    with visitor(firm, firm.keys["staff"]) as client:
        yield client


def ids(page: httpx.Response) -> list[str]:
    """The cases on a page, in its order."""
    assert page.status_code == httpx.codes.OK, page.text
    return re.findall(r'<a href="/[a-z]+/([^"]+)" data-row>', page.text)


def opened(service: Service, case_id: str, **fields: Any) -> None:
    """Open a job by the CRM."""
    answer = service.by("crm").post(
        "/v1/jobs", json={"id": case_id, "fields": fields, "references": {"crm": f"R-{case_id}"}}
    )
    assert answer.status_code == httpx.codes.CREATED, answer.text


class TestFinding:
    def test_a_list_shows_what_the_api_lists(self, firm: Service, staff: httpx.Client) -> None:
        """The page and `/v1` answer the same cases in the same order, whatever is asked."""
        caught_up(firm)
        for query, same in (
            ("", {}),
            ("state=scheduled", {"state": "scheduled"}),
            ("says=crm:closedwon", {"tool": "crm", "word": "closedwon"}),
            ("overdue=true", {"overdue": "true"}),
            ("drift=true", {"drift": "true"}),
            ("order=unchanged", {"updated_since": "1970-01-01T00:00:00Z"}),
            (
                "order=unchanged&state=scheduled",
                {"updated_since": "1970-01-01T00:00:00Z", "state": "scheduled"},
            ),
            ("q=harbour+bak", {"q": "harbour bak"}),
            ("q=EST&state=invoiced", {"q": "EST", "state": "invoiced"}),
        ):
            listed = firm.by("staff").get("/v1/jobs", params={**same, "limit": "50"}).json()
            assert ids(staff.get(f"/jobs?{query}")) == [one["id"] for one in listed["items"]], query

    def test_a_case_that_a_tool_shows_otherwise_is_marked(
        self, firm: Service, staff: httpx.Client
    ) -> None:
        """The mark stands at the cases in drift, at no other, and leads to the difference."""
        caught_up(firm)
        listed = firm.by("staff").get("/v1/jobs", params={"drift": "true"}).json()["items"]
        mark = re.compile(r'href="/drift\?collection=jobs&amp;id=([^"]+)"')
        wrong = [one["id"] for one in listed]
        assert wrong
        assert mark.findall(staff.get("/jobs?drift=true").text) == wrong
        there = ids(staff.get("/jobs"))
        assert mark.findall(staff.get("/jobs").text) == [one for one in there if one in wrong]

    def test_a_case_is_found_by_what_people_know_of_it(
        self, firm: Service, staff: httpx.Client
    ) -> None:
        """By its id, by a tool's own id of it, by its customer, and by half of the last word."""
        opened(firm, "KNOWN-1", customer_name="Zéphyr Sailmakers")
        caught_up(firm)
        for asked in ("known-1", "R-KNOWN", "zephyr", "ZÉPHYR sail"):
            assert ids(staff.get("/jobs", params={"q": asked})) == ["KNOWN-1"], asked

    def test_blanks_ask_for_nothing(self, staff: httpx.Client) -> None:
        """A form that was sent without anything filled in shows everything."""
        blank = staff.get("/jobs?q=&state=&says=&changed=")
        assert ids(blank) == ids(staff.get("/jobs"))

    def test_filters_stand_in_the_address_and_come_off_one_by_one(
        self, staff: httpx.Client
    ) -> None:
        """Every filter that is set is said in words, and links to the list without it."""
        page = staff.get("/jobs?q=harbour&state=quoted&changed=week")
        links = [
            html.unescape(one) for one in re.findall(r'class="chip" href="([^"]+)"', page.text)
        ]
        asked = [parse_qs(urlsplit(link).query) for link in links]
        assert asked == [
            {"state": ["quoted"], "changed": ["week"]},
            {"q": ["harbour"], "changed": ["week"]},
            {"q": ["harbour"], "state": ["quoted"]},
        ]
        assert "in the last 7 days" in page.text

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ("q=%21%21", "words of letters and digits"),
            ("q=a+b+c+d+e+f", "5 words"),
            ("state=lost", "know no state"),
            ("says=crm:never", "has no word"),
            ("says=fax:never", "know no tool"),
            ("changed=ever", "one of hour, day, week, month"),
            ("overdue=no", "only `true`"),
        ],
    )
    def test_what_cannot_be_asked_is_told_above_the_list(
        self, staff: httpx.Client, query: str, says: str
    ) -> None:
        """Who asks for what is not there keeps the form as filled in, and reads what there is."""
        page = staff.get(f"/jobs?{query}")
        assert page.status_code == httpx.codes.OK
        alert = re.search(r'role="alert">([^<]+)<', page.text)
        assert alert
        assert says in html.unescape(alert[1])

    def test_pages_follow_one_another(self, firm: Service, staff: httpx.Client) -> None:
        """Going on from page to page shows each case once, in the order of the list."""
        for number in range(12):
            opened(firm, f"PAGE-{number}", customer_name="Paginated", scope="paper")
        caught_up(firm)
        whole = firm.by("staff").get("/v1/jobs?limit=500").json()["items"]
        seen, page = list[str](), staff.get("/jobs")
        while True:
            seen += ids(page)
            following = re.search(r'href="([^"]+)" rel="next"', page.text)
            if following is None:
                break
            page = staff.get(html.unescape(following[1]))
            assert "First page" in page.text
        assert seen == [one["id"] for one in whole]

    def test_a_cursor_of_another_list_is_refused(self, staff: httpx.Client) -> None:
        """Who changes the filters of an address with a cursor is told to begin anew."""
        following = re.search(r'href="([^"]+)" rel="next"', staff.get("/jobs").text)
        assert following
        answer = staff.get(html.unescape(following[1]) + "&state=quoted")
        assert answer.status_code == httpx.codes.BAD_REQUEST
        assert "same filters" in answer.text

    def test_an_unknown_collection_names_those_there_are(self, staff: httpx.Client) -> None:
        """What is no list is a page that says so."""
        answer = staff.get("/yachts")
        assert answer.status_code == httpx.codes.NOT_FOUND
        assert "there are:" in answer.text
        assert "jobs" in answer.text


class TestEmptiness:
    def test_an_empty_list_says_why_and_what_to_do(self, staff: httpx.Client) -> None:
        """Where there is no case at all: who opens one, and how to bring them in."""
        page = staff.get("/loans").text
        assert "No loans yet" in page
        assert "Loan origination system opens one" in page
        assert "statekeeper import loans FILE" in page

    def test_a_search_without_finds_says_what_was_asked(self, staff: httpx.Client) -> None:
        """Where nothing matches: what was asked, how searching works, and the way back."""
        page = html.unescape(staff.get("/jobs?q=nosuchthing&state=quoted").text)
        assert "No job matches" in page
        assert "holding “nosuchthing” and in Quoted" in page
        assert "whole words" in page
        assert '<a class="button" href="/jobs">Show all jobs</a>' in page


class TestFiles:
    def rows_of(self, staff: httpx.Client, query: str = "") -> tuple[list[Any], list[Any]]:
        """The same list, as CSV and as XLSX."""
        text = staff.get(f"/jobs.csv?{query}").content.decode("utf-8-sig")
        sheet = load_workbook(BytesIO(staff.get(f"/jobs.xlsx?{query}").content))
        return list(csv.reader(StringIO(text))), sheet.get_sheet_by_index(0).to_python()

    def test_files_hold_what_the_page_shows(self, firm: Service, staff: httpx.Client) -> None:
        """The same cases in the same columns, of all pages of the list."""
        caught_up(firm)
        for query in ("", "state=invoiced", "q=harbour"):
            comma, sheet = self.rows_of(staff, query)
            page = staff.get(f"/jobs?{query}")
            heads = re.findall(r'scope="col"[^>]*>([^<]+)<', page.text)
            marks = {"Overdue since", "Differs"}  # on the page they stand beside
            assert [one for one in comma[0] if one not in marks] == heads
            assert comma == [[str(cell) for cell in row] for row in sheet]
            shown = ids(page)
            assert [row[0] for row in comma[1:]][: len(shown)] == shown
        assert len(self.rows_of(staff)[0]) - 1 == len(
            firm.by("staff").get("/v1/jobs?limit=500").json()["items"]
        )

    @pytest.mark.parametrize("formula", FORMULAS)
    def test_no_cell_is_a_formula(self, firm: Service, staff: httpx.Client, formula: str) -> None:
        """What a customer wrote is text in every spreadsheet, also where it begins like a sum."""
        case_id = f"CELL-{FORMULAS.index(formula)}"
        opened(firm, case_id, customer_name=formula)
        caught_up(firm)
        stored = firm.by("staff").get(f"/v1/jobs/{case_id}").json()["fields"]["customer_name"]
        comma, sheet = self.rows_of(staff, f"q={case_id}")
        assert comma[1][1] == f"'{stored}"
        assert sheet[1][1] == stored

    def test_a_file_is_bounded_and_says_so(self, staff: httpx.Client) -> None:
        """The page says how many rows a file has at most."""
        assert f"at most {ROWS_MAX:,} rows" in staff.get("/jobs").text

    def test_files_are_named_and_typed(self, staff: httpx.Client) -> None:
        """A browser keeps them as files of the list's name; other endings are not found."""
        for form, media_type in (("csv", "text/csv"), ("xlsx", "spreadsheetml.sheet")):
            answer = staff.get(f"/jobs.{form}")
            assert answer.headers["content-disposition"] == f'attachment; filename="jobs.{form}"'
            assert media_type in answer.headers["content-type"]
        assert staff.get("/jobs.pdf").status_code == httpx.codes.NOT_FOUND

    def test_nobody_takes_a_file_without_signing_in(self, firm: Service) -> None:
        """A file is as guarded as its page."""
        with visitor(firm) as nobody:
            assert nobody.get("/jobs.csv").status_code == httpx.codes.SEE_OTHER


class TestInABrowser:
    @pytest.mark.parametrize(("screen", "scheme"), LOOKS)
    def test_a_list_is_for_everybody(
        self, firm: Service, chromium: Browser, screen: str, scheme: str
    ) -> None:
        """Searched, filtered, filtered to nothing: no barrier, no fault, no foreign request."""
        with window(chromium, firm, screen, scheme) as shown:
            shown.sign_in().go("/jobs")
            shown.page.get_by_role("rowheader").first.wait_for()
            shown.assert_sound()
            shown.page.get_by_label("State").select_option("invoiced")
            shown.page.wait_for_url("**/jobs?state=invoiced")
            assert set(shown.page.locator(".chip.state").all_inner_texts()) == {"Invoiced"}
            shown.page.get_by_role("searchbox").fill("no such job")
            shown.page.get_by_role("button", name="Show").click()
            shown.page.get_by_role("heading", name="No job matches").wait_for()
            assert "changed" not in shown.page.url
            shown.assert_sound()

    def test_keys_lead_to_the_search_and_through_the_list(
        self, firm: Service, chromium: Browser
    ) -> None:
        """`/` goes to the search box, `j` and `k` from case to case; typing them types them."""
        with window(chromium, firm) as shown:
            shown.sign_in().go("/jobs")
            shown.page.keyboard.press("/")
            shown.page.keyboard.type("bakery/j")
            box = shown.page.get_by_role("searchbox")
            assert box.input_value() == "bakery/j"
            box.blur()
            rows = shown.page.locator("[data-row]")
            for key, row in (("j", 0), ("j", 1), ("k", 0)):
                shown.page.keyboard.press(key)
                assert rows.nth(row).evaluate("row => row === document.activeElement")

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_what_others_wrote_is_text(self, firm: Service, chromium: Browser, attack: str) -> None:
        """Markup in fields and references, and in what is searched for, is shown and never run."""
        case_id = f"XSS-{ATTACKS.index(attack)}"
        fields = {"customer_name": attack, "scope": attack}
        answer = firm.by("crm").post(
            "/v1/jobs", json={"id": case_id, "fields": fields, "references": {"crm": attack}}
        )
        assert answer.status_code == httpx.codes.CREATED, answer.text
        caught_up(firm)
        with window(chromium, firm) as shown:
            shown.sign_in().go(f"/jobs?q={case_id}")
            assert shown.page.get_by_text(attack, exact=True).first.is_visible()
            assert shown.page.title() == "Jobs · Statekeeper"
            shown.page.get_by_role("searchbox").fill(attack)
            shown.page.get_by_role("button", name="Show").click()
            shown.page.wait_for_load_state()
            assert shown.page.get_by_role("searchbox").input_value() == attack
            assert shown.page.title() == "Jobs · Statekeeper"

    def test_a_list_is_read_without_scripts(self, firm: Service, chromium: Browser) -> None:
        """Searching, filtering and turning pages need no script; times are then in UTC."""
        with window(chromium, firm, runs_scripts=False) as shown:
            shown.sign_in().go("/jobs")
            assert "UTC" in shown.page.locator("tbody time").first.inner_text()
            shown.page.get_by_role("searchbox").fill("harbour")
            shown.page.get_by_label("Changed").select_option("month")
            shown.page.get_by_role("button", name="Show").click()
            shown.page.get_by_text("holding “harbour”").wait_for()
            assert "Harbour Bakery" in shown.page.locator("tbody").inner_text()


def test_the_order_that_cases_stand_in_is_the_one_that_is_named(
    firm: Service, staff: httpx.Client
) -> None:
    """What is overdue stands longest overdue first, and the list says so; else last opened."""
    caught_up(firm)
    assert '<option value="" selected>Last opened first</option>' in staff.get("/jobs").text
    late = staff.get("/jobs?overdue=true").text
    assert '<option value="" selected>Longest overdue first</option>' in late


def test_what_is_not_there_can_be_looked_for(staff: httpx.Client) -> None:
    """Who comes to a case that is not there finds a search and the list, and no dead end."""
    page = staff.get("/jobs/J-nothing")
    assert page.status_code == httpx.codes.NOT_FOUND
    assert '<form class="filters" method="get" action="/jobs" role="search"' in page.text
    assert '<a class="button" href="/jobs">All jobs</a>' in page.text
    assert 'role="search"' not in staff.get("/yachts/J-nothing").text
