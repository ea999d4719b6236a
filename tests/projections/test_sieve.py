"""What a list holds, whatever is asked at once: the same as going through all cases would find."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.changes import Correct
from lifecycle.events import Asker, DriftFound, DriftResolved, Entry
from lifecycle.streams import mirror_stream
from projections import drift
from projections.blocks import BLOCK, WHOLE, numbers, packed, unpacked
from projections.board import Board, OnBoard
from projections.finding import Key, configurations_with, page
from projections.follower import written
from projections.sieve import CasesWanted, Sieve
from projections.store import Row, Session
from projections.words import words_of
from tests.databases import NewDatabase
from tests.projections.following import Following, by_collection, following, job
from tests.projections.stories import MORNING, Story, field_service

CASES = 40
NAMES = ("Harbour", "Harvest", "Har", "Garden", "Gardens", "Öl", "7", "77", "770")
WORDS = ("harbour", "harv", "har", "garden", "gardens", "gard", "ol", "7", "77", "j", "3", "boiler")
LATER = MORNING + timedelta(days=90)


@pytest.fixture(params=[0, 6, 1000], ids=["many", "some", "few"])
def log(
    request: pytest.FixtureRequest, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Following]:
    """Some cases over many small blocks, of which few or many are looked at at once."""
    for name, value in {
        "blocks.BLOCK": 8,
        "sieve.WHOLE": 0xFF,
        "sieve.BLOCKS_FIRST": 1,
        "sieve.GROWTH": 2,
        "sieve.RANGED_FIRST": 1,
        "sieve.DIFFERENCES_MAX": request.param,
        "finding.WALKED_FIRST": 3,
        "finding.FEW": request.param,
    }.items():
        monkeypatch.setattr(f"projections.{name}", value)
    with following(new_database()) as opened:
        told = Random(5)  # noqa: S311 - the same cases every time
        stories = [_begun(number, told) for number in range(CASES)]
        opened.written(*stories).followed()
        before = [len(story.entries) for story in stories]
        changed = told.sample(range(CASES), CASES // 2)
        for number in changed:
            _go_on(stories[number], told)
        for number in changed:
            if more := stories[number].entries[before[number] :]:
                opened.told(more).followed()
        yield opened.told(_differences(told)).followed()


def _begun(number: int, told: Random) -> Story:
    name, scope = " ".join(told.sample(NAMES, 2)), told.choice(("boiler", "solar", "Har 3"))
    story = job(f"J-{number}", customer_name=name, scope=scope)
    if told.random() < 0.5:
        story.says("accounting", deposit_due="5.00 USD", deposit_paid="5.00 USD")
    return story


def _go_on(story: Story, told: Random) -> None:
    match told.randrange(3):
        case 0:
            story.says("crm", customer_name=told.choice(NAMES))
        case 1:
            story.then("staff", Correct(state=told.choice(("quoted", "completed")), reason="so"))
        case _:
            story.makes("crm", "cancel")


def _differences(told: Random) -> Iterator[Entry]:
    for number in told.sample(range(CASES), 9):
        yield _difference(told.choice(("crm", "projects")), f"jobs/J-{number}")


def _difference(tool: str, case: str) -> Entry:
    found = DriftFound(
        recorded_at=LATER, by=Asker(tool=tool), id=f"d-{tool}-{case}", case=case, tool=tool,
        field="status", is_word=True, expected="one", reported="another",
    )  # fmt: skip
    return Entry(mirror_stream(*case.split("/"), tool), 1, found)


def _dismissed(found: Entry) -> Entry:
    assert isinstance(found.event, DriftFound)
    resolved = DriftResolved(
        recorded_at=LATER, by=Asker(staff="kim"), id=found.event.id, case=found.event.case,
        tool=found.event.tool, field=found.event.field, how="dismissed", reason="known",
    )  # fmt: skip
    return Entry(found.stream, 2, resolved)


asked = st.builds(
    CasesWanted,
    collection=st.just("jobs"),
    state=st.sampled_from(["", "", "quoted", "deposit_confirmed", "completed", "invoiced"]),
    configurations=st.sampled_from(
        [None, None, *(configurations_with(field_service(), "crm", one) for one in ("closedwon",))]
    ),
    updated_since=st.sampled_from([None, None, MORNING, MORNING + timedelta(hours=2)]),
    overdue_at=st.sampled_from([None, None, MORNING + timedelta(days=4), LATER]),
    differing_at=st.sampled_from([None, None, None, LATER]),
    differs=st.sampled_from(["", "crm"]),
    words=st.lists(st.sampled_from(WORDS), max_size=3, unique=True).map(tuple),
    visible=st.sampled_from([frozenset[str](), frozenset({"customer_name", "email"})]),
)
"""Anything that a list may be asked for."""


def test_a_list_holds_what_a_look_at_every_case_finds(log: Following) -> None:
    """Whatever is asked together, all pages together are the cases that fit, each once."""
    everything = log.board()
    differing = {(case, tool) for case, tool in log.rows("SELECT case_id, tool FROM {views}.drift")}
    assert (len(everything), len(differing)) == (CASES, 9)

    @settings(max_examples=150, deadline=None)
    @given(asked, st.integers(1, 12))
    def agrees(wanted: CasesWanted, limit: int) -> None:
        fitting = sorted(
            (row for row in everything if _fits(row, wanted, differing)), key=_place(wanted)
        )
        assert list(_paged(log, wanted, limit)) == [row.case.id for row in fitting]

    agrees()


def _fits(row: OnBoard, wanted: CasesWanted, differing: set[tuple[str, str]]) -> bool:
    """The rules, as one would say them."""
    case, lifecycle = row.case, field_service()
    *whole, begun = wanted.words or ("",)
    seen = {word for field, word in words_of(case, lifecycle) if field in {"", *wanted.visible}}
    tools = {tool for case_id, tool in differing if case_id == case.id}
    return (
        set(whole) <= seen
        and any(word.startswith(begun) for word in seen)
        and wanted.state in {"", case.state}
        and (wanted.configurations is None or case.state in wanted.configurations)
        and (wanted.updated_since is None or row.seen_at >= written(wanted.updated_since))
        and (
            wanted.overdue_at is None
            or (row.due_at is not None and row.due_at < written(wanted.overdue_at))
        )
        and (
            wanted.differing_at is None
            or (wanted.differs in tools if wanted.differs else bool(tools))
        )
    )


def _place(wanted: CasesWanted) -> Callable[[OnBoard], tuple[str, int]]:
    if wanted.updated_since is not None:
        return lambda row: (row.seen_at, row.case.position)
    if wanted.overdue_at is not None:
        return lambda row: (row.due_at or "", row.opened)
    return lambda row: ("", -row.opened)


def _paged(log: Following, wanted: CasesWanted, limit: int) -> Iterator[str]:
    after: Key | None = None
    while True:
        with log.store.reading() as session:
            got = page(session, wanted, after, limit)
        assert len(got.rows) == limit or got.next is None
        yield from (row.case.id for row in got.rows)
        after = got.next
        if after is None:
            return


@given(st.sets(st.integers(0, BLOCK - 1)).filter(bool))
def test_a_set_is_read_as_it_was_written(places: set[int]) -> None:
    """A few cases, or most of a block: what is read is what was written, newest first."""
    few = sum(1 << place for place in places)
    for bits in (few, WHOLE & ~few):
        assert unpacked(packed(bits)) == bits
    assert list(numbers(3, few)) == sorted((3 * BLOCK + place for place in places), reverse=True)


# --- what it costs ------------------------------------------------------------------------------


class Planned:
    """A session that notes how the database goes about what it is asked."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.plans: list[str] = []

    def rows(self, statement: str, **values: object) -> Sequence[Row]:
        """Answer what a statement selects."""
        plan = self._session.rows(f"EXPLAIN QUERY PLAN {statement}", **values)
        self.plans.append("; ".join(step for *_, step in plan))
        return self._session.rows(statement, **values)

    def run(self, statement: str, **values: object) -> None:
        """Have a statement done."""
        self._session.run(statement, **values)

    def write(self, statement: str, rows: Sequence[Row]) -> None:
        """Have a statement done for rows."""
        self._session.write(statement, rows)


@pytest.fixture
def fresh(new_sqlite: NewDatabase) -> Iterator[Following]:
    """Some cases in a file that was never rebuilt: SQLite plans without knowing what is in it."""
    with following(new_sqlite()) as opened:
        cases = (job(f"J-{number}", scope="boiler") for number in range(CASES))
        yield opened.written(*cases).followed()


def _taken_off(session: Session) -> None:
    Board(by_collection()).drop(session, ("jobs", "J-1"))


def _counted(session: Session) -> None:
    drift.counts(session, LATER)


def _listed(**asked: Any) -> Callable[[Session], object]:
    return lambda session: page(session, CasesWanted(collection="jobs", **asked), None, 5)


@pytest.mark.parametrize(
    ("reads", "by"),
    [
        (
            _listed(words=("boile",)),
            "board_words_block (block=? AND collection=? AND field=? AND word>? AND word<?)",
        ),
        (
            _listed(differing_at=LATER, differs="crm"),
            "COVERING INDEX drift_open (collection=? AND standing=? AND silent_until<?)",
        ),
        (
            _listed(differing_at=LATER),
            "drift_case (collection=? AND case_id=? AND standing=?)",
        ),
        (_taken_off, "board_words_block (block=?)"),
        (_counted, "drift_silent (silent_until<?)"),
    ],
    ids=["beginning", "differing", "differs", "taken-off", "counted"],
)
def test_a_file_that_was_never_rebuilt_is_read_by_the_same_indexes(
    fresh: Following, reads: Callable[[Session], object], by: str
) -> None:
    """Without statistics, too, no word, no difference is read that leads to none of the cases."""
    fresh.told([_difference("crm", "jobs/J-1")]).followed()
    with fresh.store.following() as session:
        assert session is not None
        assert not session.rows("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'")
        planned = Planned(session)
        reads(planned)
    assert any(by in plan for plan in planned.plans), planned.plans


def test_what_is_not_asked_for_hides_no_few_cases_that_differ(
    fresh: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Differences of other tools, from other collections, or dismissed, are not counted as many."""
    monkeypatch.setattr("projections.sieve.DIFFERENCES_MAX", 4)
    dismissed = [_difference("projects", f"jobs/J-{number}") for number in range(5)]
    others = [_difference("crm", f"jobs/J-{number}") for number in range(5)]
    elsewhere = [_difference("projects", f"clients/C-{number}") for number in range(5)]
    asked = [_difference("projects", f"jobs/J-{number}") for number in range(10, 13)]
    told = [*dismissed, *map(_dismissed, dismissed), *others, *elsewhere, *asked]
    fresh.told(told).followed()
    few = CasesWanted(collection="jobs", differing_at=LATER, differs="projects")
    many = CasesWanted(collection="jobs", differing_at=LATER)
    with fresh.store.reading() as session:
        assert not Sieve(session, few).lets_all_through
        assert Sieve(session, many).lets_all_through
    assert list(_paged(fresh, few, 2)) == ["J-12", "J-11", "J-10"]
    assert len(list(_paged(fresh, many, 2))) == len(others) + len(asked)


def test_the_longer_a_page_is_looked_for_the_more_is_looked_at_at_once(
    fresh: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many differ, but only the oldest, it takes few questions to come to them."""
    monkeypatch.setattr("projections.sieve.DIFFERENCES_MAX", 1)
    monkeypatch.setattr("projections.finding.WALKED_FIRST", 1)
    fresh.told([_difference("crm", "jobs/J-0")]).followed()
    with fresh.store.reading() as session:
        planned = Planned(session)
        wanted = CasesWanted(collection="jobs", differing_at=LATER)
        (found,) = page(planned, wanted, None, 1).rows
    assert found.case.id == "J-0"
    assert len(planned.plans) < CASES / 3
