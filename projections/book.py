"""The courier's book: what is still to be told, how often it was tried, and who is at it.

It is made from the log and follows it, rows and position in one commit; what it knows beyond the
log (attempts, holds, breakers) is lost with it at worst, and a notice is then tried once more. It
is no read model: no rebuild touches a hold. On SQLite it is the file `<database file>-courier.db`,
on PostgreSQL the schema `<schema>_courier`.

Any number of couriers share it. Who takes a notice holds it for seconds and says so again and
again; of one that was killed the hold ends, and another goes on. What has ended is seen in the log
and struck out, by whoever follows next; so due = delivered + superseded + given-up + waiting, for
every tool, at every moment (`Book.tallies`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import astuple, replace

from lifecycle.drift import FIGHT
from lifecycle.events import (
    DriftFound,
    DriftResolved,
    Entry,
    FlowFailing,
    FlowRecovered,
    FlowStarted,
    FlowStopped,
    NoticeDelivered,
    NoticeDue,
    NoticeGivenUp,
    NoticeRecovered,
    NoticeSuperseded,
    OfNotice,
    ReactionDropped,
    ReactionPlanned,
)
from projections.patience import Flow, millis, started, turn
from projections.shelf import Shelf, open_shelf
from projections.store import Session, as_json
from projections.tables import book as tables

TOPICS = tuple(
    kind.TOPIC
    for kind in (
        *(NoticeDue, NoticeDelivered, NoticeSuperseded, NoticeGivenUp, NoticeRecovered),
        *(ReactionPlanned, ReactionDropped, FlowFailing, FlowRecovered, FlowStopped, FlowStarted),
        *(DriftFound, DriftResolved),
    )
)
"""What the book reads of the log."""

HOLD = 6000
"""How long who takes a notice holds it, in milliseconds, unless it says so again."""
PLANS_MAX = 100
ALERT_AGE_MAX = 3_600_000
"""What happened longer ago is no news to a steward: a book that is made anew tells nothing old."""
GIVEN_UP_AGAIN = 86_400_000
"""Of several notices that were given up a steward is told once a day."""


class Waiting(Struct, frozen=True, array_like=True):
    """A notice that has not ended; see `tables.BOOK_TABLES`."""

    id: str
    due: int
    turn: int
    tool: str
    collection: str
    line: str
    """Its case, like `jobs/J-1042`: what one tool is told of one case goes in order."""
    state: str = "waiting"
    attempts: int = 0
    recovered: int = 0
    ready_at: int | None = None
    holder: str = ""
    why: str = ""
    """What became of the last attempt."""
    sent_at: int | None = None
    """When the first attempt began; None where nothing was sent, or not since it was recovered."""


class Taken(Struct, frozen=True):
    """Notices that one courier holds now, of one tool."""

    rows: Sequence[Waiting]
    """As they were before."""
    flow: Flow
    probe: bool
    next_look: int | None = None
    """When there may be more; None: not before the log says so."""


class Plan(Struct, frozen=True):
    """A reaction whose time has come."""

    id: str
    tool: str
    line: str


class Alert(Struct, frozen=True):
    """Something that a steward is to be told."""

    position: int
    at: int
    tool: str
    what: str
    """`failing`, `recovered`, `stopped` or `given-up`; `fight`, `fought` once that is over, and
    `peace`, which says so."""
    why: str
    """Of a fight where it is, like `jobs/J-1042 dealstage`."""
    steward: str
    attempts: int


class Followed(Struct, frozen=True):
    """What following the log has changed."""

    position: int
    events: int = 0
    tools: frozenset[str] = frozenset()
    """The tools for which something is to be done."""


class Book:
    """The book, open; its methods may be called from any thread, one at a time.

    Every method raises `StorageUnavailable` where the database cannot be used.
    """

    def __init__(self, shelf: Shelf) -> None:
        """Take it from where it stands."""
        self._shelf = shelf

    def position(self) -> int:
        """How far it has followed the log."""
        with self._shelf.reading() as session:
            return int(session.rows(tables.SELECT_BOOK)[0][0])

    def follow(
        self, read: Callable[[int], tuple[Sequence[Entry], int]], now: int
    ) -> Followed | None:
        """Take in what is new in the log; None while another courier does so.

        `read` gives the entries behind a position, and the position that they lead up to.
        """
        with self._shelf.writing() as session:
            locked = session.rows(tables.LOCK_BOOK)
            if not locked:
                return None
            position = int(locked[0][0])
            entries, upto = read(position)
            if upto == position:
                return Followed(upto)
            tools = _Page(session, entries, now).written() if entries else frozenset[str]()
            session.run(tables.UPDATE_BOOK, position=upto)
            return Followed(upto, len(entries), tools)

    def take(
        self,
        tool: str,
        collections: Sequence[str],
        *,
        holder: str,
        now: int,
        free: int,
        interval: float,
    ) -> Taken | None:
        """Hold what the tool may be told now; None while another courier looks."""
        with self._shelf.writing() as session:
            flow = _locked_flow(session, tool)
            if flow is None:
                return None
            now_allowed = turn(flow, now, free, interval)
            rows: list[Waiting] = []
            statement = tables.SELECT_PROBE if now_allowed.probe else tables.SELECT_READY
            for collection in collections:
                if len(rows) < now_allowed.most:
                    rows += _waiting(
                        session, statement, tool=tool, collection=collection, now=now,
                        most=now_allowed.most - len(rows),
                    )  # fmt: skip
            if rows:
                ids = _names([row.id for row in rows])
                until = now + HOLD
                session.run(tables.UPDATE_TAKEN, ids=ids, holder=holder, until=until, now=now)
                flow = started(flow, now, len(rows), interval, HOLD)
                _write_flow(session, flow)
            look = _next_look(session, flow, collections)
            return Taken(rows, flow, now_allowed.probe, look)

    def hold(self, ids: Sequence[str], holder: str, until: int) -> None:
        """Go on holding these."""
        with self._shelf.writing() as session:
            session.run(tables.UPDATE_HELD, ids=_names(ids), holder=holder, until=until)

    def later(
        self, row: Waiting, holder: str, *, attempts: int, ready_at: int, why: str, now: int
    ) -> None:
        """Let go of a notice until then; one that was superseded under way is struck out.

        `row` says when it was first sent, or that it never was.
        """
        with self._shelf.writing() as session:
            session.run(
                tables.UPDATE_LATER,
                id=row.id,
                holder=holder,
                attempts=attempts,
                ready_at=ready_at,
                why=why[:WHY_LENGTH_MAX],
                sent_at=row.sent_at,
            )
            session.run(tables.DELETE_RELEASED, id=row.id, holder=holder)
            session.run(tables.UPDATE_FIRST, lines=as_json([(row.tool, row.line)]), now=now)

    def change_flow(self, tool: str, change: Callable[[Flow], Flow]) -> Flow:
        """Note how it goes with a tool now."""
        with self._shelf.writing() as session:
            session.run(tables.INSERT_FLOW, tool=tool)
            flows = {flow.tool: flow for flow in _flows(session)}
            flow = change(flows[tool])
            _write_flow(session, flow)
            return flow

    def due_at(self, collections: Mapping[str, Sequence[str]]) -> Mapping[str, int]:
        """When the next notice of each tool and its collections may be told, or tried early.

        Tools that wait for none are left out. It is only a look, at a small part of what it costs
        to `take`: which may find that the tool wants to be left alone.
        """
        lines = as_json([(tool, name) for tool, names in collections.items() for name in names])
        found: dict[str, int] = {}
        with self._shelf.reading() as session:
            for tool, ready_at, open_until in session.rows(tables.SELECT_DUE_AT, lines=lines):
                due_at = int(ready_at if open_until is None else open_until)
                found[tool] = min(due_at, found.get(tool, due_at))
        return found

    def plans_due(self, now: int, collections: Sequence[str]) -> Sequence[Plan]:
        """The reactions of cases of these collections whose time has come.

        Those of a collection that is no longer declared wait: it may be again.
        """
        with self._shelf.reading() as session:
            values = {"collections": _names(collections), "now": now, "most": PLANS_MAX}
            return [Plan(*row) for row in session.rows(tables.SELECT_PLANS_DUE, **values)]

    def alert(self, now: int) -> Alert | None:
        """Take the first that a steward is to be told now; it comes again unless it is `told`.

        One at a time: telling may take long, and nobody else is to tell it meanwhile.
        """
        with self._shelf.writing() as session:
            rows = session.rows(tables.SELECT_ALERTS, now=now, most=1)
            if not rows:
                return None
            alert = Alert(*rows[0])
            session.run(
                tables.UPDATE_ALERT,
                position=alert.position,
                attempts=alert.attempts + 1,
                ready_at=now + min(ALERT_WAIT * 2**alert.attempts, ALERT_WAIT_MAX),
            )
            return alert

    def told(self, alert: Alert, now: int) -> None:
        """Note that a steward was told, or never will be."""
        with self._shelf.writing() as session:
            session.run(
                tables.UPDATE_ALERT,
                position=alert.position,
                attempts=alert.attempts + 1,
                ready_at=None,
            )
            session.run(tables.DELETE_ALERTS, before=now - 2 * GIVEN_UP_AGAIN)

    def notices(self, ids: Sequence[str]) -> Sequence[Waiting]:
        """What the book says of these, as far as they have not ended."""
        with self._shelf.reading() as session:
            return _waiting(session, tables.SELECT_WAITING, ids=_names(ids))

    def flows(self) -> Sequence[Flow]:
        """How it goes with every tool that was ever tried."""
        with self._shelf.reading() as session:
            return _flows(session)

    def tallies(self) -> Mapping[str, Mapping[str, int]]:
        """Tool → due, delivered, superseded, given-up and waiting, as of one moment.

        The first is the sum of the others: what is due is counted as it comes, the ends as they
        are seen, and what waits is what is there.
        """
        with self._shelf.reading() as session:
            counted: dict[str, Counter[str]] = {}
            for tool, state, number in session.rows(tables.SELECT_TALLIES):
                counted.setdefault(tool, Counter(dict.fromkeys(STATES, 0)))[state] += int(number)
            return counted

    def start_over(self) -> None:
        """Forget all of it, and follow the log from its beginning."""
        self._shelf.empty()

    def close(self) -> None:
        """Let go of every connection."""
        self._shelf.close()


STATES = ("due", "delivered", "superseded", "given-up", "waiting")
WHY_LENGTH_MAX = 300
ALERT_WAIT = 60_000
"""Longer than it takes to tell a steward, at worst."""
ALERT_WAIT_MAX = 3_600_000


def open_book(database: str) -> Book:
    """Open the book that belongs to the log at this address; made, empty, if there is none.

    Raises `StorageUnavailable`.
    """
    return Book(open_shelf(database))


# --- following the log --------------------------------------------------------------------------


class _Page:
    """A page of the log, folded into the rows that it touches, and written at once."""

    def __init__(self, session: Session, entries: Sequence[Entry], now: int) -> None:
        self._session = session
        self._entries = entries
        self._now = now
        named = {entry.event.id for entry in entries if isinstance(entry.event, OfNotice)}
        found = _waiting(session, tables.SELECT_WAITING, ids=_names(sorted(named)))
        self._before = {row.id: row for row in found}
        self._rows: dict[str, Waiting | None] = dict(self._before)
        self._tallies: Counter[tuple[str, str]] = Counter()
        self._plans: dict[str, tuple[str, str, str, int] | None] = {}
        self._lines: dict[tuple[str, str], None] = {}
        self._hastened: dict[tuple[str, str], None] = {}
        self._tools: set[str] = set()
        self._drifts: dict[tuple[str, str], tuple[DriftFound | DriftResolved, int]] = {}
        """Tool and place → the last that the page says of it."""

    def written(self) -> frozenset[str]:
        """Write all that follows from the page; answers the tools that it is about."""
        for entry in self._entries:
            match entry.event:
                case OfNotice() as event:
                    self._notice(event, entry.position)
                case ReactionPlanned() as event:
                    fires_at = millis(event.fires_at)
                    self._plans[event.id] = (event.id, event.tool, event.case, fires_at)
                case ReactionDropped() as event:
                    self._plans[event.id] = None
                case FlowFailing() | FlowRecovered() | FlowStopped() | FlowStarted() as event:
                    self._flow(event, entry.position)
                case DriftFound() | DriftResolved() as event:
                    place = f"{event.case} {event.field}"
                    self._drifts[event.tool, place] = (event, entry.position)
        self._write()
        self._tell_of_fights()
        return frozenset(self._tools)

    def _notice(self, event: OfNotice, position: int) -> None:
        row, line = self._rows.get(event.id), (event.tool, event.case)
        self._tools.add(event.tool)
        self._lines[line] = None
        match event:
            case NoticeDue():
                self._plans[event.id] = None
                self._count(event.tool, "due")
                collection = event.case.partition("/")[0]
                row = Waiting(event.id, position, position, event.tool, collection, event.case)
            case NoticeDelivered() | NoticeSuperseded():
                row = self._ended(row, event)
            case NoticeGivenUp() if row is not None:
                self._count(event.tool, "given-up")
                row = replace(row, state="given-up", ready_at=None, holder="", why=event.why)
                self._alert(position, event, "given-up", event.why, "", GIVEN_UP_AGAIN)
            case NoticeRecovered() if row is not None:
                self._hastened[line] = None
                if row.state == "given-up":
                    self._count(event.tool, "given-up", -1)
                    again = {"attempts": 0, "recovered": 1, "turn": position, "sent_at": None}
                    row = replace(row, state="waiting", **again)
        self._rows[event.id] = row

    def _ended(
        self, row: Waiting | None, event: NoticeDelivered | NoticeSuperseded
    ) -> Waiting | None:
        """Strike it out; one that was superseded under way keeps its place until it is back."""
        is_held = row is not None and row.holder and (row.ready_at or 0) > self._now
        if row is not None and row.state == "given-up":
            self._count(event.tool, "given-up", -1)
        if isinstance(event, NoticeSuperseded):
            self._count(event.tool, "superseded")
            return replace(row, state="superseded") if row is not None and is_held else None
        if row is None or row.state == "superseded":  # it was taken all the same
            self._count(event.tool, "superseded", -1)
        self._count(event.tool, "delivered")
        return None

    def _flow(
        self, event: FlowFailing | FlowRecovered | FlowStopped | FlowStarted, position: int
    ) -> None:
        session, tool = self._session, event.tool
        self._tools.add(tool)
        session.run(tables.INSERT_FLOW, tool=tool)
        (flow,) = (flow for flow in _flows(session) if flow.tool == tool)
        match event:
            case FlowFailing():
                flow = replace(flow, failing=1)
                self._alert(position, event, "failing", event.why, event.steward)
            case FlowRecovered():
                flow = replace(flow, failing=0)
                self._alert(position, event, "recovered", "", event.steward)
            case FlowStopped():
                flow = replace(flow, stopped=1)
                self._alert(position, event, "stopped", event.why, event.steward)
            case FlowStarted():
                failing = flow.stopped if event.unproven else 0
                flow = replace(flow, stopped=0, failing=max(flow.failing, failing))
        said = {"failing": flow.failing, "stopped": flow.stopped}
        session.run(tables.UPDATE_FLOW_SAID, tool=tool, **said)

    def _tell_of_fights(self) -> None:
        """Each that has begun, unless it was told already; each that is over."""
        if not self._drifts:
            return
        fights = {
            (alert.tool, alert.why)
            for alert in (Alert(*row) for row in self._session.rows(tables.SELECT_FIGHTS))
        }
        for (tool, place), (event, position) in self._drifts.items():
            stands = (tool, place) in fights
            if isinstance(event, DriftFound) and event.why == FIGHT and not stands:
                self._alert(position, event, "fight", place, "")
            elif isinstance(event, DriftResolved) and stands:
                self._session.run(tables.UPDATE_FIGHT, tool=tool, why=place)
                self._alert(position, event, "peace", place, "")

    def _alert(
        self,
        position: int,
        event: OfNotice | FlowFailing | FlowRecovered | FlowStopped | DriftFound | DriftResolved,
        what: str,
        why: str,
        steward: str,
        unless_within: int = 0,
    ) -> None:
        at = millis(event.recorded_at)
        if at < self._now - ALERT_AGE_MAX:
            return
        self._session.run(
            tables.INSERT_ALERT,
            position=position,
            at=at,
            tool=event.tool,
            what=what,
            why=why,
            steward=steward,
            since=at - unless_within if unless_within else at + ALERT_AGE_MAX,
        )

    def _count(self, tool: str, state: str, number: int = 1) -> None:
        self._tallies[tool, state] += number

    def _write(self) -> None:
        session = self._session
        gone = [name for name, row in self._rows.items() if row is None and name in self._before]
        rows = [row for row in self._rows.values() if row and row != self._before.get(row.id)]
        tallies = [(*key, number) for key, number in self._tallies.items() if number]
        plans = [plan for plan in self._plans.values() if plan]
        dropped = [name for name, plan in self._plans.items() if plan is None]
        if gone:
            session.run(tables.DELETE_WAITING, ids=_names(gone))
        if rows:
            session.write(tables.UPSERT_WAITING, [astuple(row) for row in rows])
        if tallies:
            session.run(tables.UPSERT_TALLIES, rows=as_json(tallies))
        if plans:
            session.run(tables.INSERT_PLANS, rows=as_json(plans))
        if dropped:
            session.run(tables.DELETE_PLANS, ids=_names(dropped))
        if self._lines:
            session.run(tables.UPDATE_FIRST, lines=as_json(list(self._lines)), now=self._now)
        if self._hastened:
            session.run(tables.UPDATE_HASTENED, lines=as_json(list(self._hastened)), now=self._now)
            for tool in sorted({tool for tool, _ in self._hastened}):
                session.run(tables.UPDATE_FLOW_RETRIED, tool=tool, now=self._now)


# --- rows ---------------------------------------------------------------------------------------


def _waiting(session: Session, statement: str, **values: object) -> list[Waiting]:
    return [Waiting(*row) for row in session.rows(statement, **values)]


def _flows(session: Session) -> list[Flow]:
    return [Flow(*row) for row in session.rows(tables.SELECT_FLOWS)]


def _locked_flow(session: Session, tool: str) -> Flow | None:
    """The row of a tool, made if there is none; None while another courier has it."""
    session.run(tables.INSERT_FLOW, tool=tool)
    rows = session.rows(tables.LOCK_FLOW, tool=tool)
    return Flow(*rows[0]) if rows else None


def _write_flow(session: Session, flow: Flow) -> None:
    session.run(
        tables.UPDATE_FLOW,
        tool=flow.tool,
        failures=flow.failures,
        opened=flow.opened,
        open_until=flow.open_until,
        slow_until=flow.slow_until,
        next_start=flow.next_start,
    )


def _next_look(session: Session, flow: Flow, collections: Sequence[str]) -> int | None:
    """When the tool may be told something next, as far as is known now."""
    if flow.stopped:
        return None
    found = [
        session.rows(tables.SELECT_NEXT_READY, tool=flow.tool, collection=collection)
        for collection in collections
    ]
    ready = [int(rows[0][0]) for rows in found if rows]
    if not ready:
        return None
    if flow.opened:
        return flow.open_until
    return max(min(ready), flow.slow_until, flow.next_start // 1000)


def _names(names: Sequence[str]) -> str:
    return as_json([(name,) for name in names])
