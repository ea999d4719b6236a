"""Asks in, events durable, answers out; every guarantee on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import count

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.asks import Answer, Ask, Look, LookUp, Request
from lifecycle.case import Case
from lifecycle.changes import Open, ReleaseReference, SetFields, TakeReference
from lifecycle.events import ERASED, Asker, Event, KeyIssued, KeyRevoked, Refused
from lifecycle.journal import (
    BATCH_ASKS_MAX,
    QUEUE_ASKS_MAX,
    QUEUE_BYTES_MAX,
    Journal,
    Outcome,
    Record,
)
from lifecycle.known import Known
from lifecycle.memory import MEMORY_BYTES_MAX, MEMORY_STREAMS_MAX, STEP_EVENTS, Memory
from lifecycle.refusals import (
    CaseExists,
    NotSignedIn,
    Overloaded,
    ReferenceTaken,
    Refusal,
    StorageUnavailable,
    TransitionNotOpen,
    UnknownCase,
)
from lifecycle.streams import case_stream, refusals_stream
from tests.databases import NewDatabase
from tests.lifecycle.given import Given, correct, erase, move, shipped, tell
from tests.lifecycle.journals import (
    answers,
    ask,
    entries_of,
    journal_on,
    remembered,
    replayed,
    together,
)
from tests.running import until


@pytest.fixture
def database(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def journal(database: str) -> Iterator[Journal]:
    with journal_on(database) as opened:
        yield opened


@pytest.fixture
def other(database: str, journal: Journal) -> Iterator[Journal]:
    """Another process over the same log."""
    assert journal.recorder.last_position() == 0
    with journal_on(database) as opened:
        yield opened


class TestAnswers:
    def test_what_is_answered_stands_in_the_log(self, journal: Journal, other: Journal) -> None:
        """An answer names a position at which anybody can read the very event."""
        answer = journal.answer_now(ask(Open(fields={"scope": "Boiler"})))
        assert answer.entry is not None
        (stored,) = other.recorder.tail(answer.entry.position - 1, 1)
        assert other.mapper.to_domain_event(stored) == answer.entry
        assert answer.case.position == answer.entry.position

    def test_the_position_of_a_case_is_that_of_its_last_event(self, journal: Journal) -> None:
        """Also where more followed by itself in the same append."""
        journal.answer_now(ask(Open()))
        paid = tell(deposit_due="1.00 USD", deposit_paid="1.00 USD")
        answer = journal.answer_now(ask(paid, "accounting"))
        assert answer.entry is not None
        stored = journal.recorder.tail(answer.entry.position)
        changes = [one.id for one in stored if one.originator_id == "case:jobs/C-1"]
        assert answer.case.position == changes[-1] > answer.entry.position
        assert journal.answer_now(ask(Look())).case == answer.case == replayed(journal)

    def test_asks_on_one_case_are_settled_in_order(self, journal: Journal) -> None:
        """Whoever asks first is decided first, however many are decided at once."""

        async def all_at_once() -> list[Answer]:
            asks = [ask(tell(scope=f"{number}")) for number in range(2 * BATCH_ASKS_MAX)]
            return await asyncio.gather(journal.answer(ask(Open())), *map(journal.answer, asks))

        told = asyncio.run(all_at_once())
        assert [one.case.version for one in told] == list(range(1, 2 * BATCH_ASKS_MAX + 2))
        events = [entry.event for entry in entries_of(journal, case_stream("jobs", "C-1"))[1:]]
        assert [getattr(event, "fields", None) for event in events] == [
            {"scope": f"{number}"} for number in range(2 * BATCH_ASKS_MAX)
        ]

    def test_each_ask_sees_what_those_before_it_did(self, journal: Journal) -> None:
        """Within one batch a case is opened, moved, and found where it was moved to."""
        outcomes = together(
            journal,
            ask(Look()),
            ask(Open()),
            ask(Open()),
            ask(move("cancel")),
            ask(move("cancel")),
            ask(Look()),
        )
        assert answers(outcomes) == [
            "UnknownCase",
            "1",
            "CaseExists",
            "2",
            "TransitionNotOpen",
            "2",
        ]

    def test_what_is_recorded_sees_what_those_before_it_did(self, journal: Journal) -> None:
        """A reaction that is due in the batch in which its case moves on is not fired."""
        journal.answer_now(ask(Open(), "crm"))
        seen: list[object] = []

        def decide(_: Known, __: datetime) -> Event | None:
            case = journal.as_decided(case_stream("jobs", "C-1")).state
            seen.append(case.states if isinstance(case, Case) else None)
            return None

        together(journal, ask(move("cancel"), "crm"), Record("key:nobody", decide))
        assert seen[-1] == ("cancelled",)

    def test_a_refusal_hurts_no_other(self, journal: Journal) -> None:
        """In a batch with refusals all else is accepted, and the refusals stand beside the case."""
        asks = [ask(Open(), id=f"C-{number}") for number in range(20)]
        wrong = [ask(move("complete"), id=f"C-{number}") for number in range(0, 20, 2)]
        outcomes = together(journal, *asks, *wrong, ask(Look(), id="C-99"))
        assert answers(outcomes) == ["1"] * 20 + ["TransitionNotOpen"] * 10 + ["UnknownCase"]
        (refused,) = entries_of(journal, "refusals:jobs/C-2")
        assert isinstance(refused.event, Refused)

    def test_a_fault_in_one_ask_is_its_own(self, journal: Journal) -> None:
        """What cannot even be written down fails alone; the writer goes on."""
        fault = SetFields(fields={"scope": "B", "email": "b@example.com"}, reason="so \ud800")
        outcomes = together(journal, ask(Open()), ask(fault), ask(tell(scope="C")))
        assert isinstance(outcomes[1], Exception)
        assert not isinstance(outcomes[1], Refusal)
        assert answers(outcomes)[::2] == ["1", "2"]
        assert journal.answer_now(ask(Look())).case == replayed(journal)

    def test_a_fault_in_what_an_operator_records_reaches_him(self, journal: Journal) -> None:
        """It is raised where it was asked for, and nowhere else."""

        def decide(known: Known, now: datetime) -> Event:
            raise ZeroDivisionError(known, now)

        with pytest.raises(ZeroDivisionError):
            journal.record_now(Record("key:k1", decide))
        journal.answer_now(ask(Open()))

    def test_a_request_is_answered_once_also_within_a_batch(self, journal: Journal) -> None:
        """The same key three times at once makes one event and three answers."""
        again = ask(tell(scope="Boiler"), request=Request("a", "content"))
        outcomes = together(journal, ask(Open()), again, again, again)
        assert answers(outcomes) == ["1", "2", "2", "2"]
        assert len(entries_of(journal, case_stream("jobs", "C-1"))) == 2


class TestQueue:
    """A journal that is not started yet takes asks and answers none: so its queue fills."""

    @pytest.fixture
    def waiting(self, journal: Journal) -> Journal:
        """A second journal of the same process, before its start."""
        return Journal(journal.recorder, journal.mapper, journal.lifecycles)

    def test_a_full_queue_says_so_at_once(self, waiting: Journal) -> None:
        """Past its bound an ask is turned away; those that wait are answered when it goes on."""

        async def many() -> list[Answer]:
            asks = [ask(Open(), id=f"C-{number}") for number in range(QUEUE_ASKS_MAX)]
            tasks = [asyncio.create_task(waiting.answer(one)) for one in asks]
            await asyncio.sleep(0)
            assert waiting.queued == QUEUE_ASKS_MAX
            with pytest.raises(Overloaded, match="4096 asks are waiting"):
                await waiting.answer(ask(Open(), id="one-more"))
            waiting.start()
            return await asyncio.gather(*tasks)

        assert {one.case.version for one in asyncio.run(many())} == {1}
        with pytest.raises(UnknownCase):
            waiting.answer_now(ask(Look(), id="one-more"))
        waiting.stop()

    def test_a_queue_is_full_in_bytes_too(self, waiting: Journal) -> None:
        """Few large asks fill it as many small ones do."""

        async def large() -> None:
            size = QUEUE_BYTES_MAX // 4
            asks = [ask(Open(), id=f"C-{number}") for number in range(4)]
            tasks = [asyncio.create_task(waiting.answer(one, size)) for one in asks]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await waiting.answer(ask(Open(), id="C-9"), 1)
            waiting.start()
            await asyncio.gather(*tasks)
            await waiting.answer(ask(Open(), id="C-9"), size)

        asyncio.run(large())
        waiting.stop()

    def test_to_stop_is_to_answer_everything_that_waits(self, waiting: Journal) -> None:
        """Nobody is left waiting; who comes later is told that the service is stopping."""
        futures = [
            waiting.answer_many_later([ask(Open(), id=f"C-{number}")], 0) for number in range(600)
        ]
        waiting.start()
        waiting.stop()
        assert all(future.done() for future in futures)
        assert {tuple(answers(future.result())) for future in futures} == {("1",)}
        with pytest.raises(StorageUnavailable, match="stopping") as refused:
            waiting.answer_now(ask(Look()))
        assert refused.value.facts["may_have_happened"] is False

    def test_who_has_gone_is_not_waited_for(self, waiting: Journal) -> None:
        """A client that hangs up takes nothing with it: its ask is done, and the next answered."""

        async def hang_up() -> Answer:
            gone = asyncio.create_task(waiting.answer(ask(Open())))
            await asyncio.sleep(0)
            gone.cancel()
            waiting.start()
            return await waiting.answer(ask(Look()))

        assert asyncio.run(hang_up()).case.version == 1
        waiting.stop()

    def test_people_go_before_an_import(self, waiting: Journal) -> None:
        """Of an import only one chunk stands in a batch; what people ask is decided before it."""
        lines = waiting.answer_many_later([ask(Open()), ask(tell(scope="by file"))], 0)

        async def person() -> Answer:
            task = asyncio.create_task(waiting.answer(ask(Open(fields={"scope": "by hand"}))))
            await asyncio.sleep(0)
            waiting.start()
            return await task

        assert asyncio.run(person()).case.version == 1
        assert answers(lines.result()) == ["CaseExists", "2"]
        waiting.stop()


class TestTwoProcesses:
    def test_each_decides_on_what_the_other_did(self, journal: Journal, other: Journal) -> None:
        """Yes and no are both said on the whole truth, whichever process is asked."""
        journal.answer_now(ask(Open()))
        with pytest.raises(CaseExists):
            other.answer_now(ask(Open()))
        other.answer_now(ask(move("cancel")))
        with pytest.raises(TransitionNotOpen):
            journal.answer_now(ask(move("cancel")))
        assert journal.answer_now(ask(Look())).case == other.answer_now(ask(Look())).case

    def test_a_reference_is_taken_once(self, journal: Journal, other: Journal) -> None:
        """Of all who want the same reference at once, in two processes, one gets it."""
        ids = [f"C-{number}" for number in range(20)]
        together(journal, *(ask(Open(), id=one) for one in ids))
        taking = [ask(TakeReference(tool="crm", ref="9"), id=one) for one in ids]
        with ThreadPoolExecutor(2) as pool:
            halves = pool.map(
                lambda one, asks: together(one, *asks), [journal, other], [taking[:10], taking[10:]]
            )
            outcomes = [outcome for half in halves for outcome in half]
        taken = [outcome.case.id for outcome in outcomes if isinstance(outcome, Answer)]
        assert len(taken) == 1
        assert all(isinstance(one, Answer | ReferenceTaken) for one in outcomes)
        for one in (journal, other):
            assert one.answer_now(ask(LookUp("crm", "9"), id="")).case.id == taken[0]

    def test_changes_at_once_all_count(self, journal: Journal, other: Journal) -> None:
        """Two processes that write the same cases at once lose nothing and double nothing."""
        journal.answer_now(ask(Open()))

        def write(one: Journal, name: str) -> None:
            for number in range(40):
                one.answer_now(ask(tell(scope=f"{name}{number}")))

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write, [journal, other], ["a", "b"]))
        events = [entry.event for entry in entries_of(journal, case_stream("jobs", "C-1"))[1:]]
        told = [event.fields["scope"] for event in events if hasattr(event, "fields")]
        for name in "ab":
            assert [one for one in told if one[0] == name] == [f"{name}{n}" for n in range(40)]
        assert journal.answer_now(ask(Look())).case == replayed(other)

    def test_a_request_is_answered_once_by_both(self, journal: Journal, other: Journal) -> None:
        """A key used in one process is known to the other."""
        again = ask(tell(scope="Boiler"), request=Request("a", "content"))
        journal.answer_now(ask(Open()))
        journal.answer_now(again)
        replayed_there = other.answer_now(again).replayed
        assert replayed_there is not None
        assert replayed_there.version == 2

    def test_a_revoked_key_is_refused_by_both_at_once(
        self, journal: Journal, other: Journal
    ) -> None:
        """From the moment the revoking is answered, no process honours the key: not for a look."""
        crm = Asker(tool="crm", key="k1")
        journal.record_now(Record("key:k1", issued))
        other.answer_now(ask(Open(), asker_is=crm))
        journal.record_now(Record("key:k1", revoked))
        for what in (Look(), move("cancel"), Open()):
            with pytest.raises(NotSignedIn):
                other.answer_now(ask(what, asker_is=crm))

    def test_what_is_asked_of_a_stream_is_as_committed(
        self, journal: Journal, other: Journal
    ) -> None:
        """A key that another process issued a moment ago is known."""
        assert journal.known_now("key:k1").version == 0
        other.record_now(Record("key:k1", issued))
        assert journal.known_now("key:k1").version == 1
        assert asyncio.run(other.known("key:k1")) == journal.known_now("key:k1")


def issued(_known: Known, now: datetime) -> Event:
    return KeyIssued(recorded_at=now, by=Asker(), digest="d", tool="crm")


def revoked(_known: Known, now: datetime) -> Event:
    return KeyRevoked(recorded_at=now, by=Asker())


ASKS = st.sampled_from(
    [
        ("crm", Open()),
        ("crm", tell(scope="A")),
        ("crm", tell(email="a@example.com")),
        ("crm", tell(email=None)),
        ("accounting", tell(deposit_due="5.00 USD")),
        ("accounting", tell(deposit_paid="5.00 USD")),
        ("projects", move("schedule", scheduled_for="2026-05-11")),
        ("projects", move("unschedule")),
        ("projects", move("complete")),
        ("crm", move("cancel")),
        ("crm", TakeReference(tool="crm", ref="9")),
        ("crm", ReleaseReference(tool="crm", ref="9")),
        ("staff", correct("quoted")),
        ("staff", erase()),
    ]
)
STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), ASKS), min_size=1, max_size=25)
Steps = list[tuple[bool, str, tuple[str, object]]]


def test_two_journals_are_as_good_as_one(journal: Journal, other: Journal) -> None:
    """However asks are spread over two processes, each is answered as if there were only one.

    The one is the pure decision over everything that was recorded; afterwards both memories, and a
    replay of the log, hold the same cases.
    """
    numbers = count()

    @settings(max_examples=25, deadline=None)
    @given(STEPS)
    def spread(steps: Steps) -> None:
        run = next(numbers)
        alone = Given(shipped()["field_service"])
        for second, name, (by, asked) in steps:
            case_id = f"C-{run}-{name}"
            what = asked
            if isinstance(asked, TakeReference):
                what = type(asked)(tool="crm", ref=f"{run}")
            expected = alone.when(what, by=by, id=case_id).outcome
            (found,) = together(other if second else journal, ask(what, by, case_id))
            assert answers([found]) == answers([expected])
        for case_id in (f"C-{run}-a", f"C-{run}-b"):
            for one in (journal, other):
                together(one, ask(Look(), id=case_id))
                assert remembered(one, case_id) == replayed(one, case_id)

    spread()


def test_memory_is_a_replay_of_the_log(journal: Journal) -> None:
    """Whatever was asked, in batches of whatever size, memory is what the log says."""
    numbers = count()

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.lists(ASKS, min_size=1, max_size=6), min_size=1, max_size=6))
    def walk(batches: list[list[tuple[str, object]]]) -> None:
        case_id = f"C-{next(numbers)}"
        for batch in batches:
            settled_as_people_ask(journal, [ask(what, by, case_id) for by, what in batch])
            assert remembered(journal, case_id) == replayed(journal, case_id)

    walk()


class TestMemory:
    def test_memory_is_bounded_in_streams(self, journal: Journal) -> None:
        """What was used longest ago is let go of, and read again when it is wanted."""
        journal.answer_now(ask(Open()))
        memory = Memory(journal.recorder, journal.mapper)
        kept = memory[case_stream("jobs", "C-1")]
        for number in range(MEMORY_STREAMS_MAX):
            memory.put(f"case:jobs/X-{number}", Known(0, None))
        memory.shrink()
        assert len(memory) <= MEMORY_STREAMS_MAX
        assert memory.peek(case_stream("jobs", "C-1")) is None
        assert memory[case_stream("jobs", "C-1")] == kept

    def test_a_tail_longer_than_what_is_known_is_not_read(self, journal: Journal) -> None:
        """Who lags far behind lets go of what it knows, and reads the truth where it needs it."""
        journal.answer_now(ask(Open()))
        memory, stream = Memory(journal.recorder, journal.mapper), case_stream("jobs", "C-1")
        memory.catch_up()
        known = memory[stream]
        strangers = [StoredEvent(f"flow:{one}", 1, "t.v1", b"{}") for one in range(STEP_EVENTS)]
        journal.recorder.append(strangers, after=memory.position)
        journal.answer_now(ask(tell(deposit_due="1.00 USD"), "accounting"))
        memory.catch_up()
        assert memory.peek(stream) is None
        assert memory.position == journal.recorder.last_position()
        assert memory[stream] == journal.memory[stream] != known

    def test_memory_is_bounded_in_bytes(self, journal: Journal) -> None:
        """Few cases with long texts weigh as much as many small ones."""
        text = "x" * 10_000
        case = journal.answer_now(ask(Open(fields={"scope": text}))).case
        memory = Memory(journal.recorder, journal.mapper)
        for number in range(2 * MEMORY_BYTES_MAX // len(text)):
            memory.put(f"case:jobs/X-{number}", Known(1, case))
        memory.shrink()
        assert 0 < len(memory) * len(text) <= MEMORY_BYTES_MAX


class TestUnreadable:
    def test_an_event_of_another_time_hurts_its_own_stream_only(
        self, journal: Journal, other: Journal
    ) -> None:
        """Written behind our back, it fails who asks for its case, and nobody else."""
        opened = [ask(Open(), id=name) for name in ("C-known", "C-other")]
        together(journal, *opened)
        recorder = journal.recorder
        unreadable = StoredEvent("case:jobs/C-known", 2, "case.turned-blue.v9", b"{}")
        recorder.append([unreadable], after=recorder.last_position())
        for one in (journal, other):
            scope = tell(scope=f"by {id(one)}")
            told = [ask(scope, id=name) for name in ("C-known", "C-other")]
            fault, version = answers(together(one, *told))
            assert fault == "KeyError"
            assert int(version) > 1
            assert one.unavailable is None

    def test_a_key_that_cannot_be_unwrapped_hurts_its_own_case_only(self, database: str) -> None:
        """Wrapped by who knows whom, it fails who needs it, and nobody else of the batch."""
        names = [f"C-{number}" for number in range(3)]
        with journal_on(database) as journal:
            together(journal, *(ask(Open(fields={"email": "a@b.example"}), id=n) for n in names))
            recorder, stream = journal.recorder, case_stream("jobs", names[0])
            beside = StoredEvent("key:somebody", 1, "case.turned-blue.v9", b"{}")
            wrong = {stream: b"wrapped by who knows whom"}
            recorder.append([beside], after=recorder.last_position(), keys=wrong, forget=[stream])
        with journal_on(database) as again:
            told = together(again, *(ask(tell(email="c@d.example"), id=name) for name in names))
            assert answers(told) == ["WrongMasterKey", "2", "2"]
            assert again.unavailable is None


class TestErasing:
    def test_personal_values_survive_a_restart(self, database: str) -> None:
        """They are sealed in the log, and read by whoever has the keys."""
        with journal_on(database) as journal:
            journal.answer_now(ask(Open(fields={"email": "secret@example.com"})))
            (stored, *_) = journal.recorder.tail(0)
            assert b"secret" not in stored.state
        with journal_on(database) as again:
            case = again.answer_now(ask(Look())).case
            assert case.fields == {"email": "secret@example.com"}

    def test_what_was_erased_is_unreadable_ever_after(self, database: str) -> None:
        """In this process, in one that had it in memory, and after a restart."""
        with journal_on(database) as journal, journal_on(database) as other:
            journal.answer_now(ask(Open(fields={"email": "secret@example.com"})))
            assert other.answer_now(ask(Look())).case.fields["email"] == "secret@example.com"
            journal.answer_now(ask(erase(), "staff"))
            for one in (journal, other):
                assert one.answer_now(ask(Look())).case.fields == {"email": ERASED}
                assert replayed(one) == remembered(one)
            assert journal.recorder.wrapped_keys([case_stream("jobs", "C-1")]) == {}
        with journal_on(database) as again:
            assert again.answer_now(ask(Look())).case.fields == {"email": ERASED}

    @pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
    def test_what_is_told_after_an_erasing_stands(self, database: str, *, at_once: bool) -> None:
        """A value that is set again has a key of its own; what was before stays erased."""
        asks = [
            ask(Open(fields={"email": "a@example.com", "customer_name": "A. Customer"})),
            ask(tell(email="b@example.com")),
            ask(erase(), "staff"),
            ask(tell(email="c@example.com")),
            ask(tell(email="d@example.com")),
        ]
        fields = {"email": "d@example.com", "customer_name": ERASED}
        with journal_on(database) as journal:
            told = settled_as_people_ask(journal, asks) if at_once else one_by_one(journal, asks)
            assert answers(told) == ["1", "2", "3", "4", "5"]
            assert journal.answer_now(ask(Look())).case.fields == fields
        with journal_on(database) as again:
            assert again.answer_now(ask(Look())).case.fields == fields

    def test_two_processes_erase_and_tell_in_turns(self, journal: Journal, other: Journal) -> None:
        """A key that one process deleted, the other makes anew, and both read what stands."""
        journal.answer_now(ask(Open(fields={"email": "a@example.com"})))
        for number, (one, two) in enumerate([(journal, other), (other, journal)] * 2):
            one.answer_now(ask(erase(), "staff"))
            email = f"{number}@example.com"
            two.answer_now(ask(tell(email=email)))
            for reader in (one, two):
                assert reader.answer_now(ask(Look())).case.fields == {"email": email}
                assert replayed(reader) == remembered(reader)

    def test_a_forgotten_value_is_not_erased_but_unknown(self, database: str) -> None:
        """What was taken back before the erasing does not come back as erased after a restart."""
        with journal_on(database) as journal:
            journal.answer_now(ask(Open(fields={"email": "a@example.com"})))
            journal.answer_now(ask(tell(email=None)))
            journal.answer_now(ask(erase(), "staff"))
            assert journal.answer_now(ask(Look())).case.fields == {}
            assert replayed(journal) == remembered(journal)


class TestCounting:
    """How often the very same is refused."""

    REFUSALS = refusals_stream("jobs", "C-1")

    def counts(self, journal: Journal) -> list[int]:
        """What the log says of it, time after time."""
        events = [entry.event for entry in entries_of(journal, self.REFUSALS)]
        return [event.times for event in events if isinstance(event, Refused)]

    def refuse(self, journal: Journal, times: int) -> None:
        """Ask for what is not open."""
        for _ in range(times):
            with pytest.raises(TransitionNotOpen):
                journal.answer_now(ask(move("complete")))

    def test_the_log_knows_the_exact_number_once_there_is_time(self, journal: Journal) -> None:
        """What is repeated is written in steps; the rest as soon as nobody asks."""
        journal.answer_now(ask(Open()))
        self.refuse(journal, 17)
        until(lambda: self.counts(journal)[-1] == 17, "the number is written")
        self.refuse(journal, 1)
        until(lambda: self.counts(journal)[-1] == 18, "the number is written")
        assert len(self.counts(journal)) < 18

    def test_the_log_knows_the_exact_number_at_the_end(self, database: str) -> None:
        """Who stops writes down what is counted, also of what the case has left behind."""
        with journal_on(database) as journal:
            journal.answer_now(ask(Open()))
            self.refuse(journal, 13)
            journal.answer_now(ask(tell(scope="Boiler")))
            self.refuse(journal, 1)
        with journal_on(database) as again:
            assert set(self.counts(again)) >= {13, 1}
            self.refuse(again, 1)
            assert self.counts(again)[-1] == 2

    def test_what_two_processes_count_is_one_number(self, journal: Journal, other: Journal) -> None:
        """Each adds what it has seen to what stands in the log."""
        journal.answer_now(ask(Open()))
        for one, times in ((journal, 14), (other, 9), (journal, 8)):
            self.refuse(one, times)
        until(lambda: self.counts(journal)[-1] == 31, "the number is written")


def settled_as_people_ask(journal: Journal, asks: list[Ask]) -> list[Outcome]:
    """Ask all at once, so that the writer takes together what it may."""

    async def all_at_once() -> list[Outcome]:
        return [*await asyncio.gather(*map(journal.answer, asks), return_exceptions=True)]

    return asyncio.run(all_at_once())


def one_by_one(journal: Journal, asks: list[Ask]) -> list[Outcome]:
    return [journal.answer_now(one) for one in asks]
