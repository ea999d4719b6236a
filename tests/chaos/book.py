"""What the log says, read past all code of ours, and held against what clients were told."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tests.chaos.clients import Ask, Client, Heard, acknowledged
from tests.conserving import rows

MOVED = "case.transition-made.v1"
ANSWERED = "request.answered.v1"
REFUSED = "case.refused.v1"

OPEN_IN = {"schedule": "deposit_confirmed", "unschedule": "scheduled"}
"""Where the transitions of the load lead out of."""


class Fact(msgspec.Struct, frozen=True):
    """One row of the log."""

    position: int
    stream: str
    version: int
    topic: str
    state: Mapping[str, Any]


class Book:
    """The whole log as it stands in the database at one moment."""

    def __init__(self, database: str) -> None:
        """Read it, and make sure that it is a log at all."""
        self.facts = [
            Fact(position, stream, version, topic, msgspec.json.decode(bytes(state)))
            for position, stream, version, topic, state in rows(database)
        ]
        self.at = {fact.position: fact for fact in self.facts}
        self.streams: dict[str, list[Fact]] = defaultdict(list)
        for fact in self.facts:
            self.streams[fact.stream].append(fact)
        assert len(self.at) == len(self.facts)
        for name, facts in self.streams.items():
            versions = [fact.version for fact in facts]
            assert versions == list(range(1, len(facts) + 1)), f"{name} has versions {versions}"

    def moves(self, job: str) -> list[Fact]:
        """The transitions of a job."""
        return [fact for fact in self.streams[f"case:jobs/{job}"] if fact.topic == MOVED]

    def holds(self, ask: Ask, heard: Heard) -> None:
        """Assert that an acknowledged transition stands in the log as it was told."""
        event, case = heard.body["event"], heard.body["case"]
        fact = self.at.get(event["position"])
        assert fact is not None, f"acknowledged, and lost: {ask} {event}"
        assert fact.stream == f"case:jobs/{case['id']}"
        assert (fact.version, fact.topic) == (event["version"], MOVED)
        assert fact.state["transition"] == ask.body["transition"] == event["data"]["transition"]
        assert (case["version"], case["position"]) == (event["version"], event["position"])
        assert case["states"] == fact.state["to"]

    def holds_each_once(self, clients: Iterable[Client]) -> None:
        """Assert that each ask acknowledged was done exactly once, and nothing else was done."""
        told: dict[str, int] = {}
        for ask, heard in acknowledged(clients):
            self.holds(ask, heard)
            assert ask.key is not None
            position = heard.body["event"]["position"]
            assert told.setdefault(ask.key, position) == position, f"two answers to {ask}"
            remembered = self.streams[f"request:tool:projects/{ask.key}"]
            assert len(remembered) == 1, f"remembered {len(remembered)} times: {ask}"
            assert remembered[0].state["event_version"] == heard.body["event"]["version"]
        times = Counter(told.values())
        assert all(count == 1 for count in times.values()), "one event for two asks"
        made = {fact.position for fact in self.facts if fact.topic == MOVED}
        assert made == set(told.values()), f"{len(made)} made, {len(told)} acknowledged"

    def refused_rightly(self, clients: Iterable[Client]) -> None:
        """Assert that every no was the truth when it was said, and every yes too.

        The log is read from its beginning; a recorded refusal has to fit what stands before it. How
        often it was repeated may be recorded later, when the job has moved on.
        """
        where: dict[str, tuple[str, int]] = {}
        was: dict[tuple[str, int], str] = {}
        states: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for fact in self.facts:
            kind, _, job = fact.stream.partition(":jobs/")
            if kind == "case":
                if fact.topic == MOVED:
                    assert fact.state["from"] == [where[job][0]], fact
                    assert OPEN_IN[fact.state["transition"]] == where[job][0], fact
                where[job] = (fact.state["to"][0], fact.version)
                states[job].append((fact.position, where[job][0]))
                was[job, fact.version] = where[job][0]
            elif fact.topic == REFUSED:
                (state,), version = fact.state["state"], fact.state["case_version"]
                assert was[job, version] == state, fact
                assert version == where[job][1] or fact.state["times"] > 1, fact
                assert OPEN_IN[fact.state["asked"]] != state, fact
        for client in clients:
            for ask, heard in client.heard:
                if heard.status == 409:
                    _assert_was_so(ask, heard, states)


def _assert_was_so(ask: Ask, heard: Heard, states: Mapping[str, Sequence[tuple[int, str]]]) -> None:
    """Assert that a job was in the state that a refusal names, while the ask was under way."""
    job = ask.path.split("/")[3]
    before = [state for position, state in states[job] if position <= heard.since][-1:]
    during = [state for position, state in states[job] if heard.since < position <= heard.position]
    assert heard.code == "transition-not-open"
    assert heard.body["state"] in before + during, (ask, heard)
    assert OPEN_IN[ask.body["transition"]] != heard.body["state"], (ask, heard)
