"""The courier: what a tool is due is carried to it, signed, until it is taken or given up.

What is due stands in the log (`NoticeDue`), and so does what became of it; between the two the
book (`book`) knows what waits, since when and for what. The courier follows the log into the book,
takes what may be told now, posts it, and records the end. It may be killed anywhere: a notice that
was taken, but whose end was not recorded, is sent again under the same id; the end is recorded once
(`lifecycle.telling`). What one tool is told of one case goes in order; tools do not wait for each
other, nor cases.

- What was superseded is known by the log, and struck out; one that is under way keeps its place
  in the line until it is back, so that nothing overtakes it.
- Values of a case that was erased are not sent: the notice is superseded.
- What was recovered is sent unless a newer word on the same field was told meanwhile.
- A tool without address or secret, or carried by a person, is not tried: `routes` says why.
- Staff have a notice tried again at once by recording `telling.recovered` in its mirror's stream,
  tick it off by `telling.ticked_off`, and start a flow that had stopped by `telling.started`; the
  courier sees it in the log.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from threading import Event as Signal
from time import monotonic
from typing import Any, Final, TypeVar
from uuid import uuid4

import structlog
from eventsourcing.persistence import Notification
from msgspec import Struct
from msgspec.structs import replace

from lifecycle.bodies import BYTES_MAX
from lifecycle.case import Case
from lifecycle.events import ERASED, Entry, NoticeDue, NoticeGivenUp, OfNotice
from lifecycle.expressions import FindsNothing
from lifecycle.journal import IMPORT_ASKS_MAX, Journal, Record
from lifecycle.mapper import SEALED, EntryMapper, encode
from lifecycle.notices import FIELDS_CHANGED, REQUEST, WORD_CHANGED
from lifecycle.refusals import NotNow, StorageUnavailable
from lifecycle.signing import signed
from lifecycle.streams import case_stream, flow_stream, mirror_stream
from lifecycle.telling import (
    Decision,
    delivered,
    failing,
    fired,
    given_up,
    stopped,
    superseded,
    working,
)
from lifecycle.writing import lacks, written
from projections import patience
from projections.alerts import Teller
from projections.book import HOLD, TOPICS, Book, Followed, Plan, Waiting
from projections.lookout import Lookout
from projections.patience import Flow, millis
from projections.posting import ANSWER_BYTES_MAX, CONNECTIONS_MAX, Answered, Poster
from projections.routes import Environment, Line, Route
from projections.timeline import stamp

BEAT_SECONDS: Final = 0.02
"""Between two looks: what comes in the meantime goes together."""
BACK_OFF_SECONDS_MAX: Final = 5.0
LOOK_MS: Final = 250
"""How often the book is looked into unasked: another courier may have followed the log."""
HEED_SECONDS: Final = 1.0
"""How long the lookout is waited for at a time: the thread that waits has to end some time."""
HOLD_AGAIN_SECONDS: Final = HOLD / 4000
UNDER_WAY_MAX: Final = 1000
"""Notices of all tools that are under way, or whose end is not yet recorded."""
PAGE_EVENTS_MAX: Final = 1000
"""So much of the log is followed in one commit."""
ALERT_SECONDS: Final = 1.0
BROKEN_MS: Final = 300_000
"""How long a notice waits that cannot be read, or whose end cannot be recorded."""

FIRE_AGAIN_SECONDS: Final = 5.0
END_SECONDS_MAX: Final = 2.0
"""How long what is under way may take to come back, once the courier is told to stop."""

NOTHING_SET: Final[Environment] = {}

T = TypeVar("T")

log = structlog.get_logger("statekeeper.courier")


class End(Struct, frozen=True):
    """Something that is to be recorded."""

    record: Record
    row: Waiting | None = None
    """The notice that is held until it stands."""


class Sight(Struct, frozen=True):
    """What one look at the log and the book has found."""

    followed: Followed
    plans: Sequence[Plan] = ()
    """What is to be fired now."""
    due_at: Mapping[str, int] = {}
    """Tool → when its next notice may be told."""
    is_behind: bool = False
    """Whether there is more of the log, so that the rest cannot be known yet."""


class Courier:
    """One courier; any number may share the log and the book."""

    def __init__(
        self,
        journal: Journal,
        book: Book,
        routes: Mapping[Line, Route],
        *,
        environment: Environment = NOTHING_SET,
        teller: Teller | None = None,
        poster: Poster | None = None,
        chance: Random | None = None,
    ) -> None:
        """Take the log, the book and where to go; carry nothing yet."""
        self._journal = journal
        self._book = book
        self._routes = routes
        self._environment = environment
        self._teller = teller
        self._poster = poster or Poster()
        self._chance = chance or Random()  # noqa: S311 - spreads what failed together
        self._mapper = EntryMapper(journal.mapper.vault.apart())
        self._holder = uuid4().hex
        self._clerk = ThreadPoolExecutor(1, thread_name_prefix="book")
        self._collections = _collections(routes)
        self._look_at = dict.fromkeys(self._collections, 0)
        """Tool → when its notices are to be looked for next,"""
        self._due_at: Mapping[str, int] = {}
        """and when one of them may be told, as the book last said; tools that wait for none."""
        self._learnt = dict.fromkeys(self._collections, 0.0)
        """Tool → the least time between two notices, learnt from its answers."""
        self._under_way = dict.fromkeys(self._collections, 0)
        self._unwell: set[str] = set()
        self._held: dict[str, float] = {}
        """The notices that this courier holds → until when, by this process's own clock."""
        self._firing: dict[str, float] = {}
        """The plans that are to be recorded as fired → when to try that again."""
        self._ends: list[End] = []
        self._ended = asyncio.Event()
        """There is something to record."""
        self._woken = asyncio.Event()
        """There may be something to tell."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._position = 0

    async def run(self, lookout: Lookout, stop: Signal) -> None:
        """Carry notices until told to stop, whatever happens to the databases."""
        self._say_what_waits()
        beside = [
            asyncio.create_task(one) for one in (self._heed(lookout), self._record(), self._hold())
        ]
        if self._teller is not None:
            beside.append(asyncio.create_task(self._alert(self._teller)))
        pause = 0.0
        try:
            while not stop.is_set():
                try:
                    if not await self.beat():
                        await self._rest()
                    pause = 0.0
                except StorageUnavailable as exc:
                    pause = min(BACK_OFF_SECONDS_MAX, max(0.1, pause * 2))
                    log.warning("waiting for the database", why=exc.detail, seconds=pause)
                except Exception:
                    pause = min(BACK_OFF_SECONDS_MAX, max(0.1, pause * 2))
                    log.exception("could not go on", position=self._position)
                await asyncio.sleep(pause)
        finally:
            await self._end(beside)

    async def beat(self) -> bool:
        """Follow the log; at its end fire what is due, and set out with what may be told now.

        Answers whether there is more of the log to follow: until then the book shows what is due
        and not yet that it was delivered.
        """
        now = self._now()
        look = await self._in_book(self._look, now)
        if look is None:
            return False
        self._note(look.followed)
        if look.is_behind:
            return True
        for plan in look.plans:
            self._fire(plan)
        self._due_at = look.due_at
        for tool, due_at in self._due_at.items():
            if max(due_at, self._look_at[tool]) <= now:
                await self._set_out(tool)
        return False

    async def _rest(self) -> None:
        """Do nothing until there may be something to do."""
        await asyncio.sleep(BEAT_SECONDS)
        now = self._now()
        looks = [max(due_at, self._look_at[tool]) for tool, due_at in self._due_at.items()]
        with suppress(TimeoutError):
            async with asyncio.timeout(min([LOOK_MS, *(look - now for look in looks)]) / 1000):
                await self._woken.wait()
        self._woken.clear()

    async def _heed(self, lookout: Lookout) -> None:
        """Be woken by what is new in the log."""
        while True:
            await asyncio.to_thread(lookout.wait, self._position, HEED_SECONDS)
            self._woken.set()
            await asyncio.sleep(BEAT_SECONDS)

    # --- the log

    def _look(self, now: int) -> Sight | None:
        """Follow the log; None while another courier does so, which may be far behind."""
        last = self._journal.recorder.last_position()
        followed: Followed | None = Followed(self._position)
        if last > self._position:
            followed = self._book.follow(self._read, now)
        if followed is None:
            return None
        if followed.position < last:
            return Sight(followed, is_behind=True)
        plans = self._book.plans_due(now, [*self._journal.lifecycles])
        return Sight(followed, plans, self._book.due_at(self._collections))

    def _note(self, followed: Followed) -> None:
        """Look at once for what is new."""
        self._position = followed.position
        for tool in followed.tools & self._look_at.keys():
            self._look_at[tool] = 0

    def _read(self, position: int) -> tuple[Sequence[Entry], int]:
        """A page of what concerns the book, and the position that it leads up to."""
        recorder = self._journal.recorder
        upto = max(recorder.last_position(), position)
        page = recorder.select_notifications(
            position, PAGE_EVENTS_MAX, stop=upto, topics=TOPICS, inclusive_of_start=False
        )
        last = page[-1].id if len(page) == PAGE_EVENTS_MAX else upto
        return list(self._unopened(page)), last

    def _unopened(self, page: Sequence[Notification]) -> Iterator[Entry]:
        """The events without what is sealed in them; one that cannot be read holds up no other."""
        for stored in page:
            try:
                yield self._mapper.unopened(stored)
            except Exception:
                log.exception("cannot be read", stream=stored.originator_id, position=stored.id)

    def _opened(self, row: Waiting) -> NoticeDue:
        """The notice itself; its key is read anew: somebody may have deleted it a moment ago."""
        (stored,) = self._journal.recorder.select_notifications(row.due, 1)
        if SEALED in stored.state:
            self._mapper.vault.mistrust(f"case:{row.line}")
        event = self._mapper.to_domain_event(stored).event
        assert isinstance(event, NoticeDue), row
        assert event.id == row.id, row
        return event

    def _story(self, notice: NoticeDue) -> Sequence[OfNotice]:
        """Everything that the log says of what the tool is told of the case."""
        stored = self._journal.recorder.streams([_mirror_of(notice.case, notice.tool)])
        events = (self._mapper.unopened(one).event for one in stored)
        return [event for event in events if isinstance(event, OfNotice)]

    # --- setting out

    async def _set_out(self, tool: str) -> None:
        """Take what the tool may be told, and begin to tell it."""
        now = self._now()
        free = min(CONNECTIONS_MAX - self._under_way[tool], UNDER_WAY_MAX - len(self._held))
        if free <= 0:  # the first that comes back has it looked for again
            self._look_at[tool] = now + LOOK_MS
            return
        collections = self._collections[tool]
        interval = max(
            self._learnt[tool],
            *(self._routes[tool, collection].interval_ms for collection in collections),
        )
        taken = await self._in_book(
            partial(
                self._book.take, tool, collections,
                holder=self._holder, now=now, free=free, interval=interval,
            )
        )  # fmt: skip
        if taken is None:
            return
        next_look = now + LOOK_MS if taken.next_look is None else taken.next_look
        self._look_at[tool] = min(next_look, now + LOOK_MS)
        if not taken.flow.is_well:
            self._unwell.add(tool)
        until = monotonic() + HOLD / 1000
        for row in taken.rows:
            self._held[row.id] = until
            self._under_way[tool] += 1
            task = asyncio.create_task(self._carry(row, now, probe=taken.probe))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, row: Waiting, now: int, *, probe: bool) -> None:
        """Tell one notice, whatever happens on the way."""
        try:
            await self._tell(row, now, probe=probe)
        except StorageUnavailable as exc:
            log.warning("left for later", notice=row.id, why=exc.detail)
            self._held.pop(row.id, None)
        except Exception:
            log.exception("could not be carried", notice=row.id, tool=row.tool)
            await self._put_off(row, "it cannot be read")
        finally:
            self._under_way[row.tool] -= 1
            self._look_at[row.tool] = 0
            self._woken.set()

    async def _tell(self, row: Waiting, now: int, *, probe: bool) -> None:
        """Tell one notice, and see to what follows from the answer."""
        if row.state == "superseded":  # whoever was under way with it did not come back
            await self._later(row, row.attempts, now, "")
            return
        notice = await self._in_book(self._opened, row)
        if why := await self._in_book(self._needless, row, notice):
            self._end_by(row, notice, superseded(notice, row.attempts, *why))
        elif monotonic() >= self._held.get(row.id, 0.0):  # another courier may have it by now
            log.warning("held too long", notice=row.id, tool=row.tool)
            self._held.pop(row.id, None)
        else:
            sent_at = self._now()
            answer = await self._posted(row, notice)
            if row.sent_at is None and not answer.unsent:
                row = replace(row, sent_at=sent_at)
            await self._see_to(row, notice, answer, probe=probe)

    def _needless(self, row: Waiting, notice: NoticeDue) -> tuple[str, str] | None:
        """Why nobody needs to be told this any more, and what took its place."""
        if any(value is ERASED for value in notice.personal.values()):
            return "erased", ""  # the very text of the vault, not a value that reads the same
        if not row.recovered or not notice.word:
            return None
        story = self._story(notice)
        begun = next(i for i, one in enumerate(story) if one.id == notice.id)
        ended = {one.id: one for one in story}
        for newer in reversed(story[begun + 1 :]):
            if isinstance(newer, NoticeDue) and newer.status_field == notice.status_field:
                told = not isinstance(ended[newer.id], NoticeGivenUp)
                return ("newer-word", newer.id) if told else None
        return None

    async def _posted(self, row: Waiting, notice: NoticeDue) -> Answered:
        """Post it, as the flow or the connector says."""
        route, tool = self._routes[row.tool, row.collection], row.tool
        body = body_of(notice, row.due)
        if route.write is None:
            headers = signed(route.secret, notice.id, body, self._journal.clock())
            return await self._poster.post(tool, route.url, headers, body)
        try:
            sent = written(route.write, body, route.token, self._environment)
        except FindsNothing as exc:
            return Answered(why=str(exc), unsent=True)
        return await self._poster.post(
            tool, sent.url, sent.headers, sent.body,
            method=sent.method, lacks=partial(lacks, route.write),
            answer_bytes_max=BYTES_MAX if route.write.accepts.body else ANSWER_BYTES_MAX,
        )  # fmt: skip

    # --- what follows

    async def _see_to(
        self, row: Waiting, notice: NoticeDue, answer: Answered, *, probe: bool
    ) -> None:
        tool, now, attempts = row.tool, self._now(), row.attempts + 1
        route = self._routes[tool, row.collection]
        if answer.is_taken:
            assert answer.status is not None
            assert row.sent_at is not None
            sent_at = datetime.fromtimestamp(row.sent_at / 1000, UTC)
            self._end_by(row, notice, delivered(notice, attempts, answer.status, sent_at))
            await self._was_taken(tool, route)
        elif answer.status == patience.GONE and route.write is None:
            # Of a product's own address it is the record that is gone, and no more.
            self._flow_said(tool, stopped(tool, answer.why, route.steward))
            rest = partial(patience.slowed, now=now, rest=patience.OPEN)  # until the book knows
            await self._in_book(self._book.change_flow, tool, rest)
            await self._later(row, attempts, now + patience.OPEN, answer.why)
        else:
            await self._try_again(row, notice, answer, now, probe=probe)

    async def _try_again(
        self, row: Waiting, notice: NoticeDue, answer: Answered, now: int, *, probe: bool
    ) -> None:
        """Let it wait for its next attempt, or give it up; a try of the tool is no attempt."""
        attempts, rest = row.attempts + 1, patience.rest(answer.status, answer.retry_after, now)
        if not answer.unsent:
            flow = await self._was_not_taken(row, answer, rest, now, probe=probe)
            if probe and not _counts(row, answer, now):
                ready_at = max(row.ready_at or 0, flow.open_until)
                await self._later(row, row.attempts, ready_at, answer.why)
                return
        if answer.status == patience.ENOUGH:
            attempts, wait = row.attempts, rest  # it has said no to none in particular
        else:
            wait = patience.delay(attempts, self._chance.random(), rest)
        if wait is None:
            self._end_by(row, notice, given_up(notice, attempts, answer.why))
        else:
            await self._later(row, attempts, now + wait, answer.why)

    async def _was_taken(self, tool: str, route: Route) -> None:
        self._learnt[tool] = patience.quicker(self._learnt[tool])
        if tool not in self._unwell:
            return
        self._unwell.discard(tool)
        before: list[Flow] = []

        def change(flow: Flow) -> Flow:
            before.append(flow)
            return patience.taken(flow)

        await self._in_book(self._book.change_flow, tool, change)
        if before[0].opened or before[0].failing:
            self._flow_said(tool, working(tool, route.steward))

    async def _was_not_taken(
        self, row: Waiting, answer: Answered, rest: int | None, now: int, *, probe: bool
    ) -> Flow:
        """Note the failure; the breaker may open, and then the tool's steward is told."""
        tool, attempts = row.tool, row.attempts + 1
        self._unwell.add(tool)
        if answer.status in patience.SLOW:
            self._learnt[tool] = patience.slower(self._learnt[tool])

        def change(flow: Flow) -> Flow:
            was_resting = flow.slow_until > now
            flow = patience.slowed(flow, now, rest)
            if answer.status == patience.ENOUGH and was_resting:
                return flow  # it was under way when the tool said so first
            return patience.failed(flow, now, attempts, probe=probe)

        flow = await self._in_book(self._book.change_flow, tool, change)
        if flow.opened and not flow.failing:
            route = self._routes[tool, row.collection]
            self._flow_said(tool, failing(tool, answer.why, route.steward))
        log.info("not taken", tool=tool, notice=row.id, why=answer.why, attempts=attempts)
        return flow

    async def _later(self, row: Waiting, attempts: int, ready_at: int, why: str) -> None:
        """Let go of it until then; where that cannot be written, its hold ends by itself."""
        try:
            await self._in_book(
                partial(
                    self._book.later, row, self._holder,
                    attempts=attempts, ready_at=ready_at, why=why, now=self._now(),
                )
            )  # fmt: skip
        finally:
            self._held.pop(row.id, None)

    async def _put_off(self, row: Waiting, why: str) -> None:
        """Let go of what somebody has to look at, for long."""
        with suppress(StorageUnavailable):
            await self._later(row, row.attempts, self._now() + BROKEN_MS, why)

    def _end_by(self, row: Waiting, notice: NoticeDue, decision: Decision) -> None:
        self._see_recorded(End(Record(_mirror_of(notice.case, notice.tool), decision), row))

    def _flow_said(self, tool: str, decision: Decision) -> None:
        self._see_recorded(End(Record(flow_stream(tool), decision)))

    def _see_recorded(self, end: End) -> None:
        self._ends.append(end)
        self._ended.set()

    def _fire(self, plan: Plan) -> None:
        """Have what was planned come; seen in the log, the plan is struck out."""
        collection, _, case_id = plan.line.partition("/")
        lifecycle = self._journal.lifecycles.get(collection)
        if lifecycle is None or monotonic() < self._firing.get(plan.id, 0.0):
            return
        self._firing = {one: at for one, at in self._firing.items() if at > monotonic()}
        self._firing[plan.id] = monotonic() + FIRE_AGAIN_SECONDS

        def case_now() -> Case | None:  # asked by the journal's own thread, on the whole truth
            case = self._journal.as_decided(case_stream(collection, case_id)).state
            return case if isinstance(case, Case) else None

        decision = fired(plan.id, plan.tool, lifecycle, case_now)
        self._see_recorded(End(Record(_mirror_of(plan.line, plan.tool), decision)))

    # --- beside

    async def _record(self) -> None:
        """Record what has ended, all that is there in one append; again until it stands."""
        while True:
            if not self._ends:
                self._ended.clear()
                await self._ended.wait()
            await asyncio.sleep(BEAT_SECONDS / 2)  # what ends together is recorded together
            try:
                while self._ends:
                    await self._record_page()
            except NotNow as exc:
                log.warning("cannot record yet", why=exc.detail, waiting=len(self._ends))
                await asyncio.sleep(1.0)
            except Exception:
                log.exception("cannot record", waiting=len(self._ends))
                await asyncio.sleep(1.0)

    async def _record_page(self) -> None:
        """Record the first of what has ended; what cannot be now is tried again, after the rest."""
        ends = self._ends[:IMPORT_ASKS_MAX]
        later = self._journal.answer_many_later([end.record for end in ends], 0)
        outcomes = await asyncio.shield(asyncio.wrap_future(later))
        del self._ends[: len(ends)]
        broken = [
            row
            for end, outcome in zip(ends, outcomes, strict=True)
            if (row := self._stands(end, outcome)) is not None
        ]
        for row in broken:
            await self._put_off(row, "its end cannot be recorded")

    def _stands(self, end: End, outcome: object) -> Waiting | None:
        """It stands now, or is tried again; answers the notice whose end can never be recorded."""
        if isinstance(outcome, NotNow):
            self._ends.append(end)
            return None
        if isinstance(outcome, BaseException):
            log.error("cannot be recorded", stream=end.record.stream, why=repr(outcome))
            return end.row
        if end.row is not None:  # until that is followed, the hold goes on by itself
            self._held.pop(end.row.id, None)
        return None

    async def _hold(self) -> None:
        """Say again and again which notices are under way here."""
        while True:
            await asyncio.sleep(HOLD_AGAIN_SECONDS)
            if held := list(self._held):
                until = monotonic() + HOLD / 1000
                try:
                    await self._in_book(self._book.hold, held, self._holder, self._now() + HOLD)
                except StorageUnavailable:
                    continue
                except Exception:
                    log.exception("cannot go on holding", notices=len(held))
                    continue
                self._held.update((one, until) for one in held if one in self._held)

    async def _alert(self, teller: Teller) -> None:
        """Tell stewards what concerns them."""
        while True:
            await asyncio.sleep(ALERT_SECONDS)
            try:
                while alert := await self._in_book(self._book.alert, self._now()):
                    if await teller.tell(alert):
                        await self._in_book(self._book.told, alert, self._now())
            except StorageUnavailable:
                continue
            except Exception:
                log.exception("a steward could not be told")

    async def _end(self, beside: Sequence["asyncio.Task[None]"]) -> None:
        """Let what is under way come back, and leave the rest to whoever comes next."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_SECONDS_MAX)
        for task in (*beside, *self._tasks):
            task.cancel()
        await asyncio.gather(*beside, *self._tasks, return_exceptions=True)
        try:
            await self._let_go()
        except Exception:
            log.exception("left as it is", unrecorded=len(self._ends))
        await self._poster.close()
        self._clerk.shutdown(wait=False)

    async def _let_go(self) -> None:
        """Record what has ended, as far as there is time, and hold no more what has not."""
        try:
            async with asyncio.timeout(END_SECONDS_MAX):
                while self._ends:
                    await self._record_page()
        except (NotNow, TimeoutError) as exc:
            log.warning("left unrecorded", number=len(self._ends), why=str(exc))
        unsent = self._held.keys() - {end.row.id for end in self._ends if end.row is not None}
        await self._in_book(self._book.hold, list(unsent), self._holder, self._now())

    async def _in_book(self, do: Callable[..., T], *values: Any) -> T:
        """Have the clerk do it: what waits for a database keeps no tool waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._clerk, do, *values)

    def _now(self) -> int:
        return millis(self._journal.clock())

    def _say_what_waits(self) -> None:
        waiting = {(one.tool, one.waits): one for one in self._routes.values() if one.waits}
        for (tool, why), route in waiting.items():
            if not route.manual:
                log.warning("notices will wait", tool=tool, why=why)


# --- what is sent -------------------------------------------------------------------------------


def body_of(notice: NoticeDue, position: int) -> bytes:
    """What is sent, byte for byte the same at every attempt."""
    collection, _, case_id = notice.case.partition("/")
    data: dict[str, Any] = {"collection": collection, "id": case_id, "refs": notice.refs}
    match notice.type:
        case word if word == WORD_CHANGED:
            data |= {
                "status_field": notice.status_field,
                "word": notice.word,
                "was": notice.was,
            }
        case fields if fields == FIELDS_CHANGED:
            data |= {"fields": notice.personal}
        case request if request == REQUEST:
            data |= {"request": notice.request, "with": notice.personal}
    data |= {"version": notice.case_version, "position": position}
    return encode({"type": notice.type, "timestamp": stamp(notice.recorded_at), "data": data})


def _counts(row: Waiting, answer: Answered, now: int) -> bool:
    """Whether a try of the tool was an attempt at the notice too: its time had come, and a no."""
    return answer.status in patience.REFUSES and (row.ready_at or 0) <= now


def _collections(routes: Mapping[Line, Route]) -> dict[str, list[str]]:
    """Tool → the collections of whose cases it can be told."""
    found: dict[str, list[str]] = {}
    for (tool, collection), route in routes.items():
        if not route.waits:
            found.setdefault(tool, []).append(collection)
    return found


def _mirror_of(line: str, tool: str) -> str:
    collection, _, case_id = line.partition("/")
    return mirror_stream(collection, case_id, tool)
