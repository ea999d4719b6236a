"""What is promised of every read model: kept up to date, disposable, hurt by nobody's bad event."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lifecycle.case import Case
from lifecycle.changes import Correct, Erase, Move, SetFields, TakeReference
from lifecycle.model import Lifecycle
from projections.board import Board
from projections.follower import MadeOtherwise, adopted, follow, lag
from projections.lookout import Lookout
from projections.store import BeingRebuilt, open_store
from projections.tables import follower as tables
from projections.views import CaseView, case_view
from projections.worker import RESTORED_SECONDS, keep, rebuilt
from tests.databases import NewDatabase, Postgres
from tests.projections.following import Following, following, job
from tests.projections.stories import MORNING, Story, lifecycles, sample, whole_job
from tests.running import until

LATER = MORNING + timedelta(days=30)


@pytest.fixture
def log(new_database: NewDatabase) -> Iterator[Following]:
    with following(new_database()) as opened:
        yield opened


@pytest.fixture
def sqlite_log(new_sqlite: NewDatabase) -> Iterator[Following]:
    with following(new_sqlite()) as opened:
        yield opened


def unreadable(case_id: str, version: int) -> StoredEvent:
    """An event that a program of another time has written."""
    return StoredEvent(f"case:jobs/{case_id}", version, "case.turned-blue.v9", b"{}")


def cases(log: Following) -> list[CaseView]:
    """The cases on the board as they are shown, newest first."""
    return [shown(row.case) for row in log.board()]


def shown(case: Case, position: int | None = None) -> CaseView:
    """A case as everybody sees it; told in a test, it does not know its place in the log."""
    (lifecycle,) = [one for one in lifecycles().values() if one.name == case.lifecycle]
    placed = replace(case, position=case.position if position is None else position)
    return case_view(placed, lifecycle, LATER)


class TestFollowing:
    def test_what_stands_in_the_log_stands_on_the_board(self, log: Following) -> None:
        """A case on the board is the case that its events make, in every member."""
        story = whole_job()
        log.written(story).followed()
        (row,) = log.board()
        assert shown(row.case) == shown(story.case)
        assert row.opened == 1

    def test_a_follower_goes_on_where_another_ended(self, log: Following) -> None:
        """Followers share one position: what one has read, the next does not read again."""
        story = job("J-1")
        log.written(story).followed()
        first, second = log.follower(), log.follower()
        log.told(story.says("accounting", deposit_due="5.00 USD").entries[-1:])
        assert first.step()
        log.told(story.says("accounting", deposit_paid="1.00 USD").entries[-1:])
        assert second.step()
        assert second.position == log.journal.recorder.last_position()
        assert cases(log) == [shown(story.case, log.store.position())]

    def test_two_at_once_write_nothing_twice(self, log: Following) -> None:
        """Whoever does not get hold of the position writes nothing, and catches up."""
        stories = [job(f"J-{number}") for number in range(200)]
        stop = threading.Event()
        lookout = Lookout(log.journal.recorder, stop)
        threads = [
            threading.Thread(target=follow, args=(log.follower(), lookout, stop, lambda: None))
            for _ in range(3)
        ]
        threads.append(threading.Thread(target=lookout.watch))
        for thread in threads:
            thread.start()
        for story in stories:
            log.written(story)
        last = log.journal.recorder.last_position()
        until(lambda: log.store.position() == last, "all is followed")
        stop.set()
        for thread in threads:
            thread.join()
        assert log.listed() == [story.id for story in reversed(stories)]
        assert log.stale() == []

    def test_it_has_caught_up_only_where_nothing_is_left(self, postgres: Postgres) -> None:
        """Where another follower is at it, what it has not committed yet is still to come."""
        with following(postgres.new()) as log:
            follower = log.written(job("J-1")).follower()
            with log.store.following() as another:
                assert another is not None
                assert (follower.step(), follower.is_current) == (False, False)
            assert (follower.step(), follower.is_current) == (True, False)
            assert (follower.step(), follower.is_current) == (False, True)

    def test_readiness_is_said_once_all_is_followed(self, sqlite_log: Following) -> None:
        """Whoever waits for the read models hears of it when they hold what the log does."""
        follower, stop = sqlite_log.written(job("J-1")).follower(), threading.Event()
        reached: list[int] = []

        def caught_up() -> None:
            reached.append(sqlite_log.store.position())
            stop.set()

        lookout = Lookout(sqlite_log.journal.recorder, stop)
        follow(follower, lookout, stop, lambda: None, caught_up=caught_up)
        assert reached == [sqlite_log.journal.recorder.last_position()]

    def test_it_goes_on_at_once_only_where_there_is_more(
        self, sqlite_log: Following, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What fits into one batch is all there is; behind a full one there may be more."""
        story = whole_job()
        monkeypatch.setattr("projections.follower.BATCH_EVENTS_MAX", len(story.entries) - 1)
        follower = sqlite_log.written(story).follower()
        behind = [follower.is_behind for _ in iter(follower.step, False)]
        assert behind == [True, False]
        assert follower.position == sqlite_log.journal.recorder.last_position()

    def test_a_refusal_changes_nothing_on_the_board(self, log: Following) -> None:
        """What was refused moves the position on, and no case."""
        story = job("J-1")
        log.written(story).followed()
        before = log.board()
        log.told(story.makes("crm", "complete").entries[-1:]).followed()
        assert log.board() == before
        assert log.store.position() == log.journal.recorder.last_position()

    def test_it_says_how_far_it_is_behind(self, log: Following) -> None:
        """The lag is counted in events, and in seconds since the first that is not known."""
        log.written(job("J-1"))
        recorder = log.journal.recorder
        behind = lag(recorder, log.store, MORNING)
        assert (behind.events, behind.seconds) == (1, 0.0)
        log.followed()
        assert lag(recorder, log.store, MORNING).events == 0

    def test_rows_made_with_other_definitions_are_left_alone(self, log: Following) -> None:
        """Who knows other definitions than the rows were derived with writes nothing."""
        log.written(job("J-1"))
        jobs = log.lifecycles["jobs"]
        log.lifecycles = {"jobs": Lifecycle(replace(jobs.declaration, version=2, reactions=()))}
        with pytest.raises(MadeOtherwise):
            log.follower().step()
        assert log.listed() == []

    def test_definitions_that_nobody_adopted_otherwise_decide(self, log: Following) -> None:
        """A log without adopted definitions contradicts none."""
        assert adopted(log.journal.recorder, log.journal.mapper, log.lifecycles)


class TestBadEvents:
    def test_an_event_that_cannot_be_read_parks_its_case_only(self, log: Following) -> None:
        """The case stands as it stood, named as stale; the others go on."""
        bad, good = job("J-bad"), job("J-good")
        log.written(bad, good).followed()
        before = cases(log)[1]
        log.stored([unreadable("J-bad", 2)])
        log.told(good.says("accounting", deposit_due="5.00 USD").entries[-1:]).followed()
        assert cases(log) == [shown(good.case, 4), before]
        ((model, collection, case_id, position, error),) = log.stale()
        assert (model, collection, case_id, position) == ("board", "jobs", "J-bad", 3)
        assert "case.turned-blue.v9" in error

    def test_a_history_that_does_not_follow_on_parks_its_case_only(self, log: Following) -> None:
        """A version that is missing is not read over."""
        bad, good = job("J-bad"), job("J-good")
        bad.says("accounting", deposit_due="5.00 USD").says("accounting", deposit_paid="5.00 USD")
        log.told(bad.entries[:1]).told(bad.entries[2:]).written(good).followed()
        assert log.listed() == ["J-good"]
        assert [row[2] for row in log.stale()] == ["J-bad"]

    def test_a_value_that_the_database_refuses_parks_its_case_only(self, log: Following) -> None:
        """PostgreSQL takes no text with a NUL: the case is parked there, and nothing stops."""
        good = job("J-good")
        scope = "nul \0 nul"
        (bad,) = job("J-bad").entries
        odd = replace(bad.event, fields={"scope": scope}, references={"crm": (scope,)})
        log.told([replace(bad, event=odd)]).written(good).followed()
        assert "J-good" in log.listed()
        named = {*log.listed(), *(row[2] for row in log.stale())}
        assert named == {"J-good", "J-bad"}

    def test_a_parked_case_is_left_alone_until_a_rebuild_mends_it(self, log: Following) -> None:
        """What comes after is not built on what could not be read; a rebuild begins anew."""
        story = job("J-1")
        log.written(story).followed()
        with log.store.following() as session:
            assert session is not None
            session.run(
                tables.INSERT_STALE,
                model="board",
                collection="jobs",
                id="J-1",
                position=1,
                error="-",
            )
        log.told(story.says("accounting", deposit_due="5.00 USD").entries[-1:]).followed()
        assert log.board()[0].case.version == 1
        list(rebuilt(log.journal, log.store))
        assert cases(log) == [shown(story.case, log.store.position())]
        assert log.stale() == []

    def test_what_was_parked_before_a_rebuild_is_not_parked_after_it(self, log: Following) -> None:
        """A follower that knew a case as parked goes on with it, also if the log was quiet."""
        story = job("J-1")
        log.written(story)
        follower = log.follower()
        assert follower.step()
        with log.store.following() as session:
            assert session is not None
            parked = {"model": "board", "collection": "jobs", "id": "J-1"}
            session.run(tables.INSERT_STALE, **parked, position=1, error="-")
        other = job("J-2")
        log.written(other)
        fresh = log.follower()
        assert fresh.step()
        list(rebuilt(log.journal, log.store))
        log.told(story.says("accounting", deposit_due="5.00 USD").entries[-1:])
        assert fresh.step()
        assert log.board(words=("j", "1"))[0].case.version == 2
        assert log.stale() == []

    def test_a_key_that_opens_nothing_parks_its_case_only(self, log: Following) -> None:
        """A key of the vault that our master key did not wrap is its case's trouble alone."""
        bad, good = job("J-bad"), job("J-good")
        mapper, recorder = log.journal.mapper, log.journal.recorder
        events = [mapper.to_stored_event(one) for one in (*bad.entries, *good.entries)]
        keys = dict(mapper.vault.made()) | {"case:jobs/J-bad": bytes(60)}
        recorder.append(events, after=recorder.last_position(), keys=keys)
        mapper.vault.settle(stored=True)
        log.followed()
        assert log.listed() == ["J-good"]
        assert [row[2] for row in log.stale()] == ["J-bad"]

    def test_a_parked_case_that_is_erased_leaves_nothing(self, log: Following) -> None:
        """Nothing that was erased stays, also where nothing else could be read."""
        story = job("J-1")
        log.written(story).followed()
        log.stored([unreadable("J-1", 2)]).followed()
        story.then("staff", Erase(reason="asked to"))
        last = story.entries[-1]
        event = log.journal.mapper.to_stored_event(replace(last, version=3))
        log.stored([event]).followed()
        assert log.listed() == []
        assert log.listed(words=("bakery",)) == []


class TestRebuilding:
    def test_a_rebuild_makes_the_same_rows(self, log: Following) -> None:
        """The read models are a function of the log."""
        log.written(whole_job(), job("J-2")).followed()
        before = log.everything()
        assert list(rebuilt(log.journal, log.store))[-1] == log.journal.recorder.last_position()
        assert log.everything() == before

    def test_the_old_ones_are_read_and_followed_meanwhile(self, log: Following) -> None:
        """Nobody waits for a rebuild, and nothing that happens meanwhile is missing after it."""
        story = job("J-1")
        log.written(story)
        follower = log.follower()
        steps = rebuilt(log.journal, log.store)
        next(steps)
        assert log.listed() == []
        assert follower.step()
        assert log.listed() == ["J-1"]
        log.told(story.says("accounting", deposit_due="5.00 USD").entries[-1:])
        list(steps)
        assert cases(log) == [shown(story.case, log.store.position())]
        log.told(story.says("accounting", deposit_paid="1.00 USD").entries[-1:])
        while follower.step():
            continue
        assert cases(log) == [shown(story.case, log.store.position())]

    def test_one_rebuilds_at_a_time(self, log: Following) -> None:
        """A second rebuild is refused while one is at it, and not after."""
        log.written(job("J-1"))
        steps = rebuilt(log.journal, log.store)
        next(steps)
        other = open_store(log.database, log.lifecycles)
        with pytest.raises(BeingRebuilt):
            list(rebuilt(log.journal, other))
        list(steps)
        list(rebuilt(log.journal, other))
        other.close()
        assert log.listed() == ["J-1"]

    def test_a_worker_waits_for_the_rebuild_of_another(self, log: Following) -> None:
        """Two find that the log was restored: one makes the lists anew, both go on after it."""
        log.written(job("J-1")).followed()
        last = log.journal.recorder.last_position()
        with log.store.following() as session:
            assert session is not None
            session.run(tables.UPDATE_FOLLOWED, position=last + 100, seen_at="", erased=0)
        steps = rebuilt(log.journal, log.store)
        next(steps)
        stop = threading.Event()
        lookout = Lookout(log.journal.recorder, stop)
        worker = threading.Thread(target=keep, args=(log.journal, log.database, lookout, stop))
        worker.start()
        try:
            worker.join(10 * RESTORED_SECONDS)
            assert worker.is_alive()
            list(steps)
            log.written(job("J-2"))
            until(lambda: log.listed() == ["J-2", "J-1"], "it follows what was rebuilt")
        finally:
            stop.set()
            worker.join()

    def test_a_rebuild_that_is_given_up_leaves_everything_as_it_was(self, log: Following) -> None:
        """Whatever happens to a rebuild, the rows in place are whole."""
        log.written(job("J-1")).followed()
        steps = rebuilt(log.journal, log.store)
        next(steps)
        steps.close()  # type: ignore[attr-defined]  # of the kind that is meant here
        assert log.listed() == ["J-1"]
        list(rebuilt(log.journal, log.store))
        assert log.listed() == ["J-1"]

    def test_tables_of_an_older_version_are_made_anew(self, log: Following) -> None:
        """What an older program made is thrown away, and built from the log."""
        log.written(job("J-1")).followed()
        with log.store.following() as session:
            assert session is not None
            session.run("UPDATE {views}.followed SET schema_version = 0")
        log.store.close()
        log.store = open_store(log.database, log.lifecycles)
        assert log.store.position() == 0
        assert log.followed().listed() == ["J-1"]

    @pytest.mark.parametrize("damage", ["lost", "torn", "empty", "dangling"])
    def test_a_file_that_is_damaged_is_made_anew(self, sqlite_log: Following, damage: str) -> None:
        """Read models that fail their check at the start are built again from the log."""
        log = sqlite_log
        log.written(job("J-1")).followed()
        log.store.close()
        path = Path(f"{log.database.removeprefix('sqlite:///')}-views.db")
        match damage:
            case "lost":
                path.unlink()
            case "torn":
                path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 5000)
            case "empty":
                path.write_bytes(b"")
            case "dangling":
                path.resolve().unlink()
        log.store = open_store(log.database, log.lifecycles, checking=True)
        assert log.store.position() == 0
        assert log.followed().listed() == ["J-1"]


class TestErasing:
    def test_no_byte_of_what_was_erased_stays_in_the_file(self, sqlite_log: Following) -> None:
        """After an erasing neither the file nor its write-ahead log holds a value."""
        log, random = sqlite_log, Random(7)  # noqa: S311 - the same lives every time
        stories = [
            job(
                f"J-{number}",
                customer_name=f"Secretive{number}",
                scope="x" * random.randrange(1, 200),
            )
            for number in range(500)
        ]
        random.shuffle(stories)
        follower = log.follower()
        for start in range(0, len(stories), 50):  # pages are filled, split and balanced
            log.written(*stories[start : start + 50])
            for story in random.sample(stories[: start + 50], 20):
                more = {"customer_name": f"Secretive Zephyrine{start}", "scope": "y" * 400}
                log.told(story.says("crm", **more).entries[-1:])
            assert follower.step()
        log.written(job("K-1", customer_name="Plainly")).followed()
        random.shuffle(stories)
        for number, story in enumerate(stories):
            log.erased(story.then("staff", Erase(reason="asked to")))
            if number % 20 == 0:
                assert follower.step()

        def left() -> list[bytes]:
            follower.step()
            files = Path(log.database.removeprefix("sqlite:///")).parent.glob("*-views*")
            found = b"".join(file.read_bytes() for file in files if file.is_file()).lower()
            assert b"plainly" in found
            return [value for value in (b"secretive", b"zephyrine") if value in found]

        until(lambda: not left(), "nothing is left")

    def test_an_erased_case_is_found_by_its_id_only(self, log: Following) -> None:
        """Its personal words lead nowhere; its id and its references still do."""
        story = job("J-7", customer_name="Secretive Zephyrine")
        log.written(story).followed()
        assert log.listed(words=("secretive",)) == ["J-7"]
        log.erased(story.then("staff", Erase(reason="asked to"))).followed()
        assert log.listed(words=("secretive",)) == []
        assert log.listed(words=("j", "7")) == ["J-7"]
        assert set(log.board()[0].case.fields.values()) == {"erased"}


# --- the law ------------------------------------------------------------------------------------


@st.composite
def walks(draw: st.DrawFn) -> list[Story]:
    """Cases of the shipped lifecycles, each with a random life."""
    told: list[Story] = []
    for number in range(draw(st.integers(1, 4))):
        lifecycle = draw(st.sampled_from(sorted(lifecycles().values(), key=lambda one: one.name)))
        opener = lifecycle.ownership.openers(lifecycle.chart.initial)[0]
        story = Story(lifecycle, f"C-{number}").opened(opener)
        for _ in range(draw(st.integers(0, 8))):
            _live(draw, story)
        told.append(story)
    return told


def _live(draw: st.DrawFn, story: Story) -> None:
    lifecycle = story.lifecycle
    names = sorted(name for name, one in lifecycle.fields.items() if one.type != "case")
    match draw(st.sampled_from(["move", "set", "forget", "refer", "correct", "erase"])):
        case "move":
            rows = lifecycle.chart.open_rows(story.case.states)
            if rows:
                row = lifecycle.chart.rows[draw(st.sampled_from(rows))]
                given = {name: sample(lifecycle, name) for name in row.requires}
                story.then("staff", Move(transition=row.name, fields=given, reason="so"))
        case "set":
            name = draw(st.sampled_from(names))
            given = {name: sample(lifecycle, name)}
            story.then("staff", SetFields(fields=given, reason="so"))
        case "forget":
            name = draw(st.sampled_from(names))
            story.then("staff", SetFields(fields={name: None}, reason="so"))
        case "refer":
            tool = draw(st.sampled_from(sorted(lifecycle.declaration.tools)))
            ref = f"R-{draw(st.integers(1, 3))}"
            story.then("staff", TakeReference(tool=tool, ref=ref, reason="so"))
        case "correct":
            state = draw(st.sampled_from(sorted(lifecycle.chart.configurations)))
            story.then("staff", Correct(state="+".join(state), reason="so"))
        case "erase":
            story.then("staff", Erase(reason="so"))


class TestTheLaw:
    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(stories=walks(), batch=st.integers(1, 7))
    def test_replayed_in_any_portions_the_log_makes_the_same_rows(
        self, new_database: NewDatabase, stories: list[Story], batch: int
    ) -> None:
        """However the log is cut into batches, and from wherever it is replayed: the same rows."""
        with following(new_database()) as log:
            entries = [entry for story in stories for entry in story.entries]
            entries.sort(key=lambda entry: entry.event.recorded_at)
            follower = log.follower()
            for start in range(0, len(entries), batch):
                log.told(entries[start : start + batch])
                assert follower.step()
            grown = log.everything()
            list(rebuilt(log.journal, log.store))
            assert log.everything() == grown
            for story in stories:
                rows = log.board(story.lifecycle.collection)
                (row,) = [row for row in rows if row.case.id == story.id]
                assert shown(row.case) == shown(story.case, row.case.position)

    def test_every_read_model_is_named_in_the_law(self) -> None:
        """A read model that is added is replayed here too."""
        assert Board.name == "board"
