"""The lines of an import: what each asks, and how each is answered.

A line is one JSON object. Each becomes an ask of its own, under an idempotency key of its own: in
the same file again, what was applied is not applied twice, and what was refused is decided anew,
on the lines before it as they are mended by then. Once a later line of the same case was applied,
its time is over: it stays refused, lest it be applied out of its order.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import starmap
from os import urandom
from time import time

import msgspec
import structlog
from msgspec import Struct

from api.asking import claimed
from api.cases import OpenBody, opening
from api.door import BODY_BYTES_MAX, Keeper, json_of
from api.problems import JSON, BodyTooLarge, InternalFault, MalformedRequest, body_of
from api.transitions import TransitionBody
from lifecycle.asks import Answer, Ask, Request
from lifecycle.changes import Move, Open
from lifecycle.events import Answered, Asker
from lifecycle.fields import is_case_id, new_case_id
from lifecycle.journal import IMPORT_ASKS_MAX, Outcome, Record
from lifecycle.known import Known
from lifecycle.model import Lifecycle
from lifecycle.refusals import (
    NotNow,
    Refusal,
    StaffOnly,
    UnknownCase,
    UnknownTool,
)
from lifecycle.refusing import OVERTAKEN
from lifecycle.streams import case_stream, request_stream

LINE_BYTES_MAX = BODY_BYTES_MAX
CHUNK_BYTES_MAX = 2**20
"""What the lines that are asked together may amount to; one line may be more."""
PAUSE_TIMES = 1.0
"""While others are at work an import rests for so many times what its last step took."""
PAUSE_SECONDS_MAX = 0.25
FEW_LINES = 16
"""Asked together while others are at work: a batch with them is decided in a millisecond or two."""
REFUSED_CASES_MAX = 100_000
"""Cases whose refused lines are kept in mind, in case that a later one is applied."""
CHANGEABLE = tuple(OVERTAKEN.values())
"""Refusals that depend on where things stand; the others a line meets at any time."""
DIGEST_BYTES = 20
KEY_LENGTH_MAX = 255
ENDED = b"\n"
"""What ends a last line that nothing ends."""

log = structlog.get_logger("statekeeper.lines")


class OpenLine(OpenBody, kw_only=True, tag_field="do", tag="open"):
    """A case to begin, or (staff, with `state`) one already under way to take in."""

    by: str | None = None
    """Staff: the tool on whose behalf."""
    key: str | None = None
    """An idempotency key; else one is made from the bytes of the line."""


class TransitionLine(TransitionBody, kw_only=True, tag_field="do", tag="transition"):
    """A transition to make, perhaps with the facts that go with it."""

    id: str
    by: str | None = None
    """Staff: the tool on whose behalf."""
    key: str | None = None
    """An idempotency key; else one is made from the bytes of the line."""


Line = OpenLine | TransitionLine


class LineAnswer(Struct, frozen=True, omit_defaults=True):
    """What became of a line that was not refused."""

    line: int
    status: int
    id: str
    state: str
    """Where the case stood after it."""
    version: int
    replayed: bool = False
    """It was applied before, and changed nothing this time."""


class Chunk:
    """Lines that are asked together, in order."""

    def __init__(self, lines_max: int) -> None:
        """Begin without lines."""
        self._lines_max = lines_max
        self.numbers: list[int] = []
        self.refused: dict[int, Refusal] = {}
        """Number → the refusal of a line that is not even asked."""
        self.asks: list[Ask] = []
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether no more may be asked together."""
        return len(self.numbers) >= self._lines_max or self.size >= CHUNK_BYTES_MAX


class Import:
    """One import into one collection: makes chunks of its lines, which may come in any pieces."""

    def __init__(
        self, lifecycle: Lifecycle, asker: Asker, source: str, *, tell: bool = False
    ) -> None:
        """Take who imports, and what is said as the reason where staff act and a line gives none.

        The tools are told of what changes only where `tell` is set.

        Lines without a key are counted as long as the import lasts: 60 bytes for each.
        """
        self._lifecycle = lifecycle
        self._asker = asker
        self._reason = f"import of {source}"
        self._quiet = not tell
        self._behalf = {
            tool: Asker(tool=tool, key=asker.key) for tool in lifecycle.declaration.tools
        }
        self.at_once = IMPORT_ASKS_MAX
        """How many lines the next chunks are to hold: few, while others are at work."""
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._number = 0
        self._salt = lifecycle.collection.encode()[:64]  # the same line elsewhere is another one
        self._seen: set[bytes] = set()
        self._again: dict[bytes, int] = {}

    def chunks(self, piece: bytes) -> Iterator[Chunk]:
        """The asks of all lines that end in this piece."""
        *ended, rest = piece.split(b"\n")
        if ended:
            ended[0] = self._joined(ended[0])
        yield from self._chunks(ended)
        self._keep(rest)

    def broken_off(self, refusal: Refusal) -> Chunk:
        """The answer to a line that never came."""
        chunk = Chunk(self.at_once)
        chunk.numbers.append(self._number + 1)
        chunk.refused[self._number + 1] = refusal
        return chunk

    def _keep(self, piece: bytes) -> None:
        """Keep the beginning of a line; of one that is too long, no more than shows that it is."""
        if piece and self._rest_bytes <= LINE_BYTES_MAX:
            self._rest.append(piece)
        self._rest_bytes += len(piece)

    def _joined(self, end: bytes) -> bytes:
        self._keep(end)
        line = b"".join(self._rest)
        self._rest, self._rest_bytes = [], 0
        return line

    def _chunks(self, lines: Sequence[bytes]) -> Iterator[Chunk]:
        chunk = Chunk(self.at_once)
        for line in lines:
            self._number += 1
            if line := line.strip():
                self._add(chunk, line)
                if chunk.is_full:
                    yield chunk
                    chunk = Chunk(self.at_once)
        if chunk.numbers:
            yield chunk

    def _add(self, chunk: Chunk, line: bytes) -> None:
        chunk.numbers.append(self._number)
        try:
            chunk.asks.append(self._ask(line))
        except Refusal as refusal:
            chunk.refused[self._number] = refusal
        else:
            chunk.size += len(line)

    def _ask(self, raw: bytes) -> Ask:
        if len(raw) > LINE_BYTES_MAX:
            raise BodyTooLarge(
                f"the line is longer than {LINE_BYTES_MAX} bytes", bytes_max=LINE_BYTES_MAX
            )
        try:
            line: Line = msgspec.convert(json_of(raw), Line)
        except msgspec.ValidationError as exc:
            raise MalformedRequest(f"the line does not have the right shape: {exc}") from exc
        asker = self._asker if line.by is None else self._on_behalf(line.by)
        reason = line.reason or (self._reason if asker.staff else None)
        what: Open | Move
        if isinstance(line, OpenLine):
            what = opening(line, reason)
        elif is_case_id(line.id):
            what = Move(
                transition=line.transition,
                fields=line.fields,
                reason=reason,
                occurred_at=claimed(line.occurred_at),
            )
        else:
            raise UnknownCase(f"{self._lifecycle.collection} has no case {line.id[:140]!r}")
        return Ask(
            asker=asker,
            collection=self._lifecycle.collection,
            id=line.id or new_case_id(int(time() * 1000), urandom(10)),
            what=what,
            request=self._request(raw, line.key),
            quiet=self._quiet,
        )

    def _on_behalf(self, tool: str) -> Asker:
        if not self._asker.staff:
            raise StaffOnly("only staff may import on behalf of a tool: leave `by` out")
        if tool not in self._behalf:
            raise UnknownTool(
                f"{self._lifecycle.collection} know no tool {tool[:80]!r}"
                f" (declared: {', '.join(self._behalf)})",
                tool=tool[:80],
            )
        return self._behalf[tool]

    def _request(self, raw: bytes, key: str | None) -> Request:
        digest = blake2b(raw, digest_size=DIGEST_BYTES, key=self._salt).digest()
        if key is None:
            return Request(f"import/{digest.hex()}/{self._ordinal(digest)}", "")
        if not (0 < len(key) <= KEY_LENGTH_MAX and key.isascii() and key.isprintable()):
            raise MalformedRequest(f"key: 1 to {KEY_LENGTH_MAX} printable ASCII signs")
        return Request(key, digest.hex())

    def _ordinal(self, digest: bytes) -> int:
        """How many equal lines stand before this one; equal lines are of one case."""
        if digest not in self._seen:
            self._seen.add(digest)
            return 0
        self._again[digest] = ordinal = self._again.get(digest, 0) + 1
        return ordinal


class Overtaken:
    """The refused lines of an import whose time is over, to be recorded with the next chunk."""

    def __init__(self) -> None:
        """Nothing was refused yet."""
        self._refused: OrderedDict[str, list[tuple[Ask, Refusal]]] = OrderedDict()
        self._over: list[Record] = []

    def learn(self, asks: Sequence[Ask], outcomes: Sequence[Answer | Refusal]) -> None:
        """Take what became of a chunk: what is applied overtakes what was refused before it."""
        for ask, outcome in zip(asks, outcomes, strict=True):
            if isinstance(outcome, Answer):
                self._over += starmap(_stays_refused, self._refused.pop(ask.id, ()))
            elif isinstance(outcome, CHANGEABLE) and ask.request and not ask.request.content:
                self._refused.setdefault(ask.id, []).append((ask, outcome))
        while len(self._refused) > REFUSED_CASES_MAX:
            self._refused.popitem(last=False)

    def take(self) -> list[Record]:
        """What is to be recorded now."""
        over, self._over = self._over, []
        return over


def _stays_refused(ask: Ask, refusal: Refusal) -> Record:
    """The refusal, remembered as the answer to its line."""
    assert ask.request is not None
    stream = request_stream(ask.asker, ask.request.key)

    def decide(known: Known, now: datetime) -> Answered | None:
        if known.version:
            return None
        return Answered(
            recorded_at=now,
            by=ask.asker,
            content="",
            case=case_stream(ask.collection, ask.id),
            version=0,
            event_version=0,
            status=0,
            refused=refusal.code,
            detail=refusal.detail,
        )

    return Record(stream, decide)


class Company:
    """Tells whether anybody else is at work: then an import goes on in small steps."""

    def __init__(self, keeper: Keeper) -> None:
        """Begin to watch."""
        self._keeper = keeper
        self._seen = self._heard()
        self._here = False

    def has_come(self) -> bool:
        """Whether anybody asked here, or wrote from elsewhere, since this was asked last."""
        before, self._seen = self._seen, self._heard()
        self._here = self._seen != before
        return self._here

    def share(self, seconds: float) -> float:
        """How long an import that took so long for its last step leaves the machine to others."""
        return min(seconds * PAUSE_TIMES, PAUSE_SECONDS_MAX) if self._here else 0.0

    def _heard(self) -> tuple[int, int]:
        journal = self._keeper.journal
        # What is in the log and did not come from this process, came from another one.
        return self._keeper.tally.answers.total(), journal.position - journal.pulse.events


def settled(outcomes: Sequence[Outcome]) -> list[Answer | Refusal]:
    """Outcomes as the lines may see them: a fault is ours, and the service's log says more."""
    seen: list[Answer | Refusal] = []
    for outcome in outcomes:
        if isinstance(outcome, Answer | Refusal):
            seen.append(outcome)
        else:
            log.error("fault", exc_info=outcome)
            seen.append(InternalFault("this is our fault; the service's log says more"))
    return seen


def stopped_by(outcomes: Iterable[Answer | Refusal]) -> NotNow | None:
    """What ends the import: nothing more is asked, the same file again mends it."""
    return next((one for one in outcomes if isinstance(one, NotNow)), None)


def not_asked(refusal: NotNow) -> NotNow:
    """The refusal of a line that comes after what ended the import."""
    return type(refusal)(refusal.detail, may_have_happened=False)


def answers(
    chunk: Chunk,
    outcomes: Sequence[Answer | Refusal],
    states: Mapping[tuple[str, int], str],
) -> Iterator[LineAnswer | tuple[int, Refusal]]:
    """What became of each line of a chunk, in order.

    `states`: case's stream and version → its state then, for those answered before.
    """
    asked = iter(outcomes)
    for number in chunk.numbers:
        outcome = chunk.refused.get(number) or next(asked)
        if isinstance(outcome, Refusal):
            yield number, outcome
            continue
        case, before = outcome.case, outcome.replayed
        if before is None:
            yield LineAnswer(number, 201, case.id, case.state, case.version)
        else:
            state = states.get((before.case, before.version), case.state)
            yield LineAnswer(number, before.status, case.id, state, before.version, replayed=True)


def written(answer: LineAnswer | tuple[int, Refusal]) -> bytes:
    """An answer as the line that goes back."""
    if isinstance(answer, LineAnswer):
        return JSON.encode(answer) + b"\n"
    number, refusal = answer
    return b'{"line":%d,' % number + body_of(refusal)[1:] + b"\n"
