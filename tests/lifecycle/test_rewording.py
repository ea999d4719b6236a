"""A new version has other words: the tools are told those where that is wanted, and only those."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from msgspec.structs import replace

from lifecycle import rewording
from lifecycle.adoption import adopt, plan
from lifecycle.changes import Open
from lifecycle.events import NoticeDelivered, NoticeDue, NoticeSuperseded
from lifecycle.journal import Journal, Record, utc_now
from lifecycle.mirror import Mirror
from lifecycle.refusals import StorageUnavailable
from lifecycle.streams import mirror_stream
from lifecycle.telling import NOBODY, delivered
from tests.databases import NewDatabase
from tests.lifecycle.given import declared, move
from tests.lifecycle.journals import ask, entries_of, journal_on

FIRST = """
lifecycle: parcel
version: 1
title: Parcel
collection: parcels
tools: {desk: {title: Desk}, shop: {title: Shop}}
states:
  here: {owner: desk}
  gone: {owner: desk}
  lost: {owner: desk, final: true}
transitions:
  - {name: send, from: here, to: gone}
  - {name: lose, from: [here, gone], to: lost}
words:
  shop:
    shelf: {here: Here, gone: Gone, lost: Lost}
    light: {here: green, gone: green, lost: red}
    seen: {here: Here, gone: Gone, lost: Lost, hear_only: true}
reactions:
  - {name: thank, after: send, tell: shop, request: thank}
flows:
  - {tool: shop, direction: out, how: webhook, url: env:SHOP_URL, secret: env:SHOP_SECRET}
"""
SECOND = (
    FIRST.replace("version: 1", "version: 2")
    .replace("gone: Gone", "gone: Sent")
    .replace("gone", "sent")
    .replace("title: Parcel\n", "title: Parcel\nrenamed: {gone: sent}\n", 1)
)
RED, SHELF = "light", "shelf"


@pytest.fixture
def database(new_database: NewDatabase) -> str:
    """Three parcels under the first version: one here, one that has gone, one that is lost."""
    made = new_database()
    with process(made, FIRST) as journal:
        for name, moves in {"P-1": (), "P-2": ("send",), "P-3": ("lose",)}.items():
            journal.answer_now(ask(Open(), "desk", name, collection="parcels"))
            for one in moves:
                journal.answer_now(ask(move(one), "desk", name, collection="parcels"))
            take(journal, name)
    return made


@contextmanager
def process(database: str, text: str, *, tell: bool | None = False) -> Iterator[Journal]:
    """Run a process that holds this text and adopts it at its start; None: it does not."""
    lifecycle = declared(text)
    with journal_on(database, {"parcels": lifecycle}) as journal:
        if tell is not None:
            adopt(journal, [lifecycle], tell=tell)
        yield journal


def due(journal: Journal, case: str) -> list[NoticeDue]:
    """What the shop is due about a parcel."""
    mirror = journal.known_now(theirs(case)).state
    waiting = mirror.due if isinstance(mirror, Mirror) else {}
    events = (entry.event for entry in entries_of(journal, theirs(case)))
    return [one for one in events if isinstance(one, NoticeDue) and one.id in waiting]


def words(journal: Journal, case: str) -> list[tuple[str, str, str | None]]:
    """The words that are due: the status field, the word, and what it was."""
    return [(one.status_field, one.word, one.was) for one in due(journal, case)]


def take(journal: Journal, case: str) -> None:
    """Have the shop take all that it is due."""
    for one in due(journal, case):
        journal.record_now(Record(theirs(case), delivered(one, 1, 200, one.recorded_at)))


def theirs(case: str) -> str:
    """The shop's mirror of a parcel."""
    return mirror_stream("parcels", case, "shop")


def test_only_words_that_changed_are_told(database: str) -> None:
    """The parcel that has gone has another word on its shelf; it alone is told, and no reaction."""
    with process(database, SECOND, tell=True) as journal:
        assert words(journal, "P-2") == [(SHELF, "Sent", "Gone")]
        assert not due(journal, "P-1") + due(journal, "P-3")


def test_nobody_is_told_unasked(database: str) -> None:
    """Without `--tell` a version changes nothing for the tools; it may be asked for later, once."""
    with process(database, SECOND) as journal:
        assert not due(journal, "P-2")
    with process(database, SECOND, tell=True) as journal:
        assert words(journal, "P-2") == [(SHELF, "Sent", "Gone")]
        take(journal, "P-2")
        say_again = replace(due_once(journal), id="said-again", word="Gone")
        journal.record_now(
            Record(theirs("P-2"), lambda _, now: replace(say_again, recorded_at=now))
        )
        journal.record_now(
            Record(theirs("P-2"), delivered(say_again, 1, 200, say_again.recorded_at))
        )
    with process(database, SECOND, tell=True) as journal:
        assert not due(journal, "P-2")


def due_once(journal: Journal) -> NoticeDue:
    """The last notice about the parcel that has gone."""
    events = [entry.event for entry in entries_of(journal, theirs("P-2"))]
    return [one for one in events if isinstance(one, NoticeDue)][-1]


def test_a_start_that_did_not_come_to_its_end_is_taken_up(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to be told stands in the log: the next start tells the rest, asked to or not."""
    monkeypatch.setattr(rewording, "IMPORT_ASKS_MAX", 1)
    with process(database, FIRST) as journal:
        for name in ("P-4", "P-5"):
            journal.answer_now(ask(Open(), "desk", name, collection="parcels"))
            journal.answer_now(ask(move("send"), "desk", name, collection="parcels"))
            take(journal, name)
    with process(database, SECOND, tell=None) as journal:
        told = len(entries_of(journal, theirs("P-2")))

        def clock() -> datetime:
            """The disk is full as soon as the first of them is told."""
            if len(journal.recorder.streams([theirs("P-2")])) > told:
                raise StorageUnavailable("the disk is full", may_have_happened=False)
            return utc_now()

        journal.clock = clock
        with pytest.raises(StorageUnavailable):
            adopt(journal, journal.lifecycles.values(), tell=True)
    with process(database, SECOND, tell=None) as journal:
        assert [len(due(journal, name)) for name in ("P-2", "P-4", "P-5")] == [1, 0, 0]
    with process(database, SECOND) as journal:
        assert [len(due(journal, name)) for name in ("P-2", "P-4", "P-5")] == [1, 1, 1]


def test_a_parcel_that_moved_on_is_told_where_it_is(database: str) -> None:
    """Each case is decided as it is by then: what it was told meanwhile it is not told again."""
    with process(database, SECOND) as journal:
        journal.answer_now(ask(move("send"), "desk", "P-1", collection="parcels"))
        journal.answer_now(ask(move("lose"), "desk", "P-2", collection="parcels"))
        before = {name: words(journal, name) for name in ("P-1", "P-2")}
    with process(database, SECOND, tell=True) as journal:
        assert {name: words(journal, name) for name in ("P-1", "P-2")} == before


def test_what_was_due_in_the_old_words_is_superseded(database: str) -> None:
    """The tool is told the newest word only."""
    with process(database, FIRST) as journal:
        journal.answer_now(ask(move("send"), "desk", "P-1", collection="parcels"))
        assert [one.word for one in due(journal, "P-1") if one.word] == ["Gone"]
    with process(database, SECOND, tell=True) as journal:
        assert [one.word for one in due(journal, "P-1") if one.word] == ["Sent"]
        events = [entry.event for entry in entries_of(journal, theirs("P-1"))]
        (superseded,) = [one for one in events if isinstance(one, NoticeSuperseded)]
        assert (superseded.word, superseded.why) == ("Gone", "newer-word")


def test_a_case_that_was_carried_in_quietly_is_told_what_changed(database: str) -> None:
    """Tools know an imported case's old word, though nobody told them; they lack the new one."""
    with process(database, FIRST) as journal:
        for what in (Open(), move("send")):
            one = ask(what, "desk", "P-9", collection="parcels")
            journal.answer_now(replace(one, quiet=True))
        assert not entries_of(journal, theirs("P-9"))
    with process(database, SECOND, tell=True) as journal:
        assert words(journal, "P-9") == [(SHELF, "Sent", "Gone")]


def test_whom_it_would_tell_is_said_beforehand(database: str) -> None:
    """A plan counts the cases of each tool that has another word, and tells nobody."""
    with process(database, SECOND, tell=None) as journal:
        planned = plan(journal, declared(SECOND))
        assert (planned.reworded, planned.tells) == (1, {"shop": 1})
        assert not due(journal, "P-2")


def test_a_first_version_has_nothing_to_tell(new_database: NewDatabase) -> None:
    """Where no version ruled before, no word has changed."""
    with process(new_database(), FIRST, tell=True) as journal:
        journal.answer_now(ask(Open(), "desk", "P-1", collection="parcels"))
        take(journal, "P-1")
        adopt(journal, journal.lifecycles.values(), tell=True)
        events = [entry.event for entry in entries_of(journal, theirs("P-1"))]
        assert {type(one) for one in events} == {NoticeDue, NoticeDelivered}
        assert all(one.by != NOBODY for one in events if isinstance(one, NoticeDue))
