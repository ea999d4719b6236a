"""Many cases at once: the lines of an import, asked in order and answered in order.

What comes in is read as fast as it is decided, what goes out waits in a file until the client
takes it: one that sends everything before it reads anything neither blocks nor fills the memory.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import structlog
from litestar.types import HTTPScope, Receive, Send

from api.asking import states_then
from api.door import DRAIN_BYTES_MAX, Keeper, Operation, Visit, begin, refused, respond
from api.keys import identify
from api.lines import (
    ENDED,
    FEW_LINES,
    Chunk,
    Company,
    Import,
    Line,
    LineAnswer,
    Overtaken,
    answers,
    not_asked,
    settled,
    stopped_by,
    written,
)
from api.problems import MalformedRequest, MethodNotAllowed, UnsupportedMediaType
from lifecycle.asks import Answer as Settled
from lifecycle.journal import IMPORT_ASKS_MAX
from lifecycle.refusals import (
    NotNow,
    NotYours,
    Overloaded,
    Refusal,
    StorageUnavailable,
    UnknownCollection,
)

NDJSON = b"application/x-ndjson"
MEDIA_TYPES = (NDJSON, b"application/ndjson", b"application/jsonl", b"text/plain")
CHUNKS_AHEAD = 2
"""What is made ready while the journal decides: what comes faster waits with its sender."""
SPOOL_MEMORY_BYTES = 2**20
"""Answers that nobody has taken yet go to a file beyond this."""
PIECE_BYTES = 2**16
IDLE_SECONDS_MAX = 60.0
"""How long a client may send nothing, or after all was sent take nothing, before it is given up."""
PAUSE_SECONDS = 0.05
"""Before an import asks again, where too much waits already: people go first."""

log = structlog.get_logger("statekeeper.imports")


async def import_lines(keeper: Keeper, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Take lines and give answers, both at once."""
    visit = Visit(scope, b"")
    try:
        coming = await _admitted(keeper, visit)
    except Refusal as refusal:
        keeper.tally.refusals[refusal.code] += 1
        await _drain(receive)
        await respond(refused(refusal), keeper, visit.id, send)
        return
    exchange = Exchange(keeper, coming)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(exchange.hear(receive))
            tasks.create_task(exchange.ask())
            tasks.create_task(exchange.tell(send, visit))
    except* Exception:  # half an answer has gone already: all that is left is to hang up
        log.exception("fault", request=visit.id, operation=IMPORT.path)
        raise
    finally:
        exchange.spool.close()


async def _admitted(keeper: Keeper, visit: Visit) -> Import:
    """The import that is asked for, or the refusal of all of it."""
    given = visit.headers.get(b"content-type", NDJSON).partition(b";")[0].strip().lower()
    if given not in MEDIA_TYPES:
        shown = given[:80].decode("latin-1")
        raise UnsupportedMediaType(f"the body is {shown!r}; send {NDJSON.decode()}, in UTF-8")
    tell = visit.query("tell").get("tell", "false")
    if tell not in {"true", "false"}:
        raise MalformedRequest("tell: true or false")
    asker = await identify(keeper, visit)
    collection = visit.segment(2)
    lifecycle = keeper.catalogue.lifecycles.get(collection)
    if lifecycle is None:
        there = ", ".join(keeper.catalogue.lifecycles)
        raise UnknownCollection(
            f"no collection is called {collection[:80]!r} (there are: {there})",
            collection=collection[:80],
        )
    if asker.read_only:
        raise NotYours(f"the key of {asker.name} is for reading only")
    return Import(lifecycle, asker, collection, tell=tell == "true")


async def _drain(receive: Receive) -> None:
    """Read on for a while, so that the sender gets to see the answer."""
    size, more = 0, True
    while more and size <= DRAIN_BYTES_MAX:
        message: Any = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)


class Exchange:
    """One import over HTTP: three hands that wait for one another, and for the client, apart."""

    def __init__(
        self, keeper: Keeper, coming: Import, idle_seconds: float = IDLE_SECONDS_MAX
    ) -> None:
        """Nothing has come yet."""
        self.spool = Spool()
        self._idle_seconds = idle_seconds
        self._keeper = keeper
        self._import = coming
        self._chunks: asyncio.Queue[Chunk | None] = asyncio.Queue(CHUNKS_AHEAD)
        self._taking: asyncio.Timeout | None = None
        self._all_came = False
        self._stopped: NotNow | None = None
        self._company = Company(keeper)
        self._overtaken = Overtaken()

    async def hear(self, receive: Receive) -> None:
        """Make chunks of what comes; a line that breaks off with the connection is none."""
        try:
            async for piece in _pieces(receive, self._idle_seconds):
                for chunk in self._import.chunks(piece):
                    await self._chunks.put(chunk)
                    others = self._company.has_come()
                    self._import.at_once = FEW_LINES if others else IMPORT_ASKS_MAX
        except TimeoutError:
            silence = f"nothing came for {self._idle_seconds:.0f} s: the import ends here"
            await self._chunks.put(self._import.broken_off(MalformedRequest(silence)))
        self._all_came = True
        if self._taking is not None:
            self._taking.reschedule(self._given_up_at())
        await self._chunks.put(None)

    async def ask(self) -> None:
        """Ask the journal, chunk by chunk: a chunk is decided on what those before it left."""
        while chunk := await self._chunks.get():
            began = monotonic()
            outcomes = await self._outcomes(chunk)
            accepted = (one for one in outcomes if isinstance(one, Settled))
            states = await states_then(self._keeper, accepted)
            answered = list(answers(chunk, outcomes, states))
            for answer in answered:
                self._count(answer)
            self.spool.write(b"".join(map(written, answered)))
            await asyncio.sleep(self._company.share(monotonic() - began))
        await self._record()
        self.spool.end()

    async def tell(self, send: Send, visit: Visit) -> None:
        """Give the client what it takes, as fast as it takes it."""
        piece = await self.spool.read()
        await begin(self._keeper, visit, send, NDJSON)
        while piece:
            # Who is still sending need not read: it may be one that sends everything first.
            until = self._given_up_at() if self._all_came else None
            async with asyncio.timeout_at(until) as self._taking:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            self._taking = None
            piece = await self.spool.read()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _given_up_at(self) -> float:
        """When a client that takes nothing from now on is given up, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self._idle_seconds

    def _count(self, answer: LineAnswer | tuple[int, Refusal]) -> None:
        tally = self._keeper.tally
        if isinstance(answer, LineAnswer):
            tally.lines["replayed" if answer.replayed else "applied"] += 1
        else:
            tally.lines["refused"] += 1
            tally.refusals[answer[1].code] += 1

    async def _outcomes(self, chunk: Chunk) -> list[Settled | Refusal]:
        if self._stopped is None and chunk.asks:
            outcomes = await self._asked(chunk)
            self._stopped = stopped_by(outcomes)
            return outcomes
        # What failed may be of the same case: nothing is decided on top of what is in doubt.
        return [not_asked(self._stopped) for _ in chunk.asks] if self._stopped else []

    async def _asked(self, chunk: Chunk) -> list[Settled | Refusal]:
        over = self._overtaken.take()
        while True:
            try:
                asked = self._keeper.journal.answer_many_later([*over, *chunk.asks], chunk.size)
                outcomes = settled((await asyncio.wrap_future(asked))[len(over) :])
            except Overloaded:
                await asyncio.sleep(PAUSE_SECONDS)
            except StorageUnavailable as refusal:
                return [not_asked(refusal) for _ in chunk.asks]
            else:
                self._overtaken.learn(chunk.asks, outcomes)
                return outcomes

    async def _record(self) -> None:
        """Record what the last chunk has overtaken."""
        if over := self._overtaken.take():
            await asyncio.to_thread(self._keeper.journal.record_many, over)


async def _pieces(receive: Receive, idle_seconds: float) -> AsyncIterator[bytes]:
    """The body as it comes; `TimeoutError` where nothing does."""
    more = True
    while more:
        async with asyncio.timeout(idle_seconds):
            message: Any = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        yield message.get("body", b"")
    yield ENDED


class Spool:
    """Bytes that wait to be taken: what is much waits in a file."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._file = tempfile.SpooledTemporaryFile(SPOOL_MEMORY_BYTES)  # noqa: SIM115 - `close`
        self._taken = self._written = 0
        self._ended = False
        self._more = asyncio.Event()

    def write(self, piece: bytes) -> None:
        """Put at the end."""
        if self._taken == self._written:
            self._file.truncate(0)
            self._taken = self._written = 0
        self._file.seek(self._written)
        self._written += self._file.write(piece)
        self._more.set()

    def end(self) -> None:
        """No more comes."""
        self._ended = True
        self._more.set()

    async def read(self) -> bytes:
        """Take from the beginning, once there is something; b"" at the end."""
        while self._taken == self._written and not self._ended:
            self._more.clear()
            await self._more.wait()
        self._file.seek(self._taken)
        piece: bytes = self._file.read(min(PIECE_BYTES, self._written - self._taken))
        self._taken += len(piece)
        return piece

    def close(self) -> None:
        """Forget what nobody took."""
        self._file.close()


IMPORT = Operation(
    "POST",
    "/v1/{collection}/import",
    None,
    "Import many cases: a line an ask, a line an answer, in the same order",
    converse=import_lines,
    gives=LineAnswer,
    takes=Line,
    media_type=NDJSON.decode(),
    query={"tell": "`true`: tools are told of what changes, and reactions fire; else neither"},
    refuses=(MethodNotAllowed, NotYours),
)

OPERATIONS = (IMPORT,)
