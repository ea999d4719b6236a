import asyncio
from collections.abc import Iterator
from datetime import datetime
from threading import Event as Signal

import pytest
from msgspec.structs import replace

from lifecycle.connectors import Connector, Write
from lifecycle.declaration import Flow
from lifecycle.events import (
    Asker,
    Entry,
    FlowFailing,
    FlowStarted,
    NoticeDelivered,
    NoticeGivenUp,
    NoticeSuperseded,
    ReactionDropped,
)
from lifecycle.journal import IMPORT_ASKS_MAX, Record
from lifecycle.known import FlowState, Known
from lifecycle.model import Lifecycle
from lifecycle.streams import flow_stream
from lifecycle.telling import failing, recovered, started, ticked_off
from projections import courier
from projections.courier import BROKEN_MS, Courier, End
from projections.lookout import Lookout
from projections.patience import millis
from projections.posting import Poster
from tests.databases import NewDatabase
from tests.lifecycle.given import (
    Did,
    completed,
    correct,
    deposit_due,
    deposit_paid,
    erase,
    invoiced,
    scheduled,
    shipped,
    tell,
)
from tests.projections.carrying import STAFF, Carrying, carrying, incidents, mirror_of
from tests.projections.tools import FakeTool, Post, Reply, fake_tools

QUICK = 0.4
"""Seconds after which a tool hangs, where a test is about that."""


@pytest.fixture
def tool() -> Iterator[FakeTool]:
    with fake_tools() as (one,):
        yield one


@pytest.fixture
def books(new_database: NewDatabase, tool: FakeTool) -> Iterator[Carrying]:
    """The books listen, on both databases; nobody else does."""
    with carrying(new_database(), {"accounting": tool.url}) as one:
        yield one


@pytest.fixture
def sqlite_books(new_sqlite: NewDatabase, tool: FakeTool) -> Iterator[Carrying]:
    """The same where the database makes no difference."""
    with carrying(new_sqlite(), {"accounting": tool.url}) as one:
        yield one


def opened(books: Carrying) -> int:
    """How often in a row the breaker has opened."""
    return sum(flow.opened for flow in books.book.flows())


# --- what is sent -------------------------------------------------------------------------------


def test_a_word_is_told_as_the_contract_has_it_and_signed(books: Carrying, tool: FakeTool) -> None:
    """The body says what changed of which case; the id is the notice's, the signature holds."""
    books.job().carried().until_delivered("accounting", 1)
    (post,) = tool.posts
    (due,) = books.due("accounting")
    (entry,) = (one for one in books.entries() if one.event == due)
    assert post.id == due.id
    assert post.says == {
        "type": "case.word_changed",
        "timestamp": due.recorded_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "collection": "jobs", "id": "J-1", "refs": {},
            "status_field": "stage", "word": "Estimate sent", "was": None,
            "version": 1, "position": entry.position,
        },
    }  # fmt: skip


def test_what_was_taken_is_recorded_once(books: Carrying, tool: FakeTool) -> None:
    """The log says at which attempt it was taken, and by which answer."""
    tool.answers(Reply(204))
    books.job().carried()
    (delivered,) = books.until_delivered("accounting", 1)
    assert (delivered.attempts, delivered.status, delivered.word) == (1, 204, "Estimate sent")
    assert books.ended("accounting") == {delivered.id: "NoticeDelivered"}


def test_fields_and_requests_are_told_with_their_values(
    new_database: NewDatabase, tool: FakeTool
) -> None:
    """Under the tool's own names; personal ones too, which the log and the book hold sealed."""
    with carrying(new_database(), {"accounting": tool.url, "projects": tool.url}) as both:
        both.job("J-1", deposit_due, deposit_paid, scheduled, completed).carried()
        both.until_delivered("projects", 2)
        both.until(lambda: any("request" in post.data for post in tool.posts), "it was asked")
        told = [post.data for post in tool.posts]
    (fields,) = (one["fields"] for one in told if "fields" in one)
    (asked,) = ((one["request"], one["with"]) for one in told if "request" in one)
    assert fields == {"clientEmail": "a@example.com"}
    assert asked == (
        "create_invoice",
        {"customer_name": "A. Customer", "email": "a@example.com"},
    )


def test_a_product_is_told_as_its_connector_says(new_sqlite: NewDatabase, tool: FakeTool) -> None:
    """By its own address, method and body, with the notice's values quoted, and a static token."""
    write = Write(
        url="{env:BOOKS}/jobs/{data.id}",
        method="PUT",
        body='{{"stage": "{data.word}"}}',
        success="204",
    )
    jobs = shipped()["field_service"].declaration
    flow = Flow("accounting", "out", "api")
    told = Lifecycle(
        replace(jobs, flows=(flow,)),
        connectors={"quickbooks": Connector("quickbooks", "QuickBooks", write=write)},
    )
    environment = {
        "BOOKS": f"http://127.0.0.1:{tool.port}", "STATEKEEPER_ACCOUNTING_TOKEN": "s3cret"
    }  # fmt: skip
    tool.answers(Reply(200), Reply(204))
    with carrying(new_sqlite(), {}, told, environment) as books:
        books.job("J:1").carried()
        (due,) = books.due("accounting")
        books.until_tried(due, 1)
        books.later(seconds=10)
        books.until_delivered("accounting", 1)
    post = tool.posts[-1]
    assert (post.path, post.body) == ("/jobs/J%3A1", b'{"stage": "Estimate sent"}')
    assert post.headers["authorization"] == "Bearer s3cret"


def test_a_product_that_says_no_in_a_200_has_taken_nothing(
    new_sqlite: NewDatabase, tool: FakeTool
) -> None:
    """Its answer is read as its connector says; what it said is sent again, and why is told."""
    write = Write(url="{env:BOOKS}/post", body='{{"text": "{data.word}"}}', success="ok")
    told = shipped()["field_service"].declaration
    lifecycle = Lifecycle(
        replace(told, flows=(Flow("accounting", "out", "api"),)),
        connectors={"quickbooks": Connector("quickbooks", "QuickBooks", write=write)},
    )
    at = {"BOOKS": f"http://127.0.0.1:{tool.port}"}
    tool.answers(Reply(200, body=b'{"ok": false, "error": "no_channel"}'),
                 Reply(200, body=b'{"ok": true}'))  # fmt: skip
    with carrying(new_sqlite(), {}, lifecycle, at) as books:
        books.job("J-1").carried()
        (due,) = books.due("accounting")
        books.until_tried(due, 1)
        assert books.book.notices([due.id])[0].why == "answered 200, where ok does not hold"
        books.later(seconds=6)
        books.until_delivered("accounting", 1)
    assert len(tool.posts) == 2


def test_what_could_not_be_written_was_not_sent(new_sqlite: NewDatabase, tool: FakeTool) -> None:
    """Where a notice lacks something, the tool cannot have had it before that is mended."""
    write = Write(url="{env:BOOKS}/{env:BRANCH}")
    lifecycle = Lifecycle(
        replace(shipped()["field_service"].declaration, flows=(Flow("accounting", "out", "api"),)),
        connectors={"quickbooks": Connector("quickbooks", "QuickBooks", write=write)},
    )
    at = {"BOOKS": f"http://127.0.0.1:{tool.port}", "BRANCH": "1"}
    with carrying(new_sqlite(), {}, lifecycle, at) as books:
        del books.environment["BRANCH"]
        books.job("J-1").carried()
        (due,) = books.due("accounting")
        books.until_tried(due, 1)
        mended = books.clock()
        books.environment |= at
        books.later(seconds=10)
        (delivered,) = books.until_delivered("accounting", 1)
    assert (delivered.attempts, len(tool.posts)) == (2, 1)
    assert delivered.sent_at is not None
    assert delivered.sent_at >= mended


def test_a_long_answer_of_a_product_is_read_to_its_end(
    new_sqlite: NewDatabase, tool: FakeTool
) -> None:
    """Where its body says whether it was taken, a product may answer with the whole record."""
    write = Write(url="{env:BOOKS}/post", success="ok")
    lifecycle = Lifecycle(
        replace(shipped()["field_service"].declaration, flows=(Flow("accounting", "out", "api"),)),
        connectors={"quickbooks": Connector("quickbooks", "QuickBooks", write=write)},
    )
    at = {"BOOKS": f"http://127.0.0.1:{tool.port}"}
    tool.answers(Reply(200, body=b'{"record": "%b", "ok": true}' % (b"x" * 200_000)))
    with carrying(new_sqlite(), {}, lifecycle, at) as books:
        books.job("J-1").carried()
        books.until_delivered("accounting", 1)
    assert len(tool.posts) == 1


def test_a_record_that_is_gone_from_a_product_stops_no_flow(
    new_sqlite: NewDatabase, tool: FakeTool
) -> None:
    """By a connector's `write`, 410 is about the one record; what else is due is told."""
    told = shipped()["field_service"].declaration
    write = Write(url="{env:BOOKS}/jobs/{data.id}", method="PUT", body="x", success="204")
    lifecycle = Lifecycle(
        replace(told, flows=(Flow("accounting", "out", "api"),)),
        connectors={"quickbooks": Connector("quickbooks", "QuickBooks", write=write)},
    )
    tool.behaves = lambda post: Reply(410 if post.path.endswith("J-1") else 204)
    at = {"BOOKS": f"http://127.0.0.1:{tool.port}"}
    with carrying(new_sqlite(), {}, lifecycle, at) as books:
        books.job("J-1").carried()
        (due,) = books.due("accounting")
        books.until_tried(due, 1)
        books.job("J-2").until_delivered("accounting", 1)
        assert books.book.notices([due.id])[0].why == "answered 410"
        assert incidents(books) == []


# --- what is not taken --------------------------------------------------------------------------


def test_what_was_not_taken_is_sent_again_under_the_same_id(
    books: Carrying, tool: FakeTool
) -> None:
    """After five seconds, and then after five minutes; the same bytes each time.

    The log says when it was sent first: nobody knows what the tool did with it then.
    """
    tool.answers(Reply(500), Reply(500), Reply(200))
    begun = books.job().clock()
    books.carried()
    (due,) = books.due("accounting")
    books.until_tried(due, 1)
    tried = books.clock()
    assert books.book.notices([due.id])[0].why == "answered 500"
    books.later(seconds=6)
    books.until_tried(due, 2)
    books.later(minutes=6)
    (delivered,) = books.until_delivered("accounting", 1)
    assert delivered.attempts == 3
    assert delivered.sent_at is not None
    assert begun <= delivered.sent_at <= tried
    assert {(post.id, post.body) for post in tool.posts} == {(due.id, tool.posts[0].body)}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        pytest.param(
            Reply(302, {"Location": "/elsewhere"}), "redirects to elsewhere", id="redirect"
        ),
        pytest.param(Reply(404), "answered 404", id="not-found"),
        pytest.param(Reply(reset=True), "broke off", id="reset"),
    ],
)
def test_what_a_tool_does_not_take_waits_and_says_why(
    sqlite_books: Carrying, tool: FakeTool, reply: Reply, why: str
) -> None:
    """Only a 2xx is a yes; a redirect is not followed."""
    tool.answers(reply)
    sqlite_books.job().carried()
    (due,) = sqlite_books.due("accounting")
    sqlite_books.until_tried(due, 1)
    assert why in sqlite_books.book.notices([due.id])[0].why
    assert [post.path for post in tool.posts] == ["/hook"]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>"), id="html"),
        pytest.param(Reply(200, body=b"x" * 300_000), id="long"),
        pytest.param(Reply(200, endless=True), id="endless"),
    ],
)
def test_a_yes_is_a_yes_whatever_is_said_with_it(
    sqlite_books: Carrying, tool: FakeTool, reply: Reply
) -> None:
    """Nobody reads the body, and no more of it than a bound is waited for."""
    tool.answers(reply)
    sqlite_books.job().carried().until_delivered("accounting", 1)


def test_a_tool_that_hangs_keeps_nobody_waiting_for_ever(
    sqlite_books: Carrying, tool: FakeTool
) -> None:
    """An attempt ends after its time, and the notice waits for the next."""
    never = Signal()

    def hangs(_: Post) -> Reply:
        never.wait(5)
        return Reply()

    tool.behaves = hangs
    sqlite_books.job().carried(poster=lambda: Poster(seconds_max=QUICK))
    (due,) = sqlite_books.due("accounting")
    sqlite_books.until_tried(due, 1)
    assert "no answer within" in sqlite_books.book.notices([due.id])[0].why
    never.set()


def test_a_tool_that_says_how_long_is_left_alone_as_long(books: Carrying, tool: FakeTool) -> None:
    """`Retry-After` holds for all of its notices; a 429 uses up no attempt."""
    tool.answers(Reply(429, {"Retry-After": "3600"}), Reply(200))
    books.job().carried()
    books.until(lambda: any(flow.slow_until for flow in books.book.flows()), "it was heard")
    books.job("J-2").later(minutes=50)
    (due, other) = books.due("accounting")
    books.until(lambda: len(books.book.notices([due.id, other.id])) == 2, "both wait")
    books.later(minutes=15)
    delivered = books.until_delivered("accounting", 2)
    assert [one.attempts for one in delivered] == [1, 1]
    assert len(tool.posts) == 3


def test_a_tool_that_wants_nothing_more_is_sent_nothing_more(
    books: Carrying, tool: FakeTool
) -> None:
    """410 stops the flow, which the log says; what is due waits until staff start it again.

    That the tool takes what it is told is said once, as of any other that had failed.
    """
    tool.answers(Reply(410), Reply(200))
    books.job().carried()
    books.until(lambda: incidents(books) == ["FlowStopped"], "it has stopped")
    books.until(lambda: books.book.flows()[0].stopped == 1, "the book knows")
    books.job("J-2")
    books.later(days=1)
    flow = books.journal.known_now(flow_stream("accounting")).state
    assert isinstance(flow, FlowState)
    assert flow.stopped_since is not None
    books.journal.record_now(Record(flow_stream("accounting"), started("accounting", STAFF)))
    books.until_delivered("accounting", 2)
    assert len(books.events(FlowStarted)) == 1
    assert len(tool.posts) == 3
    said = ["FlowStopped", "FlowRecovered"]
    books.until(lambda: incidents(books) == said, "it works again")


def test_what_no_attempt_can_tell_is_given_up_and_can_be_recovered(
    sqlite_books: Carrying, tool: FakeTool
) -> None:
    """Ten attempts at what the tool refuses; it is shown, not dropped, and told when asked for."""
    tool.answers(Reply(422))
    sqlite_books.job().carried()
    (due,) = sqlite_books.due("accounting")
    for attempts in range(1, 10):
        sqlite_books.until_tried(due, attempts)
        sqlite_books.later(hours=30)
    sqlite_books.until(lambda: bool(sqlite_books.events(NoticeGivenUp)), "it is given up")
    (given_up,) = sqlite_books.events(NoticeGivenUp)
    assert (given_up.attempts, given_up.why) == (10, "answered 422")
    sqlite_books.conserved()
    tool.answers(Reply(200))
    sqlite_books.record(due, recovered(due.id, due.case, due.tool, STAFF, "they mended it"))
    (delivered,) = sqlite_books.until_delivered("accounting", 1)
    assert delivered.attempts == 1


# --- order --------------------------------------------------------------------------------------


def test_what_one_tool_is_told_of_one_case_goes_in_order(books: Carrying, tool: FakeTool) -> None:
    """While one waits for its next attempt the one behind it waits too; another case does not."""
    first: list[str] = []

    def refuses_first(post: Post) -> Reply:
        first.append(post.id)
        return Reply(500 if post.id == first[0] and len(tool.ids) < 3 else 200)

    tool.behaves = refuses_first
    books.job("J-1", deposit_due, deposit_paid, scheduled, completed)
    books.carried()
    (before, _) = books.waiting("accounting")
    books.until_tried(before, 1)
    books.job("J-2")
    books.until_delivered("accounting", 1)
    books.later(seconds=10)
    books.until_delivered("accounting", 3)
    of_first = [post.id for post in tool.posts if post.data["id"] == "J-1"]
    turns = [one.id for one in books.due("accounting") if one.id in of_first]
    assert of_first == [turns[0], *turns]


def test_a_newer_word_takes_the_place_of_one_that_waits(books: Carrying, tool: FakeTool) -> None:
    """Only the newest is told; the log says of the older which one took its place."""
    tool.answers(Reply(503), Reply(200))
    books.job().carried()
    (older,) = books.due("accounting")
    books.until_tried(older, 1)
    books.does(deposit_due)
    books.does(deposit_paid)
    books.until_delivered("accounting", 1)
    (_, newer) = books.due("accounting")
    (superseded,) = (one for one in books.events(NoticeSuperseded) if one.tool == "accounting")
    assert (superseded.id, superseded.newer) == (older.id, newer.id)
    assert tool.words == ["Estimate sent", "Deposit paid"]


def test_a_newer_word_does_not_overtake_one_that_is_under_way(
    books: Carrying, tool: FakeTool
) -> None:
    """It sets out when the other is back; that the other was taken all the same is recorded."""
    let_go = Signal()

    def waits(post: Post) -> Reply:
        if post.data["word"] == "Estimate sent":
            let_go.wait(10)
        return Reply()

    tool.behaves = waits
    books.job().carried()
    books.until(lambda: len(tool.posts) == 1, "the first is under way")
    books.does(deposit_due)
    books.does(deposit_paid)
    position = books.journal.recorder.last_position()
    books.until(lambda: books.book.position() >= position, "the book knows of the newer")
    assert tool.words == ["Estimate sent"]
    let_go.set()
    delivered = books.until_delivered("accounting", 2)
    assert tool.words == ["Estimate sent", "Deposit paid"]
    assert [one.word for one in delivered] == tool.words


def test_a_word_that_was_recovered_too_late_is_not_told(
    sqlite_books: Carrying, tool: FakeTool
) -> None:
    """A newer one on the same field was told meanwhile: the old one would undo it."""
    tool.answers(Reply(422))
    sqlite_books.job().carried()
    (older,) = sqlite_books.due("accounting")
    for attempts in range(1, 10):
        sqlite_books.until_tried(older, attempts)
        sqlite_books.later(hours=30)
    sqlite_books.until(lambda: bool(sqlite_books.events(NoticeGivenUp)), "it is given up")
    tool.answers(Reply(200))
    sqlite_books.does(deposit_due)
    sqlite_books.does(deposit_paid)
    sqlite_books.later(minutes=10)
    (newer,) = sqlite_books.until_delivered("accounting", 1)
    sqlite_books.record(older, recovered(older.id, older.case, older.tool, STAFF))
    sqlite_books.until(
        lambda: sqlite_books.ended("accounting")[older.id] == "NoticeSuperseded", "it is let be"
    )
    assert sqlite_books.events(NoticeSuperseded)[-1].newer == newer.id
    assert tool.ids[-1] == newer.id


# --- a tool that takes nothing ------------------------------------------------------------------


def test_a_dead_tool_is_said_once_and_costs_no_attempts(books: Carrying, tool: FakeTool) -> None:
    """Its breaker opens; what waits is not used up by trying, and all of it is told in the end."""
    tool.answers(Reply(500))
    for number in range(8):
        books.job(f"J-{number}")
    books.carried()
    books.until(lambda: opened(books) == 1, "the breaker has opened")
    for times in range(2, 14):
        books.later(minutes=6)
        books.until(lambda times=times: opened(books) == times, "it was tried")  # type: ignore[misc]  # mypy does not infer a lambda with a default
    rows = books.book.notices([one.id for one in books.due("accounting")])
    assert all(row.attempts <= 2 for row in rows)
    assert incidents(books) == ["FlowFailing"]
    tool.answers(Reply(200))
    books.later(minutes=6)
    books.until(lambda: len(incidents(books)) > 1, "it works again")
    books.later(minutes=6)
    books.until_delivered("accounting", 8)
    assert opened(books) == 0
    assert incidents(books) == ["FlowFailing", "FlowRecovered"]
    (failing,) = books.events(FlowFailing)
    assert (failing.why, failing.steward) == ("answered 500", "operations@example.com")


def test_a_tool_that_nobody_listens_for_slows_no_other(
    new_database: NewDatabase, tool: FakeTool
) -> None:
    """What the living tool is due is told while the dead one's waits."""
    dead = FakeTool()
    dead.close()
    urls = {"accounting": dead.url, "projects": tool.url}
    with carrying(new_database(), urls) as both:
        both.carried()
        for number in range(20):
            both.job(f"J-{number}")
        both.until_delivered("projects", 20)
        both.until(lambda: incidents(both) == ["FlowFailing"], "the dead one is noticed")
        assert both.events(FlowFailing)[0].why == "no connection"
        assert not [one for one in both.events(NoticeDelivered) if one.tool == "accounting"]


# --- what nobody is to be told any more ---------------------------------------------------------


def test_values_that_were_erased_are_not_sent(new_database: NewDatabase, tool: FakeTool) -> None:
    """The notice is let be, and the log says why."""
    with carrying(new_database(), {"projects": tool.url}) as crew:
        crew.job()
        crew.does(Did("staff", erase()))
        crew.carried().until(
            lambda: set(crew.ended("projects").values()) == {"NoticeSuperseded"}, "it is let be"
        )
        assert crew.events(NoticeSuperseded)[-1].why == "erased"
        assert tool.posts == []


def test_values_whose_key_is_gone_are_not_sent(new_database: NewDatabase, tool: FakeTool) -> None:
    """Whoever deleted the key a moment ago: what is left reads `erased`, and stays here."""
    with carrying(new_database(), {"projects": tool.url}) as crew:
        crew.job()
        recorder = crew.journal.recorder
        note = crew.journal.mapper.to_stored_event(
            Entry(
                "flow:projects", 1, FlowStarted(recorded_at=crew.clock(), by=STAFF, tool="projects")
            )
        )
        last = recorder.last_position()
        assert recorder.append([note], after=last, forget=["case:jobs/J-1"])
        crew.carried().until(
            lambda: crew.ended("projects").popitem()[1] == "NoticeSuperseded", "it is let be"
        )
        assert crew.events(NoticeSuperseded)[-1].why == "erased"
        assert tool.posts == []


# --- what waits ---------------------------------------------------------------------------------


def test_what_a_person_carries_waits_until_it_is_ticked_off(sqlite_books: Carrying) -> None:
    """It is never posted; the log says that it was delivered, and by whom."""
    sqlite_books.job().carried().until_delivered("accounting", 1)
    (due,) = sqlite_books.due("crm")
    assert sqlite_books.book.tallies()["crm"]["waiting"] == 1
    sqlite_books.record(due, ticked_off(due.id, due.case, due.tool, STAFF))
    (delivered,) = sqlite_books.until_delivered("crm", 1)
    assert (delivered.by, delivered.attempts, delivered.status) == (STAFF, 0, None)


def test_what_has_no_address_waits_and_is_not_tried(sqlite_books: Carrying) -> None:
    """Nothing is recorded of it; the route says what is to be set."""
    sqlite_books.job().carried().until_delivered("accounting", 1)
    route = sqlite_books.routes["projects", "jobs"]
    assert route.waits == "no address: PROJECTS_URL is not set"
    assert set(sqlite_books.ended("projects").values()) == {"NoticeDue"}
    (due,) = sqlite_books.due("projects")
    assert sqlite_books.book.notices([due.id])[0].attempts == 0


def test_what_waits_for_its_next_attempt_can_be_tried_at_once(
    books: Carrying, tool: FakeTool
) -> None:
    """Staff record it; the notice keeps its place and its count."""
    tool.answers(Reply(500), Reply(200))
    books.job().carried()
    (due,) = books.due("accounting")
    books.until_tried(due, 1)
    books.record(due, recovered(due.id, due.case, due.tool, STAFF))
    (delivered,) = books.until_delivered("accounting", 1)
    assert delivered.attempts == 2


# --- what comes later ---------------------------------------------------------------------------


def test_a_planned_reaction_comes_when_its_time_has_come(books: Carrying) -> None:
    """Once, with the values as they are then."""
    books.job("J-1", deposit_due, deposit_paid, scheduled, completed, invoiced).carried()
    books.until_delivered("accounting", 2)
    books.does(Did("crm", tell(email="new@example.com")))
    assert not [one for one in books.due("crm") if one.request]
    books.later(days=15)
    books.until(lambda: any(one.request for one in books.due("crm")), "it has come")
    (asked,) = (one for one in books.due("crm") if one.request)
    assert (asked.request, asked.personal) == ("review_request", {"email": "new@example.com"})


def test_a_planned_reaction_is_dropped_where_the_case_moved_on(books: Carrying) -> None:
    """The state that the transition led to was left before its time."""
    books.job("J-1", deposit_due, deposit_paid, scheduled, completed, invoiced).carried()
    books.does(Did("staff", correct("completed")))
    books.later(days=15)
    books.job("J-2").until_delivered("accounting", 3)
    assert len(books.events(ReactionDropped)) == 1
    assert not [one for one in books.due("crm") if one.request]


# --- many couriers, and none --------------------------------------------------------------------


def test_couriers_that_share_a_book_tell_everything_once(books: Carrying, tool: FakeTool) -> None:
    """Three of them, and forty jobs: nothing is sent twice, and nothing is left."""
    books.carried(3)
    for number in range(40):
        books.job(f"J-{number}")
    books.until_delivered("accounting", 40)
    assert sorted(tool.ids) == sorted(one.id for one in books.due("accounting"))


def test_what_a_courier_held_that_is_no_more_is_carried_by_another(
    books: Carrying, tool: FakeTool
) -> None:
    """Its hold ends after seconds."""
    books.job()
    (due,) = books.due("accounting")
    assert books.held_by_nobody("accounting") == [due.id]
    books.carried().job("J-2").until_delivered("accounting", 1)
    assert due.id not in tool.ids
    books.later(seconds=7)
    books.until_delivered("accounting", 2)
    assert tool.ids[-1] == due.id


def test_a_book_that_is_lost_is_made_again_from_the_log(books: Carrying, tool: FakeTool) -> None:
    """What was told is not told again, and what waits is not forgotten."""
    books.job().carried().until_delivered("accounting", 1)
    books.rest()
    books.job("J-2")
    books.book.start_over()
    books.carried().until_delivered("accounting", 2)
    assert tool.ids == [one.id for one in books.due("accounting")]


def test_a_book_that_is_far_behind_tells_nothing_before_it_has_caught_up(
    sqlite_books: Carrying, tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks due was perhaps delivered, further on in the log."""
    for number in range(4):
        sqlite_books.job(f"J-{number}")
    sqlite_books.carried().until_delivered("accounting", 4)
    sqlite_books.rest()
    sqlite_books.book.start_over()
    monkeypatch.setattr(courier, "PAGE_EVENTS_MAX", 2)
    sqlite_books.job("J-9").carried().until_delivered("accounting", 5)
    assert sorted(tool.ids) == sorted(one.id for one in sqlite_books.due("accounting"))


def test_a_notice_whose_end_cannot_be_recorded_is_let_be_for_long(books: Carrying) -> None:
    """It is not posted again every few seconds until somebody has mended that."""
    books.job()
    (due,) = books.due("accounting")
    books.held_by_nobody("accounting")
    (row,) = books.book.notices([due.id])
    one = Courier(books.journal, books.book, books.routes)
    one._holder, now = row.holder, millis(books.clock())

    def fails(_known: Known, _now: datetime) -> None:
        raise ValueError(due.id)

    one._ends.append(End(Record(mirror_of(due), fails), row))
    asyncio.run(one._record_page())
    (row,) = books.book.notices([due.id])
    assert (row.holder, row.why) == ("", "its end cannot be recorded")
    assert (row.ready_at or 0) >= now + BROKEN_MS


def test_a_courier_that_ends_records_all_that_has_ended(books: Carrying) -> None:
    """Also where that is more than one append takes."""
    number = 2 * IMPORT_ASKS_MAX + 1
    one = Courier(books.journal, books.book, books.routes)
    for name in (f"tool_{n}" for n in range(number)):
        one._ends.append(End(Record(flow_stream(name), failing(name, "no connection", ""))))
    stop = Signal()
    stop.set()
    asyncio.run(one.run(Lookout(books.journal.recorder, stop), stop))
    assert len(books.events(FlowFailing)) == number


def test_what_was_recorded_by_another_meanwhile_is_not_recorded_again(
    books: Carrying, tool: FakeTool
) -> None:
    """Somebody ticked it off while it was under way: one end stands in the log."""
    books.job()
    (due,) = books.due("accounting")

    def ticks_off(_: Post) -> Reply:
        books.record(due, ticked_off(due.id, due.case, due.tool, Asker(staff="Dispatcher")))
        return Reply()

    tool.behaves = ticks_off
    books.carried()
    books.until_delivered("accounting", 1)
    books.job("J-2")
    tool.answers(Reply())
    books.until_delivered("accounting", 2)
    ends = [one for one in books.events(NoticeDelivered) if one.id == due.id]
    assert [end.by for end in ends] == [STAFF]
