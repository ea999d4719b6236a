from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.events import Asker, Entry, KeyIssued, ReferenceHeld, Refused, TransitionMade
from projections.timeline import history, stamp, view
from tests.projections.stories import MORNING, Story, field_service, whole_job


def test_a_transition_is_shown_with_all_that_explains_it() -> None:
    """What happened, when, who, by which rule, on which values, by which definition: all in one."""
    story = whole_job()
    entry = story.entries[8]

    assert msgspec.json.decode(msgspec.json.encode(view(entry, story.lifecycle))) == {
        "position": 9,
        "time": "2026-05-04T21:03:11.120Z",
        "recorded_at": "2026-05-04T21:03:11.120Z",
        "type": "TransitionMade",
        "collection": "jobs",
        "id": "J-1",
        "version": 5,
        "by": {"tool": "accounting", "key": "k2"},
        "sentence": "QuickBooks Online confirmed the deposit automatically, because the deposit"
        " paid (500.00 USD) covers the deposit due (500.00 USD).",
        "data": {
            "transition": "confirm_deposit",
            "from": ["quoted"],
            "to": ["deposit_confirmed"],
            "fields": {},
            "condition": {
                "when": "deposit_paid >= deposit_due",
                "values": {"deposit_paid": "500.00 USD", "deposit_due": "500.00 USD"},
            },
            "rule": "'deposit_confirmed' belongs to accounting",
            "reason": None,
            "message": None,
            "auto": True,
            "override": False,
            "definition": {"version": 1, "digest": story.lifecycle.mark.digest},
        },
    }


def test_an_event_is_shown_in_the_order_of_the_contract() -> None:
    """The members of an event stand in the order in which the contract names them."""
    shown = msgspec.json.encode(view(whole_job().entries[0], field_service()))

    assert list(msgspec.json.decode(shown)) == [
        "position", "time", "recorded_at", "type", "collection", "id", "version", "by",
        "sentence", "data",
    ]  # fmt: skip


def test_each_type_carries_what_it_has() -> None:
    """The data of every event of a job names what that type is about."""
    story = whole_job()
    carried = {
        shown.type: set(shown.data)
        for shown in (view(entry, story.lifecycle) for entry in story.entries)
    }
    about = {"reason", "message", "override"}

    assert carried["CaseOpened"] == about | {
        "lifecycle", "to", "fields", "references", "rule", "definition",
    }  # fmt: skip
    assert carried["FieldsSet"] == about | {"fields"}
    assert carried["ReferenceTaken"] == about | {"tool", "kind", "ref"}
    assert carried["ReferenceReleased"] == about | {"tool", "kind", "ref"}
    assert carried["StateCorrected"] == about | {"from", "to", "definition"}
    assert carried["Erased"] == about
    assert carried["Refused"] == {"asked", "code", "detail", "state", "case_version", "times"}


def test_claimed_and_recorded_time_are_told_apart() -> None:
    """An event's time is the one that was claimed; when it was recorded stands beside it."""
    story = Story().opened(occurred_at=MORNING - timedelta(days=2))

    shown = view(story.entries[0], story.lifecycle)

    assert shown.time == "2026-05-02T14:03:11.120Z"
    assert shown.recorded_at == "2026-05-04T14:03:11.120Z"


def test_history_is_oldest_first_with_each_refusal_once() -> None:
    """Changes and refusals stand together; of a repeated one the last count, at its first place."""
    story = whole_job()

    shown = history(reversed(story.entries), story.lifecycle)

    positions = [one.position for one in shown]
    assert positions == sorted(positions)
    assert positions == [entry.position for entry in story.entries if entry.position != 4]
    assert shown[2].data["times"] == 2
    assert shown[2].position == 3
    assert "asked 2 times" in shown[2].sentence


def test_another_asker_or_version_is_another_refusal() -> None:
    """Only the very same ask, of the same asker at the same version, is counted together."""
    story = Story().opened().makes("crm", "complete").makes("projects", "complete")
    story.says("accounting", deposit_due="1.00 USD").makes("crm", "complete")

    shown = history(story.entries, story.lifecycle)

    assert [one.type for one in shown] == [
        "CaseOpened", "Refused", "Refused", "FieldsSet", "Refused",
    ]  # fmt: skip


def test_a_refusal_stands_beside_the_case_it_is_about() -> None:
    """The stream of refusals names the case; its version is the one the case stood at."""
    story = whole_job()

    shown = view(story.entries[2], story.lifecycle)

    assert (shown.type, shown.collection, shown.id, shown.version) == ("Refused", "jobs", "J-1", 2)


def test_a_cut_name_of_a_stream_is_told_by_the_caller() -> None:
    """Where the name of the stream was too long to say the case's id, the caller says it."""
    entry = msgspec.structs.replace(whole_job().entries[2], stream="refusals:jobs/J-1#c0ffee")

    shown = view(entry, field_service(), collection="jobs", id="J-1")

    assert shown.id == "J-1"


def test_digests_are_not_shown() -> None:
    """A key's event says whose it is, and never what would let somebody look for it."""
    by = Asker(staff="the owner")
    issued = KeyIssued(recorded_at=MORNING, by=by, digest="c0ffee", tool="crm")
    held = ReferenceHeld(recorded_at=MORNING, by=by, case="jobs/J-1")

    key = view(Entry("key:k1", 1, issued, 1), None)
    reference = view(Entry("reference:crm/deal/987", 1, held, 2), None)

    assert key.collection is key.id is None
    assert b"c0ffee" not in msgspec.json.encode(key)
    assert (reference.collection, reference.id) == ("jobs", "J-1")


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 5, 4, 14, 3, 11, 120_999, UTC), "2026-05-04T14:03:11.120Z"),
        (datetime(2026, 5, 4, 14, 3, 11, tzinfo=UTC), "2026-05-04T14:03:11.000Z"),
        (
            datetime(2026, 5, 4, 1, 0, tzinfo=timezone(timedelta(hours=2))),
            "2026-05-03T23:00:00.000Z",
        ),
    ],
)
def test_times_are_utc_to_the_millisecond(time: datetime, text: str) -> None:
    """Every time goes out as RFC 3339 in UTC with three decimals."""
    assert stamp(time) == text


FACTS = {
    "customer_name": "Xq Customer",
    "email": "xq@example.com",
    "scope": "Xq boiler",
    "deposit_due": "7711.00 USD",
    "deposit_paid": "7722.00 USD",
    "scheduled_for": "2027-03-04",
    "invoice_no": "XQ-77",
}
WRITTEN = {"deposit_due": "7,711", "deposit_paid": "7,722", "scheduled_for": "4 March 2027"}


def told_story() -> Story:
    story = Story().opened(
        fields={name: FACTS[name] for name in ("customer_name", "email", "scope")}
    )
    story.says("accounting", deposit_due=FACTS["deposit_due"], deposit_paid="66.00 USD")
    story.makes("accounting", "confirm_deposit")
    story.says("accounting", deposit_paid=FACTS["deposit_paid"])
    story.makes("projects", "schedule", scheduled_for=FACTS["scheduled_for"])
    story.makes("projects", "complete")
    return story.makes("accounting", "invoice", invoice_no=FACTS["invoice_no"])


@given(hidden=st.sets(st.sampled_from(sorted(FACTS))))
def test_hidden_values_never_leak_into_history(hidden: set[str]) -> None:
    """Whatever set of fields an asker may not read, no event shows one of their values."""
    story = told_story()
    text = msgspec.json.encode(history(story.entries, story.lifecycle, hidden=hidden)).decode()

    assert isinstance(story.entries[2].event, Refused)
    assert isinstance(story.last, TransitionMade)
    for name, value in FACTS.items():
        shown = value in text or WRITTEN.get(name, value) in text
        assert shown == (name not in hidden), name
    assert ("66.00" in text) == ("deposit_paid" not in hidden)
