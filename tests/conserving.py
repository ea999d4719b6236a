"""Conservation: what was heard is the sum of its outcomes, what was due the sum of its ends.

Read past all code of ours, and asserted by whatever gives a test a log or a service, when the test
is over: no test can forget it. One that damages a log on purpose says so, by the marker `damages`
or by the argument of that name.
"""

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from lifecycle.events import Entry

Sums = Counter[tuple[str, str]]
"""Tool and outcome, or state → how many."""

ENDS: Final = {
    "notice.due.v1": "waiting",
    "notice.recovered.v1": "waiting",
    "notice.delivered.v1": "delivered",
    "notice.superseded.v1": "superseded",
    "notice.given-up.v1": "given-up",
}
FOLLOWS: Final = {
    "waiting": {"", "waiting", "given-up"},
    "delivered": {"waiting", "superseded"},
    "superseded": {"waiting"},
    "given-up": {"waiting"},
}
"""What may become of a notice → after what; nothing (``) is before it was due."""
OUTCOMES: Final = {"parked", "ignored", "stale", "agrees", "echo", "applied", "early", "drift"}


class Fact(msgspec.Struct, frozen=True):
    """One event of the log."""

    stream: str
    version: int
    topic: str
    state: Mapping[str, Any]


class Sum:
    """What a log adds up to, event by event; raises where one does not fit those before it."""

    def __init__(self) -> None:
        """Begin with an empty log."""
        self.versions: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        """Message → what it was taken for as it came."""
        self.outcomes: dict[str, tuple[str, str]] = {}
        """Message → what became of it, and why."""
        self.again: Counter[str] = Counter()
        """Message → how often it came besides."""
        self.notices: dict[tuple[str, str], str] = {}
        """Tool and notice → what became of it."""
        self.waits: dict[str, set[str]] = defaultdict(set)
        """Stream of claims, or of what is missing → the messages that wait there."""

    def take(self, fact: Fact) -> None:
        """One more event."""
        kind, _, name = fact.stream.partition(":")
        self.versions[fact.stream] += 1
        assert fact.version == self.versions[fact.stream], f"an event is missing before {fact}"
        if kind == "message":
            self._hear(fact, name)
        elif fact.topic in ENDS:
            self._tell(fact)
        elif kind in {"claims", "parked", "unfetched"}:
            self._wait(fact)

    def _hear(self, fact: Fact, message: str) -> None:
        if (fact.version == 1) != (fact.topic == "message.heard.v1"):
            raise AssertionError(f"heard once, and first of all: {fact}")
        if fact.version == 1:
            self.first[message] = fact.state["outcome"]
        if "outcome" in fact.state:
            assert fact.state["outcome"] in OUTCOMES, fact
            self.outcomes[message] = fact.state["outcome"], fact.state.get("why", "")
        elif fact.topic == "message.heard-again.v1":
            self.again[message] += 1
            assert fact.state.get("times", 2) == self.again[message] + 1, f"miscounted: {fact}"

    def _tell(self, fact: Fact) -> None:
        notice = fact.state["tool"], fact.state["id"]
        before, now = self.notices.get(notice, ""), ENDS[fact.topic]
        assert before in FOLLOWS[now], f"{before or 'never due'}, and then {fact}"
        assert bool(before) != (fact.topic == "notice.due.v1"), f"due twice, or never: {fact}"
        self.notices[notice] = now

    def _wait(self, fact: Fact) -> None:
        waits, message = self.waits[fact.stream], fact.state["message"]
        if fact.topic in {"claim.made.v1", "parked.waits.v1"}:
            assert message not in waits, f"waits already: {fact}"
            waits.add(message)
        else:
            assert message in waits, f"did not wait: {fact}"
            waits.remove(message)

    @property
    def heard(self) -> Sums:
        """What was heard by tool and outcome, as it is understood by now."""
        sums: Sums = Counter()
        for message, (outcome, _) in self.outcomes.items():
            sums[_tool(message), outcome] += 1
            sums[_tool(message), "duplicate"] += self.again[message]
        return +sums

    @property
    def came(self) -> Sums:
        """The same as it was understood when it came."""
        sums = Counter((_tool(message), outcome) for message, outcome in self.first.items())
        for message, times in self.again.items():
            sums[_tool(message), "duplicate"] += times
        return sums

    @property
    def told(self) -> Sums:
        """What tools were due, by tool and what became of it."""
        return Counter((tool, state) for (tool, _), state in self.notices.items())

    def conserved(self) -> None:
        """Assert that all that waits is awaited, and that nothing else is."""
        for kind, outcome, why in (
            ("claims", "early", ""),
            ("parked", "parked", "unknown-reference"),
        ):
            waiting = [
                message.removeprefix("message:")
                for stream, messages in self.waits.items()
                if stream.startswith(f"{kind}:")
                for message in messages
            ]
            said = [one for one, how in self.outcomes.items() if how == (outcome, why or how[1])]
            assert sorted(waiting) == sorted(said), f"{outcome}: {said}, and {kind}: {waiting}"
        for stream, messages in self.waits.items():
            for message in messages if stream.startswith("unfetched:") else ():
                how = self.outcomes.get(message.removeprefix("message:"))
                assert how == ("parked", "not-fetched"), f"{message} waits for its record, {how}"


def fact_of(entry: Entry) -> Fact:
    """The same event before it is stored."""
    state = msgspec.structs.asdict(entry.event)
    return Fact(entry.stream, entry.version, entry.event.TOPIC, state)


def sum_of(facts: Iterable[Fact]) -> Sum:
    """What these events add up to; each stream's in order."""
    made = Sum()
    for fact in facts:
        made.take(fact)
    made.conserved()
    return made


def _tool(message: str) -> str:
    return message.partition("/")[0]


# --- the log as it stands in the database -------------------------------------------------------

COLUMNS: Final = "position, originator_id, originator_version, topic, state"
KINDS: Final = ("message", "mirror", "claims", "parked", "unfetched")


def conserved(database: str) -> Sum:
    """Assert that the log in a database adds up; answers to what."""
    return Reading(database).on()


class Reading:
    """A log that grows, read on from where it was read to."""

    def __init__(self, database: str) -> None:
        """Begin before its first event."""
        self._database = database
        self._position = 0
        self._sum = Sum()

    def on(self) -> Sum:
        """Assert that all of it adds up by now; answers to what."""
        for position, fact in facts(self._database, self._position):
            self._sum.take(fact)
            self._position = position
        self._sum.conserved()
        return self._sum


def facts(database: str, after: int = 0) -> list[tuple[int, Fact]]:
    """What was heard and told behind a position, by the database's own driver; each with its own.

    Nothing where there is no log.
    """
    kinds = " OR ".join(f"originator_id LIKE '{kind}:%%'" for kind in KINDS)
    return [
        (position, Fact(stream, version, topic, msgspec.json.decode(bytes(state))))
        for position, stream, version, topic, state in rows(
            database, f"position > {after} AND ({kinds})"
        )
    ]


def rows(database: str, condition: str = "TRUE") -> Sequence[tuple[Any, ...]]:
    """Rows of the log, all of them or some, in its order; none where there is no log."""
    statement = f"FROM {{}}stored_events WHERE {condition} ORDER BY position"
    if database.startswith("sqlite:///"):
        path = Path(database.removeprefix("sqlite:///"))
        if not path.exists() or not path.stat().st_size:
            return []
        file = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return file.execute(f"SELECT {COLUMNS} {statement.format('')}").fetchall()
        finally:
            file.close()
    address, _, schema = database.partition("schema=")
    with psycopg.connect(address.rstrip("?&")) as server:
        named = server.execute("SELECT to_regclass(%s)", (f'"{schema}".stored_events',)).fetchone()
        if named == (None,):
            return []
        there = statement.format(f'"{schema}".')
        return server.execute(f"SELECT {COLUMNS} {there}".encode()).fetchall()


# --- what a service says ------------------------------------------------------------------------


def scraped(metrics: str, name: str) -> Sums:
    """One family of `/metrics`, by tool and outcome or state; what is nought is left out."""
    found = re.findall(rf"^{name}{{(.*)}} ([0-9.e+]+)$", metrics, re.MULTILINE)
    sums: Sums = Counter()
    for labels, number in found:
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        sums[named["tool"], named.get("outcome") or named["state"]] += int(float(number))
    return +sums


def differing(metrics: str, log: Sum) -> str:
    """How what a service says differs from its log, in a line; empty where it says nothing."""
    if not metrics:
        return ""
    told = scraped(metrics, "statekeeper_notices")
    due = Counter({one: number for one, number in told.items() if one[1] == "due"})
    ends = told - due
    came = scraped(metrics, "statekeeper_messages_total")
    for what, here, there in (
        ("heard", scraped(metrics, "statekeeper_messages_kept"), log.heard),
        ("told", ends, log.told),
        ("due", _by_tool(due), _by_tool(ends)),
        ("heard, and lost", came - log.came, Counter()),
    ):
        if here != there:
            return f"{what}: it says {dict(here)}, the log {dict(there)}"
    return ""


def _by_tool(sums: Sums) -> Counter[str]:
    counted: Counter[str] = Counter()
    for (tool, _), number in sums.items():
        counted[tool] += number
    return counted
