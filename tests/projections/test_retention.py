"""How a message came is kept for as long as is declared, and what it meant for ever."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event as Signal
from threading import Thread

from msgspec.structs import replace

from api.verifying import verify
from lifecycle.adoption import adopt
from lifecycle.asks import Ask
from lifecycle.definition import read
from lifecycle.events import ERASED, Asker, DefinitionAdopted, Heard, MessagesLetGo
from lifecycle.journal import Record
from lifecycle.known import Known
from lifecycle.messages import Hear
from lifecycle.model import Lifecycle
from lifecycle.reports import Report
from lifecycle.streams import definition_stream, retention_stream
from projections.retention import LettingGo, let_go
from tests.databases import NewDatabase
from tests.lifecycle.given import DEFINITIONS, asker, shipped
from tests.projections.carrying import PutForward
from tests.projections.following import Following
from tests.running import WAIT_SECONDS_MAX, until

RAW = b'{"dealname": "Harbour Bakery"}'
PAGE = 200
DAY = timedelta(days=1)
EMAIL = "till@harbour.example"


def keeping(**retention: str) -> dict[str, Lifecycle]:
    """The shipped lifecycles by collection, some with a retention of their own."""
    return {
        one.collection: Lifecycle(replace(one.declaration, retention=retention.get(one.collection)))
        for one in shipped().values()
    }


def written(name: str, version: str) -> Lifecycle:
    """A shipped lifecycle by its file, with this in the place of its version."""
    text = (DEFINITIONS / f"{name}.yaml").read_text().replace("version: 1", version, 1)
    return Lifecycle(read(text.encode(), name)[0], text)


def heard(name: str, tool: str) -> Hear:
    """A message about a record that nobody has linked to a case."""
    report = Report(tool=tool, ref=f"R-{name}", event_id=name, fields={"email": EMAIL})
    return Hear(report=report, arrival=name, new_id=f"N-{name}", raw=RAW)


class Kept(Following):
    """A log that hears, whose clock can be put forward."""

    def __init__(self, database: str, shape: dict[str, Lifecycle] | None = None) -> None:
        super().__init__(database, shape or keeping())
        self.journal.clock = self.clock = PutForward()

    def later(self, days: int) -> None:
        """Let so many days pass."""
        self.clock.ahead += days * DAY

    def heard(self, *names: str, collection: str = "jobs", tool: str = "crm") -> "Kept":
        """Hear a message for each of these names; nobody knows whom it is about."""
        for first in range(0, len(names), 100):
            asks = [
                Ask(asker=asker(tool), collection=collection, what=heard(name, tool))
                for name in names[first : first + 100]
            ]
            for outcome in self.journal.answer_many_later(asks, 0).result():
                assert not isinstance(outcome, BaseException), outcome
        return self

    def raw(self, name: str, tool: str = "crm") -> bytes | None:
        """How a message came, as far as that can be read."""
        (stored, *_) = self.journal.recorder.streams([f"message:{tool}/{name}"])
        return self.journal.mapper.raw(stored)

    def let_go(self) -> list[int]:
        """Let go of what is due, as a worker that has just started."""
        return [number for number in LettingGo(self.journal).pages() if number]

    def recorded(self, collection: str = "jobs") -> list[MessagesLetGo]:
        """What the log says of it."""
        stored = self.journal.recorder.streams([retention_stream(collection)])
        events = [self.journal.mapper.to_domain_event(one).event for one in stored]
        return [one for one in events if isinstance(one, MessagesLetGo)]


@contextmanager
def kept(database: str, shape: dict[str, Lifecycle] | None = None) -> Iterator[Kept]:
    log = Kept(database, shape)
    try:
        yield log
    finally:
        log.close()


def test_how_a_message_came_is_let_go_of_at_the_end_of_its_time(new_database: NewDatabase) -> None:
    """After ninety days where nothing is declared; what came later is kept."""
    with kept(new_database()) as log:
        log.heard("old")
        log.later(days=60)
        log.heard("young")
        log.later(days=29)
        assert log.let_go() == []
        assert log.raw("old") == RAW
        log.later(days=2)
        assert log.let_go() == [1]
        assert (log.raw("old"), log.raw("young")) == (None, RAW)
        assert log.let_go() == []


def test_each_lifecycle_has_its_own_time(new_database: NewDatabase) -> None:
    """Messages of several collections stand in one log, each kept for as long as is declared."""
    with kept(new_database(), keeping(jobs="7 days", policies="2 weeks")) as log:
        log.heard("a").heard("b", collection="policies", tool="ams").heard("c")
        log.later(days=8)
        assert log.let_go() == [2]
        assert (log.raw("a"), log.raw("b", "ams"), log.raw("c")) == (None, RAW, None)
        log.later(days=7)
        assert log.let_go() == [1]
        assert log.raw("b", "ams") is None


def test_what_is_declared_no_longer_is_let_go_of_in_its_time(new_database: NewDatabase) -> None:
    """A definition that was taken away still says how long its messages are kept."""
    database = new_database()
    shape = {
        "jobs": written("field_service", "version: 1\nretention: 7 days"),
        "policies": written("insurance_policy", "version: 1"),
    }
    with kept(database, shape) as log:
        adopt(log.journal, shape.values())
        log.heard("a").heard("b", collection="policies", tool="ams")
    with kept(database, {"clients": keeping()["clients"]}) as log:
        log.later(days=8)
        assert log.let_go() == [1]
        assert (log.raw("a"), log.raw("b", "ams")) == (None, RAW)
        log.later(days=83)
        assert log.let_go() == [1]
        assert log.raw("b", "ams") is None


def test_a_text_that_nobody_can_read_any_more_changes_no_retention(
    new_database: NewDatabase,
) -> None:
    """What was said before holds, and everything else is let go of in its time."""
    database = new_database()
    shape = {"jobs": written("field_service", "version: 1\nretention: 7 days")}

    def adopted(_: Known, now: datetime) -> DefinitionAdopted:
        return DefinitionAdopted(
            recorded_at=now,
            by=Asker(),
            lifecycle="field_service",
            version=2,
            digest="d",
            text="jobs: of another time",
        )

    with kept(database, shape) as log:
        adopt(log.journal, shape.values())
        log.heard("a")
        log.journal.record_now(Record(definition_stream("field_service"), adopted))
    with kept(database, {"clients": keeping()["clients"]}) as log:
        log.later(days=8)
        assert log.let_go() == [1]


def test_much_is_let_go_of_in_small_appends_and_once(new_database: NewDatabase) -> None:
    """So nobody waits long for one; a worker that starts anew goes on where the log says."""
    database = new_database()
    names = [f"m{number:03}" for number in range(PAGE + 50)]
    with kept(database) as log:
        log.heard(*names)
        log.later(days=91)
        assert next(page for page in LettingGo(log.journal).pages() if page) == PAGE
    with kept(database) as log:
        assert log.raw(names[PAGE]) == RAW
        log.later(days=91)
        assert log.let_go() == [50]
        assert {log.raw(name) for name in names} == {None}
        assert [one.messages for one in log.recorded()] == [PAGE, 50]


def test_of_several_workers_one_lets_go(new_database: NewDatabase) -> None:
    """Who comes second finds in the log that it is done."""
    database = new_database()
    with kept(database) as log, kept(database) as other:
        log.heard(*(f"m{number}" for number in range(PAGE + 50)))
        for one in (log, other):
            one.later(days=91)
        workers = [Thread(target=one.let_go) for one in (log, other)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(WAIT_SECONDS_MAX)
        assert [one.messages for one in log.recorded()] == [PAGE, 50]


def test_another_process_serves_no_key_that_it_remembers(new_database: NewDatabase) -> None:
    """Who has read a message before cannot read it again once its key is gone."""
    database = new_database()
    with kept(database) as log, kept(database) as other:
        log.heard("a")
        until(lambda: other.raw("a") == RAW, "the other has read it")
        log.later(days=91)
        assert log.let_go() == [1]
        until(lambda: other.raw("a") is None, "the other has forgotten it")


def test_what_a_message_meant_stays(new_database: NewDatabase) -> None:
    """It can still be read and verified; only what nobody took from it in time reads `erased`."""
    with kept(new_database()) as log:
        log.heard("a")
        before = log.followed().everything()["messages"]
        log.later(days=91)
        log.let_go()
        assert log.followed().everything()["messages"] == before
        heard = log.journal.mapper.to_domain_event(
            log.journal.recorder.streams(["message:crm/a"])[0]
        ).event
        assert isinstance(heard, Heard)
        assert (heard.outcome, heard.personal) == ("parked", {"email": ERASED})
        report = verify(log.journal, log.store, lambda _done, _total: None)
        assert not report.problems


def test_it_is_let_go_of_while_a_worker_runs(new_sqlite: NewDatabase) -> None:
    """As soon as one starts, and until it is told to stop."""
    with kept(new_sqlite()) as log:
        log.heard("a")
        log.later(days=91)
        stop = Signal()
        worker = Thread(target=let_go, args=(log.journal, stop))
        worker.start()
        until(lambda: log.raw("a") is None, "it is let go of")
        stop.set()
        worker.join(WAIT_SECONDS_MAX)
        assert not worker.is_alive()
