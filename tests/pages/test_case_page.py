import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.pages.browsing import LOOKS, Window, visitor, window
from tests.running import Service, issue_key, until

NUMBERS: Final = count(1)
NASTY: Final = "<img src=x onerror=alert(1)>\"'</script><b>&amp;{{7*7}}"


class Job:
    """A job of one's own in a service that all tests share."""

    def __init__(self, service: Service, **opening: Any) -> None:
        self.service = service
        self.id = f"P-{next(NUMBERS)}"
        self.path = f"/jobs/{self.id}"
        self._done("crm", "POST", "/v1/jobs", {"id": self.id, **opening})

    def says(self, tool: str, **fields: Any) -> "Job":
        """State facts."""
        return self._done(tool, "PATCH", f"/v1{self.path}/fields", fields)

    def makes(self, tool: str, transition: str, **fields: Any) -> "Job":
        """Make a transition."""
        body = {"transition": transition, "fields": fields}
        return self._done(tool, "POST", f"/v1{self.path}/transitions", body)

    def reports(self, tool: str, status_field: str, word: str) -> "Job":
        """Say which word a tool shows."""
        body = {"collection": "jobs", "id": self.id, "status_field": status_field, "word": word}
        return self._done(tool, "POST", f"/v1/tools/{tool}/reports", body)

    def asks(self, tool: str, transition: str) -> "Job":
        """Ask for what is refused."""
        body = {"transition": transition}
        answer = self.service.by(tool).post(f"/v1{self.path}/transitions", json=body)
        assert answer.is_client_error, answer.text
        return self

    @property
    def now(self) -> dict[str, Any]:
        """The case as the API has it."""
        answer: dict[str, Any] = self.service.by("staff").get(f"/v1{self.path}").json()
        return answer

    def _done(self, by: str, method: str, path: str, body: dict[str, Any]) -> "Job":
        answer = self.service.by(by).request(method, path, json=body)
        assert answer.is_success, answer.text
        return self


@pytest.fixture
def job(shared_sqlite_service: Service) -> Job:
    """A job that is planned, was refused something, and of which a tool shows the wrong word."""
    fields = {"customer_name": "Harbour Bakery", "email": "office@harbour.example"}
    made = Job(shared_sqlite_service, fields=fields, references={})
    made.says("accounting", deposit_due="500.00 USD").asks("crm", "confirm_deposit")
    made.says("accounting", deposit_paid="500.00 USD")
    made.makes("projects", "schedule", scheduled_for="2026-05-11")
    return made.reports("crm", "job_status", "Done").reports("projects", "status", "upcoming")


@pytest.fixture(scope="module")
def cookies(shared_sqlite_service: Service, chromium: Browser) -> Any:
    """What a browser keeps of somebody who is signed in."""
    with window(chromium, shared_sqlite_service) as opened:
        return opened.sign_in().page.context.cookies()


@pytest.fixture
def seen(job: Job, chromium: Browser, cookies: Any) -> Iterator[Window]:
    """The page of the job, open at a desk."""
    with window(chromium, job.service) as opened:
        opened.expected = {400, 403, 404, 409, 422}
        opened.page.context.add_cookies(cookies)
        yield opened.go(job.path)


@pytest.fixture
def page(seen: Window) -> Page:
    return seen.page


def part(page: Page, title: str) -> Any:
    """The section under a heading."""
    return page.locator("section", has=page.get_by_role("heading", name=title, exact=True)).last


def lines(page: Page) -> Any:
    return page.locator(".case-lines > li[id]")


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("screen", "scheme"), LOOKS)
def test_a_stranger_finds_where_a_job_is_and_who_acts_next(
    job: Job, chromium: Browser, screen: str, scheme: str
) -> None:
    """The page says first where the job is, why, what it waits for, and what each tool shows."""
    with window(chromium, job.service, screen, scheme) as opened:
        page = opened.sign_in().go(job.path).page
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{job.id} Harbour Bakery")
        expect(page.locator(".case-state")).to_have_text("Scheduled")
        expect(part(page, "Why")).to_contain_text("Jobber scheduled the job for 11 May 2026.")
        expect(part(page, "Waits for")).to_contain_text("Jobber to complete the job.")
        shown = part(page, "What each tool shows")
        wrong = shown.locator("tr", has_text="job status")
        expect(wrong).to_contain_text("Scheduled")
        expect(wrong).to_contain_text("Done")
        expect(wrong.locator(".chip.bad")).to_have_text("differs")
        right = shown.locator("tr", has_text="Jobber")
        expect(right.locator(".chip.good")).to_have_text("as it should")
        page.get_by_text("The same as a table").click()
        opened.assert_sound()
        if (screen == "phone") != (scheme == "dark"):
            return  # the other pages are looked at in one light each
        opened.go(f"{job.path}?look=timeline").assert_sound()
        opened.go(f"{job.path}?look=full&at={job.now['since']}").assert_sound()
        opened.go(f"{job.path}/act/fields").assert_sound()
        page.get_by_label("Scope").fill("Two boilers")
        expect(page.get_by_label("Why?")).to_be_visible()
        opened.assert_sound()


def test_the_picture_can_be_read_as_a_table(page: Page) -> None:
    """Who cannot see the picture has the same in a table: states, owners, times."""
    expect(page.locator("svg.lifecycle .current")).to_have_attribute("data-state", "scheduled")
    page.get_by_text("The same as a table").click()
    now = part(page, "The way it took").locator("tr.now")
    expect(now).to_contain_text("Scheduled")
    expect(now).to_contain_text("Jobber")


def test_the_page_follows_what_happens(page: Page, job: Job) -> None:
    """Whoever looks at a job sees it move, without loading the page again."""
    page.get_by_text("The same as a table").click()
    job.makes("projects", "complete")
    expect(page.locator(".case-state")).to_have_text("Completed", timeout=15_000)
    expect(lines(page).first).to_contain_text("Jobber completed the job.")
    expect(page.locator(".case-stays[open]")).to_be_visible()
    slider = page.get_by_label("The moment to look at")
    assert slider.input_value() == slider.get_attribute("max") == str(job.now["version"])


def test_a_fact_leads_to_the_line_that_tells_it(page: Page) -> None:
    """Each fact has its owner and who said it, and a link to the line of the history."""
    row = part(page, "What is known").locator("tr", has_text="Deposit paid")
    expect(row).to_contain_text("500.00 USD")
    row.get_by_role("link", name="QuickBooks Online").click()
    expect(page.locator(".case-lines > li:target")).to_contain_text("set the deposit paid")


def test_the_history_is_searched_turned_and_filtered_in_the_address(page: Page) -> None:
    """Text, kinds, order and look of the history are kept in the address."""
    page.get_by_label("Find in the history").fill("refused")
    expect(lines(page)).to_have_count(1)
    expect(lines(page)).to_contain_text("HubSpot asked to confirm the deposit")
    expect(page).to_have_url(re.compile(r"\?text=refused$"))
    page.reload()
    expect(lines(page)).to_have_count(1)
    page.get_by_label("Find in the history").fill("")
    expect(lines(page).nth(1)).to_be_visible()
    page.get_by_label("Facts").uncheck()
    expect(page.locator(".case-lines")).not_to_contain_text("set the deposit paid")
    page.get_by_role("link", name="Timeline").click()
    expect(page.locator("ol.timeline")).to_be_visible()
    page.get_by_label("Order").select_option("oldest")
    expect(lines(page).first).to_contain_text("opened the job")
    expect(page).to_have_url(re.compile("look=timeline.*order=oldest|order=oldest.*look=timeline"))


def test_time_is_dragged_with_the_keys(page: Page, job: Job) -> None:
    """The slider shows the job as it was after each change, and now again at its end."""
    slider = page.get_by_label("The moment to look at")
    slider.press("Home")
    expect(page.locator(".case-state")).to_have_text("Quoted")
    expect(page).to_have_url(re.compile(r"\?at="))
    expect(part(page, "What is known").locator("tr", has_text="Deposit paid")).to_contain_text(
        "not known"
    )
    expect(page.locator(".case-lines > li.later").first).to_be_visible()
    expect(page.get_by_role("link", name="Do it")).to_have_count(0)
    page.reload()
    expect(page.locator(".case-state")).to_have_text("Quoted")
    expect(page.locator(".case-slider output")).to_contain_text("As it was on")
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator(".case-state")).to_have_text("Scheduled")
    expect(page).to_have_url(f"{job.service.url}{job.path}")


def test_a_job_is_shown_as_it_was_known(page: Page) -> None:
    """What happened earlier but was told later does not count in what was known."""
    slider = page.get_by_label("The moment to look at")
    page.get_by_label("as it was known").check()
    slider.press("Home")
    expect(page.locator(".case-past")).to_contain_text("What was known on")
    expect(page).to_have_url(re.compile(r"\?known_at="))
    expect(page.locator(".case-state")).to_have_text("Quoted")


def test_a_long_history_comes_as_one_scrolls(
    shared_sqlite_service: Service, chromium: Browser
) -> None:
    """A part of a long history comes first, the rest while one reads on."""
    job = Job(shared_sqlite_service)
    changes = [
        {"do": "transition", "id": job.id, "transition": "confirm_deposit", "by": "accounting",
         "fields": {"deposit_due": "1.00 USD", "deposit_paid": "1.00 USD"}}
    ]  # fmt: skip
    for number in range(110):
        day = f"2026-05-{1 + number % 28:02}"
        changes += [
            {"do": "transition", "id": job.id, "transition": "schedule", "by": "projects",
             "fields": {"scheduled_for": day}},
            {"do": "transition", "id": job.id, "transition": "unschedule", "by": "projects"},
        ]  # fmt: skip
    body = "\n".join(json.dumps(one) for one in changes)
    imported = shared_sqlite_service.by("staff").post("/v1/jobs/import", content=body)
    assert imported.is_success, imported.text
    with window(chromium, shared_sqlite_service) as opened:
        page = opened.sign_in().go(job.path).page
        assert lines(page).count() >= 100
        until(lambda: _scrolled(page) == 222, "every line has come")
        opened.go(f"{job.path}?line={_first_position(page)}")
        expect(lines(page).last).to_contain_text("opened the job")


def _scrolled(page: Page) -> int:
    page.keyboard.press("End")
    found: int = lines(page).count()
    return found


def _first_position(page: Page) -> str:
    return str(lines(page).last.get_attribute("id")).removeprefix("e-")


# --- acting -------------------------------------------------------------------------------------


def test_staff_see_what_will_change_and_do_it(page: Page, job: Job) -> None:
    """A transition in a tool's place: what it will change and who is told, then why, and done."""
    page.get_by_role("link", name="Complete the job").click()
    shown = page.locator(".plan")
    expect(shown).to_contain_text("Completed")
    expect(shown).to_contain_text("requires_invoicing")
    expect(shown).to_contain_text("The history will say")
    page.get_by_role("button", name="Complete the job").click()
    expect(page.get_by_role("alert")).to_contain_text("Say why")
    assert job.now["state"] == "scheduled"
    page.get_by_label("Why?").fill("The crew phoned: done.")
    page.get_by_role("button", name="Complete the job").click()
    expect(page.get_by_role("status").first).to_contain_text("completed the job")
    expect(page.locator(".case-state")).to_have_text("Completed")
    expect(page.locator(".case-lines > li:target")).to_contain_text("The crew phoned: done.")
    assert job.now["state"] == "completed"


def test_a_job_that_moved_meanwhile_is_looked_at_again(seen: Window, page: Page, job: Job) -> None:
    """What was planned on another version is not done: it is planned again, and then done."""
    seen.go(f"{job.path}/act/fields")
    page.get_by_label("Scope").fill("Two boilers")
    page.get_by_label("Why?").fill("They called.")
    expect(page.locator(".plan")).to_contain_text("Two boilers")
    job.says("accounting", deposit_paid="600.00 USD")
    page.get_by_role("button", name="Set facts").click()
    expect(page.get_by_role("alert")).to_contain_text("moved on since you looked")
    expect(page.locator(".plan")).not_to_contain_text("Deposit paid")
    page.get_by_role("button", name="Set facts").click()
    expect(page.get_by_role("status").first).to_contain_text("Two boilers")
    assert job.now["fields"]["scope"] == "Two boilers"
    assert job.now["fields"]["deposit_paid"] == "600.00 USD"


def test_what_is_sent_twice_is_done_once(job: Job) -> None:
    """A plan that is confirmed twice in a hurry is carried out once."""
    with visitor(job.service, job.service.keys["staff"]) as client:
        address = f"{job.path}/act/move"
        sure = hidden(client.get(f"{address}?transition=complete"))
        sure |= {"reason": "They called.", "step": "do"}
        answers = [client.post(address, data=sure) for _ in range(2)]
        newer = {**sure, "version": str(job.now["version"])}  # as it is shown after a `NotNow`
        answers.append(client.post(address, data=newer))
        assert [answer.status_code for answer in answers] == [303, 303, 303]
        assert client.post(address, data={**sure, "csrf": "x"}).status_code == 403
    history = job.service.by("staff").get(f"/v1{job.path}/history").json()["items"]
    done = [one for one in history if one["type"] == "TransitionMade"]
    assert [one["data"]["transition"] for one in done].count("complete") == 1


def hidden(page: httpx.Response) -> dict[str, str]:
    """What a form says of itself."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))


def test_what_was_not_looked_at_is_not_done(job: Job) -> None:
    """Whoever fills in something else after looking is shown first what that would do."""
    with visitor(job.service, job.service.keys["staff"]) as client:
        address = f"{job.path}/act/correct"
        first = {"state": "completed", "reason": "The crew is home."}
        empty = client.get(address)
        assert "Fill in “Where it really is” first" in empty.text
        shown = client.post(address, data={**hidden(empty), **first, "step": "plan"})
        other = {**hidden(shown), **first, "state": "cancelled", "step": "do"}
        answer = client.post(address, data=other)
        assert answer.status_code == httpx.codes.CONFLICT
        assert "You changed something after you looked." in answer.text
        assert "Cancelled is an end." in answer.text
        assert job.now["state"] == "scheduled"
        answer = client.post(address, data={**other, **hidden(answer)})
        assert answer.status_code == httpx.codes.SEE_OTHER
    assert job.now["state"] == "cancelled"


def test_what_cannot_be_done_is_said_before_it_is_asked_why(job: Job) -> None:
    """A transition that is not open is refused where the plan would stand, and asks no reason."""
    with visitor(job.service, job.service.keys["staff"]) as client:
        shown = client.get(f"{job.path}/act/move?transition=invoice").text
    assert "This cannot be done" in shown
    assert "Nothing was changed, and nobody is told." in shown
    assert 'class="card fields act-do" hidden' in shown


def test_a_refusal_stands_beside_what_was_typed(seen: Window, page: Page, job: Job) -> None:
    """What will not do is said in words beside the form, and nothing that was typed is lost."""
    seen.go(f"{job.path}/act/fields")
    page.get_by_label("Scope").fill("Two boilers")
    page.get_by_label("Why?").fill("They paid cash.")
    page.get_by_label("Deposit paid").fill("a lot")
    expect(page.get_by_role("alert")).to_contain_text("The deposit paid: 'a lot' is no money")
    expect(page.get_by_role("button", name="Set facts")).to_be_hidden()
    page.get_by_label("Deposit paid").fill("700.00 USD")
    expect(page.locator(".plan")).to_contain_text("700.00 USD")
    expect(page.get_by_label("Why?")).to_have_value("They paid cash.")


def test_what_was_filled_in_before_the_script_came_is_seen(page: Page) -> None:
    """Whoever is quicker than the line need not type it again."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile(r"/act\b[^/]*\.js"), hold)
    page.goto(f"{page.url}/act/fields", wait_until="commit")
    page.get_by_label("Scope").fill("Two boilers")
    assert len(held) == 1, "the script was there already"
    held[0].continue_()
    expect(page.locator(".plan")).to_contain_text("Two boilers")
    page.get_by_label("Why?").fill("They said so by phone.")


def test_references_are_linked_and_released(page: Page, job: Job) -> None:
    """A tool's record is linked, and let go again, each with a reason."""
    page.get_by_role("link", name="Link a record").click()
    page.get_by_label("Tool and kind").select_option(label="QuickBooks Online: invoice")
    page.get_by_label("Its id there").fill(f"INV {job.id}/1")
    page.get_by_label("Why?").fill("It was forgotten.")
    page.get_by_role("button", name="Link a record").click()
    expect(part(page, "What is known")).to_contain_text(f"INV {job.id}/1")
    page.get_by_role("link", name=f"Take away QuickBooks Online invoice INV {job.id}/1").click()
    page.get_by_label("Why?").fill("It was another job's.")
    page.get_by_role("button", name="Take away the record").click()
    expect(part(page, "What is known")).not_to_contain_text(f"INV {job.id}/1")


def test_a_state_is_corrected(page: Page, job: Job) -> None:
    """Staff put a job where it really is, and the history marks it."""
    page.get_by_role("link", name="Correct the state").click()
    page.get_by_label("Where it really is").select_option(label="Completed")
    page.get_by_label("Why?").fill("The crew is home.")
    page.get_by_role("button", name="Correct the state").click()
    expect(page.locator(".case-lines > li:target .chip.staff")).to_have_text("corrected")
    assert job.now["state"] == "completed"


def test_erasing_is_confirmed_twice(page: Page, job: Job) -> None:
    """Personal values go only after the case's own id was typed; then they read erased."""
    page.get_by_role("link", name="Erase personal values").click()
    page.get_by_label("Why?").fill("They asked by letter.")
    expect(page.locator(".plan")).to_contain_text("Customer name")
    page.get_by_label("This cannot be undone").fill("P-0")
    page.get_by_role("button", name="Erase for good").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was erased")
    assert job.now["fields"]["customer_name"] == "Harbour Bakery"
    page.get_by_label("This cannot be undone").fill(job.id)
    page.get_by_role("button", name="Erase for good").click()
    row = part(page, "What is known").locator("tr", has_text="Customer name")
    expect(row.locator(".chip")).to_have_text("erased")
    expect(page.locator("main")).not_to_contain_text("Harbour Bakery")


def test_a_read_only_key_sees_no_forms(job: Job, chromium: Browser) -> None:
    """Whoever may only read sees everything, and nothing to act with."""
    key = issue_key(job.service.database, staff="The auditor", read_only=True).key
    with window(chromium, job.service) as opened:
        opened.expected = {403}
        page = opened.go(f"/sign-in?next={job.path}").page
        page.get_by_label("Staff key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator(".case-state")).to_have_text("Scheduled")
        expect(page.locator("a[href*='/act/']")).to_have_count(0)
        assert status(opened, f"{job.path}/act/erase") == 403
        opened.assert_sound()


def status(opened: Window, path: str) -> int:
    """Open an address, and tell how it was answered."""
    answer = opened.page.goto(opened.service.url + path)
    assert answer is not None
    return answer.status


# --- whatever happens ---------------------------------------------------------------------------


def test_everything_works_without_a_script(job: Job, chromium: Browser) -> None:
    """Reading, looking back, searching and acting are links and forms."""
    with window(chromium, job.service, "phone", runs_scripts=False) as opened:
        page = opened.sign_in().go(job.path).page
        page.get_by_text("As it was…").click()
        page.locator(".case-moments li a").last.click()
        expect(page.locator(".case-state")).to_have_text("Quoted")
        page.get_by_role("link", name="Back to now").first.click()
        page.get_by_label("Find in the history").fill("upcoming")
        page.get_by_role("button", name="Show").click()
        expect(lines(page)).to_have_count(1)
        page.get_by_role("link", name="Correct the state").click()
        page.get_by_label("Where it really is").select_option(label="Completed")
        page.get_by_role("button", name="See what will change").click()
        expect(page.locator(".plan")).to_contain_text("Who is told")
        page.get_by_label("Why?").fill("Done, they say.")
        page.get_by_role("button", name="Correct the state").click()
        expect(page.locator(".case-state")).to_have_text("Completed")


def test_nothing_that_is_said_becomes_markup(
    shared_sqlite_service: Service, chromium: Browser
) -> None:
    """Markup in fields, references, words and reasons is shown as it was written, everywhere."""
    fields = {"customer_name": NASTY, "scope": NASTY}
    job = Job(shared_sqlite_service, fields=fields, references={"crm": f"{NASTY}{next(NUMBERS)}"})
    job.reports("crm", "dealstage", NASTY)
    with window(chromium, shared_sqlite_service) as opened:
        page = opened.sign_in().go(f"{job.path}/act/move?transition=cancel").page
        page.on("dialog", lambda dialog: opened.wrong.append(f"dialog: {dialog.message}"))
        expect(page.locator(".plan")).to_contain_text(NASTY[:28])
        page.get_by_label("Why?").fill(NASTY)
        page.get_by_role("button", name="Cancel the job").click()
        for look in ("compact", "timeline", "full"):
            opened.go(f"{job.path}?look={look}&text=%3Cimg")
            assert page.locator("main img, main b:has-text('&amp;')").count() == 0
            expect(page.get_by_role("heading", level=1)).to_contain_text(NASTY)
        opened.go(f"{job.path}/act/release?tool=crm&kind=&ref=%3Cb%3Ex%3C/b%3E")
        expect(page.get_by_role("heading", level=1)).to_have_text("Take away the record <b>x</b>")


def test_an_address_that_makes_no_sense_is_a_page(seen: Window, job: Job) -> None:
    """A case that is not there, a time that is none, an act that nobody knows: said, not failed."""
    for path, answered in {
        "/jobs/nobody": 404,
        f"{job.path}?at=yesterday": 400,
        f"{job.path}?at=2001-01-01T00:00:00Z": 404,
        f"{job.path}/act/dance": 404,
        f"{job.path}/act/move?transition=dance": 404,
        f"{job.path}?after=x&line=-1&look=upside&kind=none&text=%00": 200,
    }.items():
        assert status(seen, path) == answered, path
        expect(seen.page.get_by_role("heading", level=1)).to_be_visible()
