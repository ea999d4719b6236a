"""Entries as they are stored: readable, sealed in part, patient with the future."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle import events
from lifecycle.events import (
    BY_TOPIC,
    ERASED,
    EVENTS,
    Asker,
    CaseOpened,
    Condition,
    DefinitionMark,
    Done,
    Entry,
    Event,
    FieldsSet,
    Valued,
)
from lifecycle.mapper import EntryMapper
from lifecycle.vault import Vault

TOPICS = {
    "case.opened.v1": events.CaseOpened,
    "case.adopted.v1": events.CaseAdopted,
    "case.transition-made.v1": events.TransitionMade,
    "case.fields-set.v1": events.FieldsSet,
    "case.reference-taken.v1": events.ReferenceTaken,
    "case.reference-released.v1": events.ReferenceReleased,
    "case.state-corrected.v1": events.StateCorrected,
    "case.carried-over.v1": events.CarriedOver,
    "case.erased.v1": events.Erased,
    "case.refused.v1": events.Refused,
    "reference.held.v1": events.ReferenceHeld,
    "reference.freed.v1": events.ReferenceFreed,
    "request.answered.v1": events.Answered,
    "key.issued.v1": events.KeyIssued,
    "key.revoked.v1": events.KeyRevoked,
    "key.sessions-ended.v1": events.SessionsEnded,
    "definition.adopted.v1": events.DefinitionAdopted,
    "message.heard.v1": events.Heard,
    "message.fetched.v1": events.Fetched,
    "message.heard-again.v1": events.HeardAgain,
    "message.understood.v1": events.Understood,
    "parked.waits.v1": events.Parked,
    "parked.released.v1": events.Unparked,
    "mirror.reported.v1": events.Reported,
    "claim.made.v1": events.ClaimMade,
    "claim.ended.v1": events.ClaimEnded,
    "notice.due.v1": events.NoticeDue,
    "notice.delivered.v1": events.NoticeDelivered,
    "notice.superseded.v1": events.NoticeSuperseded,
    "notice.given-up.v1": events.NoticeGivenUp,
    "notice.recovered.v1": events.NoticeRecovered,
    "reaction.planned.v1": events.ReactionPlanned,
    "reaction.dropped.v1": events.ReactionDropped,
    "flow.failing.v1": events.FlowFailing,
    "flow.recovered.v1": events.FlowRecovered,
    "flow.stopped.v1": events.FlowStopped,
    "flow.started.v1": events.FlowStarted,
    "drift.found.v1": events.DriftFound,
    "drift.resolved.v1": events.DriftResolved,
    "retention.messages-let-go.v1": events.MessagesLetGo,
}
"""Written out: logs in the field hold these names, so a line here is never changed, only added."""

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
STREAM = "case:jobs/C-1"

texts = st.text(st.characters(codec="utf-8"), max_size=12)
ids = st.sampled_from(["email", "scope", "sealed", "names", "personal", "price"])
leaves = st.lists(texts, max_size=3).map(tuple)
numbers = st.decimals(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
values = st.one_of(
    texts,
    numbers,
    st.booleans(),
    st.none(),
    st.fixed_dictionaries({"city": texts, "lines": st.lists(texts, max_size=2)}),
)
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
known = st.dictionaries(ids, values, max_size=4)
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "recorded_at": times,
    "time": times,
    "claimed_at": st.none() | times,
    "occurred_at": st.none() | times,
    "at": times,
    "fires_at": times,
    "sent_at": st.none() | times,
    "until": st.none() | times,
    "refs": st.dictionaries(texts, leaves, max_size=2),
    "by": st.builds(Asker, tool=texts, staff=st.none() | texts, key=texts, read_only=st.booleans()),
    "reason": st.none() | texts,
    "tool": texts,
    "staff": texts,
    "to": leaves,
    "left": leaves,
    "state": leaves,
    **dict.fromkeys(("states", "taken", "said", "differing"), leaves),
    "not_taken": st.dictionaries(texts, texts, max_size=2),
    "fields": known,
    "personal": known,
    "renamed": st.dictionaries(texts, texts, max_size=2),
    "renamed_states": st.dictionaries(texts, texts, max_size=2),
    "references": st.dictionaries(texts, leaves, max_size=2),
    "definition": st.builds(DefinitionMark, version=st.integers(1, 99), digest=texts),
    "condition": st.none() | st.builds(Condition, when=texts, values=known),
    "done": st.lists(st.builds(Done, id=texts, outcome=texts), max_size=2).map(tuple),
}
BY_TYPE = {
    str: texts,
    str | None: st.none() | texts,
    bool: st.booleans(),
    int: st.integers(0, 10**9),
    int | None: st.none() | st.integers(0, 10**9),
    tuple[str, ...]: st.lists(texts, max_size=3).map(tuple),
    bytes: st.just(b""),  # what came is opened only for who asks
}


@st.composite
def recorded(draw: st.DrawFn) -> Event:
    """Draw any event that can stand in the log."""
    kind = draw(st.sampled_from(EVENTS))
    members = {one.name: one.type for one in msgspec.structs.fields(kind)}
    drawn = {
        name: MEMBERS[name] if name in MEMBERS else BY_TYPE[of] for name, of in members.items()
    }
    return kind(**draw(st.fixed_dictionaries(drawn)))


def mapper_with(keys: dict[str, bytes]) -> EntryMapper:
    """Map with a vault whose stored keys are these."""
    return EntryMapper(Vault(bytes(32), lambda streams: {s: keys[s] for s in streams if s in keys}))


@given(recorded(), st.integers(1, 10**6))
def test_what_is_stored_comes_back(event: Event, version: int) -> None:
    """Every event of every type is the same after a time in the log, personal values included."""
    mapper = mapper_with({})
    entry = Entry(STREAM, version, event)
    stored = mapper.to_stored_event(entry)
    assert (stored.originator_id, stored.originator_version) == (STREAM, version)
    assert stored.topic == event.TOPIC
    assert mapper.to_domain_event(stored) == entry
    afterwards = mapper_with(dict(mapper.vault.made()))
    assert afterwards.to_domain_event(stored) == entry


@given(recorded())
def test_what_is_not_known_yet_is_let_through(event: Event) -> None:
    """A newer program may have written more members: they are passed over."""
    mapper = mapper_with({})
    stored = mapper.to_stored_event(Entry(STREAM, 1, event))
    state = stored.state[:-1] + b',"mood":{"of":["the","day"]}}'
    later = type(stored)(STREAM, 1, stored.topic, state)
    assert mapper.to_domain_event(later).event == event


def test_what_an_older_program_did_not_write_has_its_default() -> None:
    """Events stored with the bare minimum are read."""
    minimal = b'{"recorded_at":"2026-05-04T12:00:00Z","by":{},"time":"2026-05-04T12:00:00Z"}'
    mapper = mapper_with({})
    stored = mapper.to_stored_event(
        Entry(STREAM, 1, FieldsSet(recorded_at=NOON, by=Asker(), time=NOON))
    )
    assert stored.state == minimal
    read = mapper.to_domain_event(type(stored)(STREAM, 1, "case.fields-set.v1", minimal))
    assert read.event == FieldsSet(recorded_at=NOON, by=Asker(), time=NOON, fields={})


def test_topics_are_what_they_always_were() -> None:
    """A topic is a promise to every log written: unique, and the same for ever."""
    assert BY_TOPIC == TOPICS
    assert len(BY_TOPIC) == len(EVENTS)


def test_every_event_has_its_place_in_the_list() -> None:
    """Whatever is defined with a topic of its own can also be read back."""
    defined = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and "TOPIC" in vars(kind)
    }
    assert defined == set(EVENTS)


def opened(**personal: Any) -> Entry:
    event = CaseOpened(
        recorded_at=NOON,
        by=Asker(tool="crm"),
        time=NOON,
        lifecycle="field_service",
        definition=DefinitionMark(1, "d"),
        to=("quoted",),
        fields={"scope": "Boiler"},
        personal=personal,
    )
    return Entry(STREAM, 1, event)


def personal_of(entry: Entry) -> dict[str, Any]:
    assert isinstance(entry.event, Valued)
    return entry.event.personal


def test_sealed_values_are_not_in_the_stored_bytes() -> None:
    """What is personal cannot be read in the log; all else can, with any database shell."""
    state = mapper_with({}).to_stored_event(opened(email="secret@example.com")).state
    assert b"secret" not in state
    assert b"Boiler" in state
    assert msgspec.json.decode(state)["names"] == ["email"]


def test_without_its_key_a_value_reads_erased() -> None:
    """Once the key is gone the names are left, and nothing else."""
    mapper = mapper_with({})
    stored = mapper.to_stored_event(opened(email="a@example.com", price=Decimal("1.50")))
    without = mapper_with({}).to_domain_event(stored)
    assert personal_of(without) == {"email": ERASED, "price": ERASED}


def test_that_a_value_was_forgotten_outlives_the_key() -> None:
    """A value that was taken back before the erasing is unknown after it, not erased."""
    mapper = mapper_with({})
    stored = mapper.to_stored_event(opened(email=None, customer_name="A. Customer"))
    without = mapper_with({}).to_domain_event(stored)
    assert personal_of(without) == {"email": None, "customer_name": ERASED}
    alone = mapper.to_stored_event(opened(email=None))
    assert b"sealed" not in alone.state
    assert personal_of(mapper.to_domain_event(alone)) == {"email": None}


@pytest.mark.parametrize("field", ["sealed", "names"])
def test_fields_may_be_called_as_they_like(field: str) -> None:
    """A field whose name is one of the mapper's own words is a field like others."""
    event = FieldsSet(recorded_at=NOON, by=Asker(), time=NOON, fields={"a": "1", field: "open"})
    mapper = mapper_with({})
    entry = Entry(STREAM, 1, event)
    assert mapper.to_domain_event(mapper.to_stored_event(entry)) == entry


def test_what_is_sealed_belongs_to_its_stream() -> None:
    """Sealed bytes that are moved to another case cannot be read there."""
    mapper = mapper_with({})
    stored = mapper.to_stored_event(opened(email="a@example.com"))
    elsewhere = "case:jobs/C-2"
    mapper.to_stored_event(Entry(elsewhere, 1, opened(email="b@example.com").event))
    moved = type(stored)(elsewhere, 1, stored.topic, stored.state)
    assert personal_of(mapper.to_domain_event(moved)) == {"email": ERASED}
