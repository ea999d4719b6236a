"""Messages, notices and drift as read models: disposable, bounded, and counted rightly."""

import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from api.verifying import verify
from lifecycle.changes import TakeReference
from lifecycle.drift import Resolve
from lifecycle.mapper import encode
from lifecycle.mirror import Mirror
from lifecycle.streams import mirror_stream
from projections.drift import Drift
from projections.messages import Messages
from projections.notices import STATES, Notices, OnList, State
from projections.records import Record, Records, Wanted, counts
from projections.tables.notices import UPSERT_NOTICES
from projections.worker import rebuilt
from tests.databases import NewDatabase
from tests.lifecycle.given import erase, move, opened, tell
from tests.lifecycle.journals import ask
from tests.lifecycle.test_reports import hear
from tests.projections.following import Following, following
from tests.projections.stories import MORNING

STAGE = {"status_field": "dealstage"}
POSITIONS = itertools.count(1_000_000)


@pytest.fixture
def log(new_database: NewDatabase) -> Iterator[Following]:
    with following(new_database()) as log:
        yield log


def lived(log: Following) -> Following:
    """A job of which its tools say all kinds of things, some of them again and again."""
    journal = log.journal
    journal.answer_now(ask(opened.what))
    again = hear("crm", "closedwon", event_id="e-1", **STAGE)
    for what, by, about in (
        *((again, "crm", "C-1") for _ in range(4)),
        (hear("crm", "nonsense", fields={"email": "b@example.com"}, **STAGE), "crm", "C-1"),
        (hear("projects", "upcoming", fields={"email": "c@example.com"}), "projects", "C-1"),
        (hear("projects", "late", ref="visit-7"), "projects", ""),
        (hear("accounting", "Void", status_field="stage"), "accounting", "C-1"),
    ):
        journal.hear_now(ask(what, by, about))
    journal.answer_now(ask(tell(deposit_due="5.00 USD", deposit_paid="5.00 USD"), "accounting"))
    journal.answer_now(ask(TakeReference(tool="projects", ref="visit-7"), "projects"))
    mirror = journal.memory[mirror_stream("jobs", "C-1", "accounting")].state
    assert isinstance(mirror, Mirror)
    for one in mirror.drifts.values():
        known = Resolve(drift=one.id, tool="accounting", how="dismiss", reason="known")
        journal.answer_now(ask(known, "staff"))
    journal.answer_now(ask(erase(), "staff"))
    return log.followed()


def test_a_rebuild_makes_the_same_rows(log: Following) -> None:
    """Every row can be thrown away and made again from the log."""
    before = lived(log).everything()
    assert len(before["messages"]) == 5
    assert len(before["notices"]) > 5
    assert before["drift"]
    list(rebuilt(log.journal, log.store))
    assert log.everything() == before


@pytest.mark.parametrize("model", [Messages(), Notices(), Drift()], ids=lambda one: one.name)
def test_the_counts_are_those_of_the_rows(log: Following, model: Records[Record]) -> None:
    """What is counted as it comes is what one would count in the end."""
    lived(log)
    rows = [model.read(row) for row in log.rows(f"SELECT * FROM {{views}}.{model.name}")]  # noqa: S608 - names of our own tables
    counted: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counted.update(model.sorts(row))
    with log.store.reading() as session:
        assert counts(session, model.name) == {one: n for one, n in counted.items() if n}


def test_heard_is_the_sum_of_the_outcomes(log: Following) -> None:
    """Each message has one outcome, and each time that it came again is one more duplicate."""
    lived(log)
    with log.store.reading() as session:
        counted = counts(session, "messages")
    assert sum(counted.values()) == 8
    assert counted["crm", "duplicate"] == 3


def test_no_row_holds_a_value(log: Following) -> None:
    """What tools said of personal fields is nowhere but in the log, where it can be erased."""
    rows = lived(log).everything()
    for table in ("messages", "notices", "drift"):
        assert rows[table]
        assert "@example.com" not in repr(rows[table])


def test_notices_are_asked_for_by_when_they_ended(log: Following) -> None:
    """Those that failed since an outage began are found, however long before they were due."""
    lived(log)
    with log.store.reading() as session:
        ended = [one for one in Notices.page(session, Wanted(), 500) if one.ended_at]
        moment = max(one.ended_at for one in ended)
        since = Wanted(ended_since=datetime.fromisoformat(moment))
        found = [one.id for one in Notices.page(session, since, 500)]
        assert found == [one.id for one in ended if one.ended_at == moment]
        later = Wanted(ended_since=datetime.fromisoformat(moment) + timedelta(milliseconds=1))
        assert Notices.page(session, later, 500) == []


def test_lists_are_paged_by_position(log: Following) -> None:
    """Page by page the whole list comes, newest first or oldest, whatever leads to it."""
    lived(log)
    asked: list[tuple[type[Records[Any]], Wanted]] = [
        (Messages, Wanted()),
        (Messages, Wanted(tool="crm")),
        (Messages, Wanted(sort="duplicate")),
        (Messages, Wanted(collection="jobs", case_id="C-1")),
        (Notices, Wanted()),
        (Notices, Wanted(tool="crm")),
        (Notices, Wanted(sort="superseded")),
        (Notices, Wanted(type="case.fields_changed")),
        (Drift, Wanted(now=MORNING, sort="resolved")),
    ]
    with log.store.reading() as session:
        for model, wanted in asked:
            whole = [one.id for one in model.page(session, wanted, 500)]
            seen: list[str] = []
            before = None
            while found := model.page(session, wanted, 1, before=before):
                seen += [one.id for one in found]
                before = found[-1].position
            assert seen == whole
            assert whole
            assert whole[::-1] == [one.id for one in model.oldest(session, wanted, 500)]
            first, *others = whole[::-1]
            (oldest,) = model.oldest(session, wanted, 1)
            assert oldest.id == first
            rest = model.oldest(session, wanted, 500, after=oldest.position)
            assert [one.id for one in rest] == others


def test_verify_finds_all_of_it_conserved(log: Following) -> None:
    """Heard and due are the sums of what became of them; what is sealed after erasing is sound."""
    lived(log)
    # What the books are asked for is sealed, with a new key of the case that was erased.
    for what in (move("schedule", scheduled_for="2026-05-11", scope="Roof"), move("complete")):
        log.journal.answer_now(ask(what, "projects"))
    log.followed()
    report = verify(log.journal, log.store, lambda _done, _total: None)
    assert [one for one in report.problems if "never adopted" not in one.what] == []
    assert report.heard == sum(report.outcomes.values()) == 8
    assert report.due == sum(report.notices.values()) > 5


# --- pages while everything moves ---------------------------------------------------------------

SHARED = HealthCheck.function_scoped_fixture
"""One log is for all examples; each has a tool of its own."""
Step = tuple[str, int, State]
"""A notice comes, or one of them changes, or a page is read: with how many, or which."""

steps = st.lists(
    st.tuples(
        st.sampled_from(["comes", "changes", "page", "page"]),
        st.integers(1, 9),
        st.sampled_from(STATES),
    ),
    max_size=25,
)


def notice(tool: str, position: int, state: State) -> OnList:
    """A notice to a tool, of which nothing matters here but where it stands, and its state."""
    members: dict[str, Any] = dict.fromkeys(OnList.__struct_fields__, "")
    numbers = {"position": position, "version": 1, "case_version": 1, "attempts": 0, "status": 0}
    named = {"id": f"{tool}-{position}", "tool": tool, "state": state}
    return OnList(**members | numbers | named)


@settings(max_examples=60, deadline=None, suppress_health_check=[SHARED])
@for_all(
    before=st.lists(st.sampled_from(STATES), max_size=12),
    taken=steps,
    asked=st.sampled_from(("", *STATES)),
)
def test_no_change_disturbs_who_pages(
    log: Following, before: list[State], taken: list[Step], asked: str
) -> None:
    """Whatever comes and changes between pages, each record that fits is seen, and once."""
    first = next(POSITIONS)
    tool = f"t{first}"
    now = [notice(tool, next(POSITIONS), state) for state in before]
    fitted = {one.position for one in now}
    ever = {one.position for one in now if asked in {"", one.state}}
    seen: list[int] = []

    def write(rows: list[OnList]) -> None:
        with log.store.following() as session:
            assert session is not None
            session.run(UPSERT_NOTICES, rows=encode([astuple(one) for one in rows]).decode())
        ever.update(one.position for one in rows if asked in {"", one.state})
        fitted.difference_update(one.position for one in rows if asked not in {"", one.state})

    def page(most: int) -> list[OnList]:
        with log.store.reading() as session:
            last = seen[-1] if seen else None
            found = Notices.page(session, Wanted(tool=tool, sort=asked), most, before=last)
        seen.extend(one.position for one in found)
        return found

    write(now)
    for what, number, state in taken:
        if what == "comes":
            now.append(notice(tool, next(POSITIONS), state))
            write(now[-1:])
        elif what == "changes" and now:
            place = number % len(now)
            now[place] = replace(now[place], state=state)
            write([now[place]])
        elif what == "page":
            page(number)
    while page(3):
        continue
    assert seen == sorted(set(seen), reverse=True)
    assert fitted <= {*seen} <= ever
