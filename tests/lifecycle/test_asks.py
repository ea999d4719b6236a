"""What an ask causes beyond its case: references, remembered requests, refusals as evidence."""

from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from lifecycle.asks import Look, LookUp
from lifecycle.case import Case
from lifecycle.changes import Move, Open, ReleaseReference, TakeReference
from lifecycle.events import (
    Answered,
    Asker,
    CaseOpened,
    DefinitionAdopted,
    Entry,
    FieldsSet,
    KeyIssued,
    KeyRevoked,
    ReferenceReleased,
    ReferenceTaken,
    Refused,
    TransitionMade,
)
from lifecycle.known import Known, learn
from lifecycle.references import references_of
from lifecycle.refusals import (
    CaseExists,
    ConditionNotMet,
    DefinitionNotAdopted,
    FieldsMissing,
    IdempotencyKeyReused,
    InvalidFields,
    NotSignedIn,
    NotTheOwner,
    NotYours,
    ReasonRequired,
    Refusal,
    StaffOnly,
    TransitionNotOpen,
    UnknownCase,
    UnknownCollection,
    UnknownReference,
    UnknownTool,
    UnknownTransition,
    VersionMoved,
)
from lifecycle.refusals import ReferenceTaken as Taken
from lifecycle.streams import STREAM_LENGTH_MAX, reference_stream, refusals_stream, request_stream
from tests.lifecycle.given import (
    CONFIRMED,
    MORNING,
    STAFF,
    Did,
    Given,
    correct,
    deposit_due,
    deposit_paid,
    erase,
    given,
    move,
    opened,
    scheduled,
    shipped,
    tell,
)

second = Did("crm", Open(), id="C-2")
INVOICE = TakeReference(tool="accounting", kind="invoice", ref="130")
RELEASE = ReleaseReference(tool="accounting", kind="invoice", ref="130")


def released(tool: str, ref: str, **more: Any) -> ReleaseReference:
    return ReleaseReference(tool=tool, ref=ref, **more)


class TestReferences:
    def test_a_reference_means_one_case(self) -> None:
        """A tool's own id leads to the case that took it, and to no other."""
        story = given(opened, second, Did("projects", INVOICE))
        assert story.when(LookUp("accounting", "130"), by="crm", id="").case.id == "C-1"
        refusal = story.when(INVOICE, by="projects", id="C-2").refused(Taken, "release it there")
        assert refusal.facts["case"] == "jobs/C-1"

    def test_a_reference_comes_with_the_opening_too(self) -> None:
        """What is named when a case is opened is taken with it, all or nothing."""
        story = given(Did("crm", Open(references={"crm": ("9",), "accounting:estimate": ("1",)})))
        story.when(LookUp("accounting", "1", "estimate"), by="crm", id="").done()
        again = Open(references={"crm": ("10", "9")})
        story.when(again, by="crm", id="C-2").refused(Taken, "'9'")
        story.when(LookUp("crm", "10"), by="crm", id="").refused(UnknownReference)

    def test_what_was_released_may_be_taken_by_another(self) -> None:
        """A released reference means nothing, until another case takes it."""
        story = given(opened, second, Did("projects", INVOICE))
        story.when(RELEASE, by="accounting").then(ReferenceReleased)
        assert story.case.references == {}
        story.when(LookUp("accounting", "130"), by="crm", id="").refused(UnknownReference)
        story.when(INVOICE, by="crm", id="C-2").then(ReferenceTaken)
        assert story.when(LookUp("accounting", "130"), by="crm", id="").case.id == "C-2"
        assert story.streams[reference_stream("accounting", "invoice", "130")].version == 3

    @pytest.mark.parametrize("kind", ["", "invoice"])
    def test_no_kind_is_the_main_kind(self, kind: str) -> None:
        """Named with its main kind or without, it is the same reference: held once."""
        story = given(opened, Did("accounting", INVOICE))
        story.when(TakeReference(tool="accounting", ref="130", kind=kind), by="crm").then()
        story.when(LookUp("accounting", "130", kind), by="crm", id="").done()
        story.when(released("accounting", "130", kind=kind), by="accounting").done()
        assert story.case.references == {}

    def test_another_kind_is_another_reference(self) -> None:
        """An estimate of the same number is something else."""
        story = given(opened, second, Did("accounting", INVOICE))
        estimate = TakeReference(tool="accounting", kind="estimate", ref="130")
        story.when(estimate, by="accounting", id="C-2").then(ReferenceTaken)

    def test_one_reference_under_two_names_is_held_once(self) -> None:
        """An opening that names the same reference twice holds it once, and releases it whole."""
        ask = Open(references={"accounting": ("1", "1"), "accounting:invoice": ("1", "2")})
        story = given(Did("crm", ask))
        held = references_of(story.case, "accounting", "", story.lifecycle)
        assert story.case.references == {"accounting": ("1",), "accounting:invoice": ("2",)}
        assert set(held) == {"1", "2"}
        story.when(released("accounting", "1"), by="accounting").done()
        assert story.case.references == {"accounting:invoice": ("2",)}

    def test_only_the_tool_it_names_or_staff_release_it(self) -> None:
        """Any tool may set a reference; to let it go is for the one it belongs to."""
        story = given(opened, Did("projects", INVOICE))
        story.when(RELEASE, by="projects").refused(NotTheOwner, "accounting or staff")
        story.when(RELEASE).refused(ReasonRequired)
        reasoned = released("accounting", "130", reason="a typing mistake")
        story.when(reasoned).then(ReferenceReleased, override=True)

    def test_staff_set_a_reference_with_a_reason(self) -> None:
        """Staff say why a case is that record, and it shows."""
        given(opened).when(INVOICE).refused(ReasonRequired)
        reasoned = TakeReference(tool="crm", ref="9", reason="same customer")
        given(opened).when(reasoned).then(ReferenceTaken, override=True)

    def test_tools_and_kinds_are_the_declared_ones(self) -> None:
        """A tool or a kind that nobody declared is unknown, wherever it is named."""
        story = given(opened)
        for ask in (
            TakeReference(tool="fax", ref="1"),
            released("fax", "1"),
        ):
            story.when(ask, by="crm").refused(UnknownTool)
        kind = TakeReference(tool="crm", kind="lead", ref="1")
        story.when(kind, by="crm").refused(UnknownReference, "no kind of reference 'lead'", "deal")
        story.when(LookUp("fax", "1"), by="crm", id="").refused(UnknownTool)
        asked = story.when(Open(references={"fax": ("1",)}), by="crm", id="C-2")
        asked.refused(UnknownTool, "'fax'", "crm, accounting, projects")

    def test_what_is_not_held_cannot_be_released(self) -> None:
        """Nor can what another case holds."""
        story = given(opened, second, Did("projects", INVOICE))
        story.when(RELEASE, by="accounting", id="C-2").refused(UnknownReference)


class TestIdempotency:
    def test_the_same_again_changes_nothing(self) -> None:
        """The same key and content is answered by the first success."""
        story = given(opened)
        ask = tell(deposit_due="1.00 USD")
        first = story.when(ask, by="accounting", key="a")
        first.then(FieldsSet)
        story.when(tell(deposit_due="2.00 USD"), by="accounting").done()
        again = story.when(ask, by="accounting", key="a")
        assert (again.entries, story.case.fields["deposit_due"]) == ((), "2.00 USD")
        assert again.answer.replayed is not None
        assert (again.answer.replayed.version, again.answer.replayed.status) == (2, 200)

    def test_the_answer_is_as_of_everything_that_the_ask_caused(self) -> None:
        """What followed by itself belongs to the first answer, and to its repeat."""
        story = given(opened, deposit_due)
        story.when(deposit_paid.what, by="accounting", key="a").then(FieldsSet, TransitionMade)
        replayed = story.when(deposit_paid.what, by="accounting", key="a").answer.replayed
        assert replayed is not None
        assert (replayed.event_version, replayed.version) == (3, 4)

    @pytest.mark.parametrize(
        ("by", "ask", "status"),
        [
            ("crm", Open(), 201),
            ("projects", move("cancel"), 201),
            ("crm", tell(scope="Boiler"), 200),
            ("crm", tell(scope=None), 200),
            ("crm", INVOICE, 200),
        ],
    )
    def test_each_kind_of_success_is_remembered(self, by: str, ask: Any, status: int) -> None:
        """Openings and transitions were created, all else was done, also where nothing changed."""
        story = given(opened)
        case = "C-2" if isinstance(ask, Open) else "C-1"
        story.when(ask, by=by, key="a", id=case).done()
        replayed = story.when(ask, by=by, key="a", id=case).answer.replayed
        assert replayed is not None
        assert replayed.status == status

    def test_other_content_is_refused(self) -> None:
        """A key that was used for something else is not used again."""
        story = given(opened)
        story.when(deposit_due.what, by="accounting", key="a").done()
        asked = story.when(deposit_paid.what, by="accounting", key="a")
        asked.refused(IdempotencyKeyReused, "'a'")

    def test_a_refusal_is_not_remembered(self) -> None:
        """What was refused may be asked again with the same key, and be accepted."""
        story = given(opened, deposit_due)
        ask = move("confirm_deposit")
        story.when(ask, by="accounting", key="a").refused(FieldsMissing)
        story.also(Did(STAFF, correct("deposit_confirmed")), Did(STAFF, correct("quoted")))
        story.when(tell(deposit_paid="900.00 EUR"), by="accounting").done()
        story.when(ask, by="accounting", key="a").refused(ConditionNotMet)
        story.when(Move(transition="cancel"), by="crm", key="a").then(TransitionMade)

    def test_a_refusal_that_an_older_log_remembers_is_decided_again(self) -> None:
        """Such a record is read, and holds up nobody: not even what another content asks."""
        record = Answered(
            recorded_at=MORNING,
            by=Asker(tool="projects"),
            content="digest",
            case="case:jobs/C-1",
            version=2,
            event_version=0,
            status=0,
            refused="transition-not-open",
            detail="cannot 'schedule' C-1",
        )
        known = {request_stream(record.by, "line 1"): Known(1, record)}
        story = Given(shipped()["field_service"], known=known).also(opened, deposit_due)
        story.when(scheduled.what, by="projects", key="line 1").refused(TransitionNotOpen)
        story.also(deposit_paid)
        done = story.when(scheduled.what, by="projects", key="line 1")
        done.then(TransitionMade)
        assert done.entries[-1].version == 2
        assert story.when(scheduled.what, by="projects", key="line 1").answer.replayed

    def test_a_line_of_an_import_stays_refused_once_it_was_overtaken(self) -> None:
        """A later line of its case was applied: it is refused again in the same words."""
        record = Answered(
            recorded_at=MORNING,
            by=Asker(tool="projects"),
            content="",
            case="case:jobs/C-1",
            version=0,
            event_version=0,
            status=0,
            refused="transition-not-open",
            detail="cannot 'schedule' C-1 in state 'quoted'",
        )
        known = {request_stream(record.by, "line 1"): Known(1, record)}
        story = Given(shipped()["field_service"], known=known).also(opened, deposit_due)
        again = story.when(scheduled.what, by="projects", key="line 1").refused(TransitionNotOpen)
        assert (again.detail, again.facts) == (record.detail, {"replayed": True})

    def test_keys_are_per_tool(self) -> None:
        """What one tool calls its request is nothing to another."""
        story = given(opened)
        story.when(tell(scope="Boiler"), by="crm", key="a").done()
        story.when(deposit_due.what, by="accounting", key="a").then(FieldsSet)

    def test_keys_are_per_staff_key(self) -> None:
        """Of staff, every key has its own requests, though the person be the same."""
        names = [request_stream(Asker(staff="Kim", key=key), "a") for key in ("k1", "k2")]
        assert names == ["request:staff:k1/a", "request:staff:k2/a"]
        tool = {request_stream(Asker(tool="crm", key=key), "a") for key in ("k1", "k2")}
        assert tool == {"request:tool:crm/a"}


class TestRefusals:
    def test_a_refused_ask_stands_beside_the_case(self) -> None:
        """What was refused is evidence: recorded, with the state and version it met."""
        story = given(*CONFIRMED)
        before = story.case
        (entry,) = story.when(move("complete"), by="crm").entries
        assert entry.stream == refusals_stream("jobs", "C-1")
        event = entry.event
        assert isinstance(event, Refused)
        assert (event.asked, event.code) == ("complete", "transition-not-open")
        assert (event.state, event.case_version, event.times) == (before.states, 4, 1)
        assert story.case == before

    def test_the_same_again_is_counted_not_piled_up(self) -> None:
        """Each of the first ten stands in the log, then every tenth, then every hundredth."""
        story = given(opened)
        recorded = [
            entry.event.times
            for _ in range(345)
            for entry in story.when(move("complete"), by="crm").entries
            if isinstance(entry.event, Refused)
        ]
        assert recorded == [*range(1, 11), *range(20, 101, 10), 200, 300]
        assert story.case.version == 1

    def test_it_is_counted_anew_once_the_case_has_changed(self) -> None:
        """The same ask of a case that has moved on is another refusal."""
        story = given(opened)
        for _ in range(3):
            story.when(move("complete"), by="crm").refused(TransitionNotOpen)
        story.also(deposit_due)
        (entry,) = story.when(move("complete"), by="crm").entries
        assert isinstance(entry.event, Refused)
        assert (entry.version, entry.event.times) == (4, 1)

    def test_others_are_counted_apart(self) -> None:
        """Another asker, another ask or another code is another refusal."""
        story = given(opened)
        asks = [("crm", move("complete")), ("projects", move("complete")), ("crm", move("invoice"))]
        times = [
            entry.event.times
            for by, ask in asks + asks
            for entry in story.when(ask, by=by).entries
            if isinstance(entry.event, Refused)
        ]
        assert times == [1, 1, 1, 2, 2, 2]

    @pytest.mark.parametrize(
        ("by", "ask", "code"),
        [
            ("crm", move("complete"), "transition-not-open"),
            ("crm", tell(deposit_paid="1.00 USD"), "not-the-owner"),
            ("crm", move("confirm_deposit"), "not-the-owner"),
            ("accounting", move("confirm_deposit"), "fields-missing"),
            (
                "accounting",
                move("confirm_deposit", deposit_due="2.00 USD", deposit_paid="1.00 USD"),
                "condition-not-met",
            ),
        ],
    )
    def test_what_a_tool_may_not_is_recorded(self, by: str, ask: Any, code: str) -> None:
        """Not open, not the owner, missing fields and conditions are worth knowing."""
        (entry,) = given(opened).when(ask, by=by).entries
        assert isinstance(entry.event, Refused)
        assert entry.event.code == code

    @pytest.mark.parametrize(
        ("by", "ask", "more"),
        [
            ("crm", move("fly"), {}),
            ("crm", tell(email="no"), {}),
            ("crm", move("cancel"), {"versions": (7,)}),
            ("crm", Look(), {"id": "C-9"}),
            ("crm", Open(), {}),
            ("accounting", Open(), {"id": "C-2"}),
            (STAFF, move("cancel"), {}),
            ("crm", erase(), {}),
            ("crm", released("crm", "9"), {}),
        ],
    )
    def test_what_is_merely_wrong_is_not(self, by: str, ask: Any, more: dict[str, Any]) -> None:
        """A slip in the ask says nothing about the case, and leaves no trace."""
        asked = given(opened).when(ask, by=by, **more)
        assert isinstance(asked.outcome, Refusal)
        assert asked.entries == ()


class TestAsking:
    def test_to_look_changes_nothing(self) -> None:
        """A case is shown as it is."""
        story = given(*CONFIRMED)
        asked = story.when(Look(), by="projects")
        assert (asked.case, asked.entries) == (story.case, ())

    def test_a_write_may_be_conditional_on_a_version(self) -> None:
        """It is made only at one of the versions it names."""
        story = given(opened)
        refusal = story.when(tell(scope="A"), by="crm", versions=(2, 3)).refused(VersionMoved)
        assert refusal.facts == {"version_expected": [2, 3], "version_found": 1}
        story.when(tell(scope="A"), by="crm", versions=(3, 1)).then(FieldsSet)

    def test_a_strange_tool_is_nobody_here(self) -> None:
        """A tool that does not stand in the lifecycle neither reads nor writes its cases."""
        story = given(opened)
        for ask in (Look(), move("cancel"), Open()):
            story.when(ask, by="carrier").refused(NotYours)

    def test_a_key_for_reading_only_reads(self) -> None:
        """Staff with such a key see everything and change nothing."""
        reader = Asker(staff="Auditor", read_only=True)
        story = given(opened)
        story.when(Look(), asker_is=reader).done()
        story.when(move("cancel", reason="?"), asker_is=reader).refused(NotYours)

    def test_a_revoked_key_asks_nothing_more(self) -> None:
        """A key that was never issued, or is revoked, is not honoured, whatever it is for."""
        story = given(opened)
        crm = Asker(tool="crm", key="k1")
        story.when(Look(), asker_is=crm).refused(NotSignedIn)
        issue(story, "k1")
        story.when(Look(), asker_is=crm).done()
        revoke(story, "k1")
        story.when(move("cancel"), asker_is=crm).refused(NotSignedIn)

    def test_a_process_with_an_old_definition_does_not_decide(self) -> None:
        """Where the log has adopted another text, this one is for reading only."""
        story = given(opened)
        event = DefinitionAdopted(
            recorded_at=MORNING,
            by=Asker(),
            lifecycle="field_service",
            version=2,
            digest="other",
            text="",
        )
        story.streams["definition:field_service"] = Known(1, event)
        story.when(move("cancel"), by="crm").refused(DefinitionNotAdopted, "version 2")
        story.when(Open(), by="crm", id="C-2").refused(DefinitionNotAdopted)
        story.when(Look(), by="crm").done()

    def test_a_case_that_was_carried_over_waits_for_the_new_text(self) -> None:
        """While a later version is being adopted, this process leaves its cases alone."""
        story = given(opened)
        known = story.streams["case:jobs/C-1"]
        ahead = replace(story.case, lifecycle_version=2)
        story.streams["case:jobs/C-1"] = Known(known.version, ahead)
        story.when(move("cancel"), by="crm").refused(DefinitionNotAdopted, "carried over")
        story.when(Look(), by="crm").done()

    def test_long_names_are_cut_and_stay_apart(self) -> None:
        """A stream's name has a bound; two long ones that differ at their end differ still."""
        one, other = (reference_stream("crm", "deal", "9" * 300 + end) for end in "ab")
        assert len(one) == len(other) == STREAM_LENGTH_MAX
        assert one != other
        assert reference_stream("crm", "deal", "9") == "reference:crm/deal/9"


def issue(story: Given, key: str) -> None:
    event = KeyIssued(recorded_at=MORNING, by=Asker(), digest="d", tool="crm")
    record(story, f"key:{key}", event)


def revoke(story: Given, key: str) -> None:
    record(story, f"key:{key}", KeyRevoked(recorded_at=MORNING, by=Asker()))


def record(story: Given, stream: str, event: KeyIssued | KeyRevoked) -> None:
    known = story.streams[stream]
    story.streams[stream] = learn(known, Entry(stream, known.version + 1, event))


class Two(Struct, frozen=True):
    """An ask with two faults, and the refusal that comes first."""

    first: type[Refusal]
    then: str
    """What else is wrong with it."""
    what: Any
    by: str = "crm"
    more: dict[str, Any] = {}
    words: str = ""
    """What tells two refusals of one kind from each other."""


NOBODY = Asker(tool="crm", key="gone")
LATE: dict[str, Any] = {"versions": (99,)}
USED: dict[str, Any] = {"key": "used"}

IN_ORDER = [
    Two(NotSignedIn, "staff-only", erase(), more={"asker_is": NOBODY}),
    Two(NotSignedIn, "not-yours", Look(), more={"asker_is": Asker(tool="fax", key="gone")}),
    Two(StaffOnly, "idempotency-key-reused", erase(), more=USED),
    Two(NotYours, "idempotency-key-reused", move("cancel"), by="fax", more=USED),
    Two(IdempotencyKeyReused, "unknown-collection", Look(), more={**USED, "collection": "cars"}),
    Two(IdempotencyKeyReused, "unknown-case", move("cancel"), more={**USED, "id": "C-9"}),
    Two(UnknownCollection, "unknown-case", Look(), more={"collection": "cars", "id": "C-9"}),
    Two(UnknownCase, "unknown-transition", move("fly"), more={"id": "C-9"}),
    Two(UnknownCase, "version-moved", move("cancel"), more={"id": "C-9", **LATE}),
    Two(UnknownTool, "unknown-case", TakeReference(tool="fax", ref="1"), more={"id": "C-9"}),
    Two(UnknownTool, "unknown-case", released("fax", "1"), more={"id": "C-9"}),
    Two(UnknownTool, "version-moved", TakeReference(tool="fax", ref="1"), more=LATE),
    Two(UnknownTool, "case-exists", Open(references={"fax": ("1",)})),
    Two(UnknownTool, "not-the-owner", released("fax", "1")),
    Two(UnknownReference, "version-moved", released("crm", "1"), more=LATE),
    Two(UnknownReference, "not-the-owner", released("accounting", "1")),
    Two(UnknownTransition, "version-moved", move("fly"), more=LATE),
    Two(UnknownTransition, "version-moved", correct("fly"), by=STAFF, more=LATE),
    Two(UnknownTransition, "case-exists", Open(state="fly", reason="?"), by=STAFF),
    Two(VersionMoved, "transition-not-open", move("complete"), more=LATE),
    Two(VersionMoved, "reference-taken", TakeReference(tool="crm", ref="taken"), more=LATE),
    Two(TransitionNotOpen, "not-the-owner of it", move("complete")),
    Two(TransitionNotOpen, "invalid-fields", move("complete", scope=5)),
    Two(CaseExists, "reference-taken", Open(references={"crm": ("taken",)})),
    Two(CaseExists, "not-the-owner", Open(), by="accounting"),
    Two(Taken, "not-the-owner", Open(references={"crm": ("taken",)}), "projects", {"id": "C-3"}),
    Two(Taken, "reason-required", TakeReference(tool="crm", ref="taken"), by=STAFF),
    Two(NotTheOwner, "invalid-fields", move("confirm_deposit", scope=5), words="belongs to acc"),
    Two(NotTheOwner, "invalid-fields", Open(fields={"scope": 5}), "projects", {"id": "C-3"}),
    Two(InvalidFields, "not-the-owner of a field", move("confirm_deposit", email=5), "accounting"),
    Two(InvalidFields, "not-the-owner of a field", tell(deposit_due=5)),
    Two(NotTheOwner, "fields-missing", move("confirm_deposit", scope="A"), "accounting", {}, "set"),
    Two(FieldsMissing, "reason-required", move("confirm_deposit"), STAFF),
    Two(
        ReasonRequired,
        "condition-not-met",
        move("confirm_deposit", deposit_due="2.00 USD", deposit_paid="1.00 USD"),
        STAFF,
    ),
]


@pytest.mark.parametrize(
    "two",
    IN_ORDER,
    ids=lambda two: f"{type(two.what).__name__}: {two.first.code} before {two.then}",
)
def test_of_two_faults_the_earlier_is_told(two: Two) -> None:
    """Refusals come in the order of the contract, so that what is said can be relied upon."""
    story = given(opened, Did("crm", Open(references={"crm": ("taken",)}), id="C-2"))
    for by in ("crm", "fax"):
        used = request_stream(Asker(tool=by), "used")
        event = Answered(
            recorded_at=MORNING,
            by=Asker(tool=by),
            content="something else",
            case="case:jobs/C-1",
            version=1,
            event_version=1,
            status=201,
        )
        story.streams[used] = Known(1, event)
    story.when(two.what, by=two.by, **two.more).refused(two.first, two.words)


def test_of_two_lifecycles_each_keeps_its_own_cases() -> None:
    """The same id in another collection is another case, and a reference leads only to its own."""
    story = Given(shipped()["field_service"], shipped()["client"]).also(opened)
    story.when(Open(references={"crm": ("9",)}), by="crm", collection="clients").then(CaseOpened)
    story.when(LookUp("crm", "9"), by="crm", id="").refused(UnknownReference)
    asked = story.when(LookUp("crm", "9"), by="crm", id="", collection="clients")
    assert isinstance(asked.case, Case)
    assert asked.case.collection == "clients"


def test_a_field_may_name_a_case_of_another_lifecycle() -> None:
    """A policy names its client's own case, which must be there."""
    story = Given(shipped()["insurance_policy"], shipped()["client"])
    ask = Open(fields={"client": "clients/C-7"})
    story.when(ask, by="ams").refused(InvalidFields, "there is no case 'clients/C-7'")
    story.when(Open(), by="crm", collection="clients", id="C-7").then(CaseOpened)
    story.when(ask, by="ams").then(CaseOpened, fields={"client": "clients/C-7"})


def test_scheduling_is_answered_with_its_event() -> None:
    """An accepted ask answers the case after it and the event that was asked for."""
    answer = given(*CONFIRMED).when(scheduled.what, by="projects").answer
    assert answer.entry is not None
    assert (answer.entry.version, answer.case.version, answer.created) == (5, 5, False)
