"""What happens to one case, told through the real decisions over the shipped definitions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from lifecycle import changes
from lifecycle.case import Case, evolve
from lifecycle.changes import Change, Move, Open, SetFields
from lifecycle.definition import read
from lifecycle.events import (
    Asker,
    CaseEvent,
    Condition,
    Entry,
    Event,
    Refused,
    TransitionMade,
    Value,
)
from lifecycle.model import Lifecycle
from lifecycle.refusals import Refusal

DEFINITIONS = Path(__file__).parents[2] / "definitions"
MORNING = datetime(2026, 5, 4, 14, 3, 11, 120_000, UTC)
STEWARD = Asker(staff="the dispatcher", key="k1")


@cache
def lifecycles() -> dict[str, Lifecycle]:
    """Read every shipped definition."""
    files = sorted(DEFINITIONS.glob("*.yaml"))
    declared = [read(file.read_bytes(), file.name)[0] for file in files]
    return {one.lifecycle: Lifecycle(one) for one in declared}


def field_service() -> Lifecycle:
    return lifecycles()["field_service"]


class Story:
    """One case, an hour between two asks."""

    def __init__(self, lifecycle: Lifecycle | None = None, case_id: str = "J-1") -> None:
        self.lifecycle = lifecycle or field_service()
        self.id = case_id
        self.now = MORNING
        self.entries: list[Entry] = []
        self.refusals = 0
        self.begun: Case | None = None

    @property
    def case(self) -> Case:
        """The case as it is now."""
        assert self.begun is not None
        return self.begun

    @property
    def events(self) -> list[Event]:
        """What happened so far, refusals among it."""
        return [entry.event for entry in self.entries]

    @property
    def last(self) -> Event:
        """What happened last."""
        return self.entries[-1].event

    def opened(self, by: str = "crm", **members: object) -> "Story":
        """Open the case, or adopt it."""
        asker = STEWARD if by == "staff" else Asker(tool=by, key="k2")
        ask = Open(**members)  # type: ignore[arg-type]  # checked when it is built
        return self._recorded(changes.open_case(self.id, ask, asker, self.lifecycle, self.now))

    def then(self, by: str, what: Change) -> "Story":
        """Make the change; a refusal is recorded beside the case, as often as it is asked."""
        asker = STEWARD if by == "staff" else Asker(tool=by, key="k2")
        try:
            return self._recorded(changes.change(self.case, what, asker, self.lifecycle, self.now))
        except Refusal as refusal:
            return self._refused(asker, what, refusal)

    def says(self, by: str, **values: Value) -> "Story":
        """Set fields."""
        return self.then(by, SetFields(fields=values))

    def makes(self, by: str, transition: str, **values: Value) -> "Story":
        """Make a transition."""
        reason = "they called" if by == "staff" else None
        return self.then(by, Move(transition=transition, fields=values, reason=reason))

    def _recorded(self, events: tuple[CaseEvent, ...]) -> "Story":
        for event in events:
            version = self.begun.version + 1 if self.begun else 1
            stream = f"case:{self.lifecycle.collection}/{self.id}"
            entry = Entry(stream, version, event, len(self.entries) + 1)
            self.entries.append(entry)
            self.begun = evolve(self.begun, entry)
        self.now += timedelta(hours=1)
        return self

    def _refused(self, asker: Asker, what: Change, refusal: Refusal) -> "Story":
        match what:
            case Move(transition=name):
                asked = name
            case SetFields(fields=fields):
                asked = ", ".join(fields)
            case _:
                asked = type(what).__name__
        self.refusals += 1
        event = Refused(
            recorded_at=self.now,
            by=asker,
            asked=asked,
            code=refusal.code,
            detail=refusal.detail,
            state=self.case.states,
            case_version=self.case.version,
            times=1 + self._refused_before(asker, asked),
        )
        stream = f"refusals:{self.lifecycle.collection}/{self.id}"
        self.entries.append(Entry(stream, self.refusals, event, len(self.entries) + 1))
        self.now += timedelta(hours=1)
        return self

    def _refused_before(self, asker: Asker, asked: str) -> int:
        same = (asker, asked, self.case.version)
        told = [event for event in self.events if isinstance(event, Refused)]
        return sum((event.by, event.asked, event.case_version) == same for event in told)


def whole_job() -> Story:
    """Tell of a job from its quotation to its invoice, with everything that can go wrong."""
    return (
        Story()
        .opened(
            fields={"customer_name": "A. Customer", "email": "a@example.com", "scope": "Boiler"},
            references={"crm": ("987",)},
        )
        .says("accounting", deposit_due="500.00 USD")
        .makes("crm", "complete")
        .makes("crm", "complete")
        .says("crm", deposit_paid="1.00 USD")
        .says("accounting", deposit_paid="100.00 USD")
        .makes("accounting", "confirm_deposit")
        .says("accounting", deposit_paid="500.00 USD")
        .makes("projects", "schedule")
        .makes("projects", "schedule", scheduled_for="2026-05-11")
        .makes("projects", "unschedule")
        .makes("staff", "schedule")
        .then("accounting", changes.TakeReference(tool="accounting", ref="130", kind="invoice"))
        .then("staff", SetFields(fields={"scope": None}, reason="to be measured"))
        .then("staff", changes.Correct(state="completed", reason="the crew is home"))
        .makes("accounting", "invoice", invoice_no="INV-7")
        .then("accounting", changes.ReleaseReference(tool="accounting", ref="130", kind="invoice"))
        .then("staff", changes.Erase(reason="the customer asked"))
    )


def every_configuration() -> Iterator[Story]:
    """Put one case into each configuration that the shipped definitions reach."""
    for lifecycle in lifecycles().values():
        opener = lifecycle.ownership.openers(lifecycle.chart.initial)[0]
        for states in sorted(lifecycle.chart.configurations):
            story = Story(lifecycle, "C-1").opened(opener)
            correction = changes.Correct(state="+".join(states), reason="for the sake of argument")
            yield story.then("staff", correction)


def every_transition() -> Iterator[tuple[Lifecycle, Event]]:
    """Make each declared transition out of each configuration it leads out of."""
    for lifecycle in lifecycles().values():
        chart = lifecycle.chart
        for states in sorted(chart.configurations):
            for index in chart.open_rows(states):
                yield lifecycle, _made(lifecycle, states, index)


def _made(lifecycle: Lifecycle, states: tuple[str, ...], index: int) -> Event:
    chart = lifecycle.chart
    row, guard = chart.rows[index], chart.guards.get(index)
    same = [i for i in chart.open_rows(states) if chart.rows[i].name == row.name]
    lead = chart.lead(states, row.name, {i: i == index for i in same if i in chart.guards})
    seen = {name: sample(lifecycle, name) for name in guard.fields} if guard else {}
    maker = lifecycle.ownership.makers[index][0]
    return TransitionMade(
        recorded_at=MORNING,
        time=MORNING,
        by=Asker(tool=maker),
        transition=row.name,
        left=states,
        to=lead.configuration if lead else states,
        definition=lifecycle.mark,
        rule=f"{row.to!r} belongs to {maker}",
        fields={name: sample(lifecycle, name) for name in row.requires},
        condition=Condition(guard.text, seen) if guard else None,
        auto=row.auto,
    )


def sample(lifecycle: Lifecycle, name: str) -> Value:
    """Give some canonical value of a field."""
    field = lifecycle.fields[name]
    samples: dict[str, Value] = {
        "text": f"some {name}",
        "number": 3,
        "money": "1250.00 USD",
        "date": "2026-05-11",
        "datetime": "2026-05-11T09:30:00.000Z",
        "email": "a@example.com",
        "phone": "+12025550143",
        "address": {"lines": ["1 High Street"], "city": "Springfield", "country": "US"},
        "boolean": True,
        "case": "clients/C-7",
    }
    return field.choices[0] if field.type == "choice" else samples[field.type]
