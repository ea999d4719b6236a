"""The work lists of the steward: by cause, with what mends it, planned before and true after."""

import html
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from api.pages.steps import KINDS
from api.pages.worklists import ROWS
from lifecycle import telling
from lifecycle.events import NoticeDue
from lifecycle.journal import Record
from lifecycle.opening import open_journal
from tests.lifecycle.given import shipped
from tests.pages.browsing import caught_up, token, visitor, window
from tests.running import Service, issue_key, running_service, until

ATTACK = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Run a service in which nothing has happened yet, over each database."""
    folder = tmp_path_factory.mktemp(f"worklists-{request.param}")
    database = f"sqlite:///{folder}/log.db"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres").new()
    with running_service(database, folder) as service:
        yield service


@pytest.fixture(scope="module")
def staff(bench: Service) -> Iterator[httpx.Client]:
    """Visit as staff."""
    with visitor(bench, bench.keys["staff"]) as client:
        yield client


def confirmed(service: Service, *names: str) -> None:
    """Open these jobs and have their deposits paid: they stand in `deposit_confirmed`."""
    for name in names:
        done = service.by("crm").post(
            "/v1/jobs", json={"id": name, "references": {"crm": f"deal-{name}"}}
        )
        assert done.status_code == httpx.codes.CREATED, done.text
        paid = {"deposit_due": "10.00 USD", "deposit_paid": "10.00 USD"}
        done = service.by("accounting").patch(f"/v1/jobs/{name}/fields", json=paid)
        assert done.json()["state"] == "deposit_confirmed", done.text


def reported(service: Service, tool: str, **said: Any) -> str:
    """Have a tool report; answers the outcome."""
    done = service.by(tool).post(f"/v1/tools/{tool}/reports", json={"collection": "jobs", **said})
    assert done.status_code == httpx.codes.OK, done.text
    return str(done.json()["outcome"])


def differing(service: Service, *names: str) -> None:
    """Have a tool that took everything it was told show a word that is not so."""
    for name in names:
        confirmed(service, name)
        told = {"tool": "projects", "state": "waiting", "collection": "jobs", "id": name}
        for one in listed(service, "/v1/notices", **told):
            said = {"reason": "Typed in"}
            service.by("staff").post(f"/v1/notices/{one['id']}/delivered", json=said)
        assert reported(service, "projects", id=name, word="archived") == "drift"
    caught_up(service)


def crm_differs(service: Service, name: str, word: str) -> dict[str, Any]:
    """Have the CRM show a word that is not its to say; answers the difference."""
    said = reported(service, "crm", id=name, status_field="job_status", word=word)
    assert said == "drift"
    (found,) = listed(service, "/v1/drift", collection="jobs", id=name)
    return found


def listed(service: Service, path: str, **query: str) -> list[dict[str, Any]]:
    """The same list as the API has it."""
    caught_up(service)
    items: list[dict[str, Any]] = service.by("staff").get(path, params=query).json()["items"]
    return items


def test_an_empty_list_says_why_and_what_would_stand_there(staff: httpx.Client) -> None:
    """Who finds nothing to do reads why that is so."""
    for path, says in (
        ("/drift", "Nothing differs"),
        ("/messages", "Everything was placed"),
        ("/notices", "Nothing was given up"),
        ("/notices?state=by-hand", "Nothing is to be carried"),
    ):
        page = staff.get(path)
        assert page.status_code == httpx.codes.OK, page.text
        assert says in page.text


def test_what_has_stood_longest_comes_first(bench: Service, staff: httpx.Client) -> None:
    """Causes and what stands under them are in one order, which the list says."""
    confirmed(bench, "AGE-1", "AGE-2", "AGE-3")
    for name, field in (("AGE-1", "word"), ("AGE-2", "other"), ("AGE-3", "word")):
        said = {"word": "Void"} if field == "word" else {"word": "To invoice"}
        assert reported(bench, "accounting", id=name, **said) == "drift"
    caught_up(bench)
    page = staff.get("/drift", params={"tool": "accounting"}).text
    assert "The longest standing first." in page
    places = [page.find(f'href="/jobs/AGE-{number}"') for number in (1, 3, 2)]
    assert -1 not in places
    assert places == sorted(places)
    settled = staff.get("/drift", params={"state": "resolved"}).text
    assert "The longest standing first." not in settled


def test_nobody_is_offered_to_tell_what_a_tool_is_not_told(
    bench: Service, staff: httpx.Client
) -> None:
    """Where a tool has another value of a field that it is not told, only a person can mend it."""
    confirmed(bench, "READS-1")
    said = {"fields": {"customer_name": "Corner Bookshop Ltd"}}
    bench.by("crm").patch("/v1/jobs/READS-1/fields", json={"customer_name": "Corner Bookshop"})
    reported(bench, "accounting", id="READS-1", **said)
    caught_up(bench)
    page = staff.get("/drift", params={"collection": "jobs", "id": "READS-1"}).text
    assert "“Corner Bookshop” is right" in page
    assert "Nobody tells QuickBooks Online its customer name" in page
    assert "Accept…" in page
    assert "Tell again…" not in page


def test_what_was_erased_stands_on_no_page(bench: Service, staff: httpx.Client) -> None:
    """What was erased is on no page; the words that a tool is due are nobody's, and stand."""
    confirmed(bench, "GONE-1")
    known = {"customer_name": "Fernhill Bakery", "email": "office@fernhill.example"}
    bench.by("crm").patch("/v1/jobs/GONE-1/fields", json=known)
    other = {"customer_name": "Fernhill Bakery Ltd"}
    reported(bench, "accounting", id="GONE-1", fields=other)
    of_case = {"collection": "jobs", "id": "GONE-1"}
    caught_up(bench)
    assert "Fernhill Bakery Ltd" in staff.get("/drift", params=of_case).text
    erased = bench.by("staff").post("/v1/jobs/GONE-1/erase", json={"reason": "By letter."})
    assert erased.status_code == httpx.codes.OK, erased.text
    caught_up(bench)
    everything = "?look=full&" + "&".join(f"kind={kind}" for kind in KINDS)
    for path in (
        *("/", "/jobs", f"/jobs/GONE-1{everything}", "/jobs/GONE-1/act/fields", "/messages"),
        *("/drift", "/drift?state=resolved", "/messages?outcome=", "/notices?state=waiting"),
    ):
        page = staff.get(path)
        assert page.status_code == httpx.codes.OK, path
        assert "ernhill" not in page.text, path
    waiting = staff.get("/notices", params={**of_case, "state": "by-hand"}).text
    assert "dealstage to “closedwon”" in html.unescape(waiting)


def test_a_cause_is_mended_for_all_at_once_without_a_script(
    bench: Service, chromium: Browser
) -> None:
    """Differences of one cause are told again together: planned first, then with a reason."""
    differing(bench, "TELL-1", "TELL-2", "TELL-3")
    with window(chromium, bench, runs_scripts=False) as opened:
        opened.expected.add(httpx.codes.UNPROCESSABLE_ENTITY)
        page = opened.sign_in().go("/drift").page
        page.get_by_role("link", name="Tell all 3 again…").click()
        for name in ("TELL-1", "TELL-2", "TELL-3"):
            expect(page.get_by_role("link", name=name)).to_be_visible()
        expect(page.get_by_text("Jobber is told: status is “unscheduled” now")).to_have_count(3)
        assert not listed(bench, "/v1/notices", why="asked"), "a plan does nothing"
        page.get_by_role("button", name="Tell again (3)").click()
        expect(page.get_by_role("alert")).to_contain_text("Say why")
        page.get_by_label("Why?").fill("The integration was down")
        page.get_by_role("button", name="Tell again (3)").click()
        expect(page.get_by_role("status")).to_contain_text("3 done")
        expect(page.get_by_text("Jobber is about to be told “unscheduled”.")).to_have_count(3)
    due = listed(bench, "/v1/notices", why="asked")
    assert sorted(one["case"] for one in due) == [f"jobs/TELL-{number}" for number in (1, 2, 3)]


def test_a_difference_says_who_settles_it_and_that_nobody_is_told(
    bench: Service, staff: httpx.Client
) -> None:
    """By its case alone a difference is found, with its steward and why the right word waits."""
    confirmed(bench, "WHOSE-1", "WHOSE-2")
    assert reported(bench, "accounting", id="WHOSE-1", word="Void") == "drift"
    caught_up(bench)
    page = staff.get("/drift", params={"collection": "jobs", "id": "WHOSE-1"}).text
    assert "bookkeeper@example.com, who answers for the connection to QuickBooks Online" in page
    assert "Not told: it is not connected; operations@example.com connects it" in page
    assert "Nothing more here" in staff.get("/drift?collection=jobs&id=WHOSE-2").text
    case = staff.get("/jobs/WHOSE-1").text
    assert "to settle a difference: QuickBooks Online shows “Void” as stage" in case
    assert "not told: it is not connected" in case


def test_tools_that_are_not_told_are_counted_and_named(bench: Service, staff: httpx.Client) -> None:
    """Now counts every tool that hears nothing; the list says which, why, and who is to act."""
    confirmed(bench, "DEAF-1")
    caught_up(bench)
    now = staff.get("/").text
    assert re.search(r'href="/notices\?state=waiting"><b>[1-9][0-9]*</b><span>tools? not', now)
    page = staff.get("/notices?state=waiting").text
    told = page.partition('id="untold-title"')[2].partition("</section>")[0]
    assert "<strong>Jobber</strong> not told: it is not connected, since" in told
    assert "operations@example.com connects it." in told
    assert "PROJECTS_URL" not in told, "what has to be done to the service is told apart, as how"
    assert "<p>PROJECTS_URL is not set. Set it in" in page.partition("<summary>How</summary>")[2]
    case = staff.get("/jobs/DEAF-1").text
    assert "<strong>Jobber has not been told yet:</strong> it is not connected;" in case


def test_what_was_mended_meanwhile_is_said_and_not_done_again(
    bench: Service, staff: httpx.Client
) -> None:
    """Who presses the button on a plan that is no longer true sees how things stand instead."""
    differing(bench, "LATE-1")
    (found,) = listed(bench, "/v1/drift", collection="jobs", id="LATE-1")
    plan = staff.get("/drift/act", params={"how": "tell", "one": found["id"]})
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', plan.text))
    agreed = reported(bench, "projects", id="LATE-1", word="unscheduled")
    assert agreed == "agrees"
    answer = staff.post("/drift/act", data={**fields, "reason": "It was wrong"})
    assert answer.status_code == httpx.codes.CONFLICT
    assert "Things have moved since you looked" in answer.text
    assert "nothing left to do" in answer.text
    assert bench.by("staff").get("/v1/jobs/LATE-1").json()["state"] == "deposit_confirmed"


def test_accepting_shows_the_chain_and_ends_where_it_said(
    bench: Service, staff: httpx.Client
) -> None:
    """What a tool shows is made true, conditions and all; else a correction is offered."""
    confirmed(bench, "TAKE-1", "TAKE-2")
    can, cannot = (crm_differs(bench, f"TAKE-{one}", "Scheduled") for one in (1, 2))
    day = bench.by("projects").patch("/v1/jobs/TAKE-1/fields", json={"scheduled_for": "2029-01-02"})
    assert day.status_code == httpx.codes.OK, day.text
    plan = staff.get("/drift/act", params={"how": "accept", "one": can["id"]})
    assert "State: Deposit confirmed → Scheduled." in plan.text
    assert "<h1>This will schedule the job TAKE-1 (deposit paid 10.00 USD)</h1>" in plan.text
    assert ">Leave it as it is</a>" in plan.text
    assert "is an end." not in plan.text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', plan.text))
    done = staff.post("/drift/act", data={**fields, "reason": "The customer rang"})
    assert "1 done." in done.text
    assert bench.by("staff").get("/v1/jobs/TAKE-1").json()["state"] == "scheduled"
    refused = staff.get("/drift/act", params={"how": "accept", "one": cannot["id"]})
    assert "/jobs/TAKE-2/act/correct?state=scheduled" in refused.text
    assert '<form method="post" action="/drift/act"' not in refused.text


def test_accepting_what_ends_a_case_warns_before_it(bench: Service, staff: httpx.Client) -> None:
    """Who would end a case by accepting reads so in the heading, and that no way leads back."""
    confirmed(bench, "ENDS-1")
    assert reported(bench, "accounting", id="ENDS-1", word="Void") == "drift"
    (found,) = listed(bench, "/v1/drift", collection="jobs", id="ENDS-1")
    plan = staff.get("/drift/act", params={"how": "accept", "one": found["id"]})
    assert "<h1>This will cancel the job ENDS-1 (deposit paid 10.00 USD)</h1>" in plan.text
    assert "<strong>Cancelled is an end.</strong>" in plan.text
    assert '<button class="button danger" type="submit">Accept</button>' in plan.text


def test_what_is_dismissed_until_a_day_says_so(bench: Service, staff: httpx.Client) -> None:
    """A difference that is let be leaves the list, and tells until when and why."""
    differing(bench, "REST-1")
    (found,) = listed(bench, "/v1/drift", collection="jobs", id="REST-1")
    plan = staff.get("/drift/act", params={"how": "dismiss", "one": found["id"]})
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', plan.text))
    said = {**fields, "reason": "Known fault"}
    past = staff.post("/drift/act", data={**said, "until": "2020-01-01"})
    assert past.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "still to come" in past.text
    done = staff.post("/drift/act", data={**said, "until": "2029-05-31"})
    assert "Let be until 31 May 2029." in done.text
    caught_up(bench)
    assert "REST-1" not in staff.get("/drift").text
    assert (
        "Dismissed until 31 May 2029 by operator: Known fault"
        in staff.get("/drift?state=dismissed").text
    )


def test_a_parked_message_is_linked_to_its_case(bench: Service, chromium: Browser) -> None:
    """Linking a record, seen beforehand, has everything that waited for it decided."""
    confirmed(bench, "LINK-1")
    assert (
        reported(
            bench, "projects", ref="JB-7", word="upcoming", fields={"scheduled_for": "2029-01-02"}
        )
        == "parked"
    )
    caught_up(bench)
    with window(chromium, bench) as opened:
        page = opened.sign_in().go("/messages").page
        expect(page.get_by_text("scheduled for 2 January 2029")).to_be_visible()
        page.get_by_label("Link JB-7 to").fill("deal-LINK")
        page.get_by_role("button", name="Link…").click()
        opened.assert_sound()
        page.get_by_role("link", name="Link to LINK-1…").click()
        expect(page.get_by_label("Its id there")).to_have_value("JB-7")
        page.get_by_label("Why?").fill("The same address")
        page.get_by_role("button", name="Link a record").click()
        page.wait_for_url("**/jobs/LINK-1**")
    assert bench.by("staff").get("/v1/jobs/LINK-1").json()["state"] == "scheduled"
    assert not listed(bench, "/v1/messages", outcome="parked")


def test_an_unknown_word_shows_the_lines_that_would_map_it(
    bench: Service, staff: httpx.Client
) -> None:
    """The lines fit into the definition; until they stand there, deciding again says no."""
    confirmed(bench, "WORD-1")
    word = 'won: "again"'
    assert reported(bench, "crm", id="WORD-1", status_field="job_status", word=word) == "parked"
    caught_up(bench)
    page = staff.get("/messages")
    assert "scheduled: [Scheduled, &#34;won: \\&#34;again\\&#34;&#34;]" in page.text
    (found,) = listed(bench, "/v1/messages", outcome="parked", why="unknown-word")
    plan = staff.get("/messages/act", params={"how": "retry", "one": found["id"]})
    assert "the definition still does not know the word" in plan.text
    assert '<form method="post" action="/messages/act"' not in plan.text


def test_what_a_person_carried_is_ticked_off(bench: Service, staff: httpx.Client) -> None:
    """What a person is to carry stands with the tool's own id, until it is ticked off."""
    confirmed(bench, "HAND-1")
    due = listed(bench, "/v1/notices", tool="crm", collection="jobs", id="HAND-1", state="waiting")
    page = staff.get("/notices?state=by-hand")
    record = 'In HubSpot, <span class="whole">deal deal-HAND-1</span>:'
    told = page.text.partition(record)[2].partition("</ol>")[0]
    assert "<li>set dealstage to “closedwon”</li>" in told
    assert "<li>set job status to “To schedule”</li>" in told
    assert page.text.count('<a href="/jobs/HAND-1" data-row>') == 1, "a record is done once"
    assert page.text.find("Tick off all") > page.text.find("deal-HAND-1"), "all of them come last"
    plan = staff.get("/notices/act", params={"how": "deliver", "one": due[0]["id"]})
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', plan.text))
    said = {**fields, "reason": "Typed in by hand"}
    assert "It is delivered." in staff.post("/notices/act", data=said).text
    caught_up(bench)
    history = staff.get("/jobs/HAND-1?look=full").text
    assert "has seen to it that HubSpot was told" in history
    assert "Typed in by hand" in history
    assert bench.by("staff").get(f"/v1/notices/{due[0]['id']}").json()["state"] == "delivered"
    again = staff.post("/notices/act", data=fields)
    assert again.status_code == httpx.codes.CONFLICT
    assert "nothing left to do" in again.text


def test_what_was_given_up_is_recovered(bench: Service, staff: httpx.Client) -> None:
    """Notices that a tool did not take wait again once staff have them told."""
    confirmed(bench, "LOST-1")
    about = {"tool": "accounting", "collection": "jobs", "id": "LOST-1", "state": "waiting"}
    due = {one["id"] for one in listed(bench, "/v1/notices", **about)}
    lifecycles = {one.collection: one for one in shipped().values()}
    journal = open_journal(bench.database, lifecycles, None)
    for stored in journal.recorder.streams(["mirror:jobs/LOST-1/accounting"]):
        entry = journal.mapper.to_domain_event(stored)
        if isinstance(entry.event, NoticeDue) and entry.event.id in due:
            lost = telling.given_up(entry.event, 10, f"503 {ATTACK}")
            journal.record_now(Record(entry.stream, lost))
    journal.stop()
    journal.recorder.close()
    until(
        lambda: bool(listed(bench, "/v1/notices", **{**about, "state": "given-up"})), "it is lost"
    )
    assert "did not take what it was told of jobs: 503 &lt;img" in staff.get("/notices").text
    asked = {"how": "recover", "state": "given-up", "tool": "accounting"}
    plan = staff.get("/notices/act", params=asked)
    assert "It waits again, but is not sent: no address" in plan.text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', plan.text))
    done = staff.post("/notices/act", data={**fields, "reason": "Their server is back"})
    assert "It waits to be told" in done.text
    assert {one["id"] for one in listed(bench, "/v1/notices", **about)} == due


def test_who_may_only_read_is_shown_nothing_to_press(bench: Service) -> None:
    """A key for reading sees the lists without their acts, and may not act by an address either."""
    differing(bench, "READ-1")
    (found,) = listed(bench, "/v1/drift", collection="jobs", id="READ-1")
    key = issue_key(bench.database, staff="reader", read_only=True).key
    with visitor(bench, key) as reader:
        for path in ("/drift", "/messages", "/notices?state=by-hand"):
            page = reader.get(path)
            assert page.status_code == httpx.codes.OK
            assert "/act?" not in page.text
            assert 'action="/messages/link"' not in page.text
        asked = {"how": "dismiss", "one": found["id"]}
        assert reader.get("/drift/act", params=asked).status_code == httpx.codes.FORBIDDEN
        data = {**asked, "reason": "Mine", "csrf": token(reader.get("/drift"))}
        assert reader.post("/drift/act", data=data).status_code == httpx.codes.FORBIDDEN


def test_a_form_that_is_not_of_the_session_does_nothing(
    bench: Service, staff: httpx.Client
) -> None:
    """Without the session's own token nothing is done."""
    differing(bench, "CSRF-1")
    (found,) = listed(bench, "/v1/drift", collection="jobs", id="CSRF-1")
    data = {"how": "dismiss", "one": found["id"], "reason": "Mine", "csrf": "x.y"}
    assert staff.post("/drift/act", data=data).status_code == httpx.codes.FORBIDDEN
    assert listed(bench, "/v1/drift", collection="jobs", id="CSRF-1")


@pytest.mark.parametrize(("screen", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_whatever_a_tool_says_is_shown_as_text(
    bench: Service, chromium: Browser, screen: str, scheme: str
) -> None:
    """Words, references and values that are markup elsewhere are words here, on every page."""
    name = f"XSS-{screen}"
    confirmed(bench, name)
    reported(bench, "projects", ref=ATTACK, word="upcoming")
    reported(bench, "crm", id=name, status_field="job_status", word=ATTACK)
    reported(bench, "projects", id=name, fields={"customer_name": ATTACK})
    caught_up(bench)
    with window(chromium, bench, screen, scheme) as opened:
        page = opened.sign_in().page
        (message, *_) = listed(
            bench, "/v1/messages", outcome="parked", why="unknown-word", id=name, collection="jobs"
        )
        (drift, *_) = listed(bench, "/v1/drift", collection="jobs", id=name)
        for path in (
            "/drift",
            f"/drift/act?how=accept&one={drift['id']}",
            "/messages",
            f"/messages/{message['id']}",
            f"/messages/act?how=retry&one={message['id']}",
            "/notices?state=by-hand",
        ):
            opened.go(path)
            opened.assert_sound()
            assert "owned" not in page.title(), path
        opened.go("/messages")
        expect(page.get_by_text(ATTACK).first).to_be_visible()


def test_pages_of_a_long_list_follow_one_another(bench: Service, staff: httpx.Client) -> None:
    """What does not fit on a page stands on the next one, each once."""
    for number in range(ROWS + 3):
        reported(bench, "accounting", ref=f"EST-{number}", word="Void")
    caught_up(bench)
    asked = {"outcome": "parked", "tool": "accounting", "why": "unknown-reference"}
    first = staff.get("/messages", params=asked)
    following = re.search(r'href="([^"]+)" rel="next"', first.text)
    assert following
    second = staff.get(html.unescape(following[1]))
    refs = [re.findall(r"<strong>(EST-[0-9]+)</strong>", page.text) for page in (first, second)]
    assert [len(one) for one in refs] == [ROWS, 3]
    assert len({*refs[0], *refs[1]}) == ROWS + 3
