"""Two offices and their real logs: what their lifecycles refuse, and that the import says the same.

The logs are not part of the project; what needs them is skipped where they are absent.
"""

from collections import Counter
from functools import cache

import msgspec
import pytest

from lifecycle.changes import Open
from lifecycle.refusals import ConditionNotMet, NotTheOwner, TransitionNotOpen
from tests.lifecycle.given import Did, Given, given, move, shipped
from tests.running import Service
from tests.walks.event_logs import (
    HISTORIES,
    PERMIT_STEPS,
    PERMITS,
    ROOT,
    TICKET_STEPS,
    TICKETS,
    History,
    Told,
    encoded,
    replay,
    report,
)

needs_logs = pytest.mark.skipif(
    not all(history.is_there for history in HISTORIES.values()),
    reason="the real event logs do not lie beside the repository",
)


@cache
def told(name: str) -> Told:
    """Hold a log against its lifecycle, once for all tests."""
    history = HISTORIES[name]
    return replay(history.lifecycle(), history.lines())


# --- the logs -----------------------------------------------------------------------------------


@needs_logs
def test_one_permit_line_in_twenty_three_is_refused() -> None:
    """The town hall kept its own order in all but 507 of 11,421 lines."""
    permits = told("permits")
    assert (len(permits.cases), permits.lines, len(permits.refused)) == (1_434, 11_421, 507)
    assert round(permits.share, 2) == 4.44
    assert len({move.case for move in permits.refused}) == 208
    assert permits.commonest == [
        (("draft_confirmation", "file_ended"), 117),
        (("settle_need_for_advice", "term_run_out"), 59),
        (("settle_need_to_stop", "term_run_out"), 54),
        (("review_confirmation", "term_run_out"), 45),
        (("send_confirmation", "term_run_out"), 43),
        (("sign_confirmation", "term_run_out"), 42),
        (("draft_confirmation", "term_run_out"), 36),
        (("settle_need_for_advice", "file_ended"), 23),
        (("review_confirmation", "file_ended"), 12),
        (("give_advice", "term_run_out"), 7),
    ]


@needs_logs
def test_one_ticket_line_in_eighteen_is_refused() -> None:
    """The help desk kept its own order in all but 1,413 of 25,810 lines."""
    tickets = told("tickets")
    assert (len(tickets.cases), tickets.lines, len(tickets.refused)) == (4_580, 25_810, 1_413)
    assert round(tickets.share, 2) == 5.47
    assert len({move.case for move in tickets.refused}) == 712
    assert tickets.commonest == [
        (("resolve", "graded"), 370),
        (("close", "graded"), 289),
        (("resolve", "resolved"), 175),
        (("put_on_wait", "waiting"), 95),
        (("resolve", "reported"), 93),
        (("take_in_charge", "reported"), 91),
        (("close", "reported"), 81),
        (("put_on_wait", "graded"), 80),
        (("put_on_wait", "reported"), 47),
        (("require_upgrade", "upgrade_required"), 16),
    ]


@needs_logs
@pytest.mark.parametrize(
    ("history", "steps"),
    [(PERMITS, PERMIT_STEPS), (TICKETS, TICKET_STEPS)],
    ids=list(HISTORIES),
)
def test_every_activity_of_a_log_is_mapped_and_none_besides(
    history: History, steps: dict[str, object]
) -> None:
    """The table names what the office does, no more and no less."""
    assert {row["activity"] for row in history.rows()} == set(steps)


@needs_logs
@pytest.mark.parametrize("name", HISTORIES)
def test_no_transition_is_declared_that_the_office_never_made(name: str) -> None:
    """A lifecycle made after a log says what happened there, and invents nothing."""
    history = HISTORIES[name]
    refused = {move.line for move in told(name).refused}
    made = {
        line.transition
        for number, line in enumerate(history.lines(), 1)
        if line.transition and number not in refused
    }
    assert made == {row.name for row in history.lifecycle().chart.rows}


@needs_logs
@pytest.mark.parametrize("name", HISTORIES)
def test_the_import_decides_each_line_as_the_lifecycle_does(
    name: str, sqlite_service: Service
) -> None:
    """What the real import answers to a real log is, line by line, what deciding it gives."""
    history = HISTORIES[name]
    lines = "\n".join(encoded(history.lines()))
    answer = sqlite_service.by("staff").post(
        f"/v1/{name}/import",
        content=lines.encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    answers = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    expected = told(name)
    assert len(answers) == expected.lines
    refused = [one["line"] for one in answers if one["status"] != 201]
    assert refused == [move.line for move in expected.refused]
    stands = {one["id"]: (one["state"], one["version"]) for one in answers if "version" in one}
    assert stands == {case.id: (case.state, case.version) for case in expected.cases.values()}


@needs_logs
@pytest.mark.parametrize("name", HISTORIES)
def test_the_readme_says_what_was_found(name: str) -> None:
    """The numbers and their meanings in the README are those of the logs."""
    assert report(HISTORIES[name], told(name)) in (ROOT / "README.md").read_text()


# --- the rules that a team leader signs, whatever the logs hold ---------------------------------

received = Did("permit_register", Open(fields={"decide_by": "2026-06-29"}))
drafted = Did("handlers", move("draft_confirmation"))
reviewed = Did("reviewers", move("review_confirmation"))
signed = Did("signatories", move("sign_confirmation"))
advice_needed = Did("handlers", move("settle_need_for_advice"))
advice_asked = Did("handlers", move("ask_for_advice"))

opened = Did("ticket_portal", Open())
graded = Did("service_desk", move("assign_seriousness", seriousness="Value 2"))
taken = Did("service_desk", move("take_in_charge"))
resolved = Did("service_desk", move("resolve", quiet_until="2026-05-19"))


def permit(*history: Did) -> Given:
    return given(received, drafted, *history, lifecycle=shipped()["building_permit"])


def ticket(*history: Did) -> Given:
    return given(opened, *history, lifecycle=shipped()["helpdesk_ticket"])


def test_no_letter_leaves_the_house_unsigned() -> None:
    """What the review desk has passed still needs the name of who has the mandate."""
    permit(reviewed).when(move("send_confirmation"), by="post_room").refused(TransitionNotOpen)
    permit(reviewed).when(move("sign_confirmation"), by="reviewers").refused(NotTheOwner)
    permit(reviewed, signed).when(move("send_confirmation"), by="post_room").done()


def test_an_adjusted_letter_is_reviewed_again() -> None:
    """A signature counts for the text that was signed."""
    adjusted = Did("handlers", move("adjust_confirmation"))
    again = permit(reviewed, signed, adjusted)
    again.when(move("sign_confirmation"), by="signatories").refused(TransitionNotOpen)


def test_nothing_is_settled_while_advice_is_out() -> None:
    """Advice that was asked for from outside has to be there before the office goes on."""
    waiting = permit(advice_needed, advice_asked)
    inside = waiting.also(Did("advisers", move("give_advice")))
    inside.when(move("settle_need_for_advice"), by="handlers").refused(TransitionNotOpen)
    there = inside.also(Did("handlers", move("take_in_advice")))
    assert there.when(move("settle_need_for_advice"), by="handlers").case.states == (
        "letter_drafted",
        "advice_settled",
    )


def test_after_its_term_nothing_is_left_but_to_end_the_file() -> None:
    """The receipt of an application ends where the time for its decision ends."""
    late = permit(Did("permit_register", move("note_end_of_term")))
    open_now = Counter(late.lifecycle.chart.rows[row].name for row in _open(late))
    assert open_now == {"end_file": 1}


def _open(given: Given) -> list[int]:
    return list(given.lifecycle.chart.open_rows(given.case.states))


def test_nobody_works_on_a_ticket_that_is_not_graded() -> None:
    """The service level hangs on the seriousness, so that comes first."""
    ticket().when(move("take_in_charge"), by="service_desk").refused(TransitionNotOpen)
    ticket(graded).when(move("take_in_charge"), by="service_desk").done()


def test_the_customer_has_fifteen_days_to_object() -> None:
    """Only the closing job closes, and only when the time to object is over."""
    waiting = ticket(graded, taken, resolved)
    waiting.when(move("close", closed_on="2026-05-20"), by="service_desk").refused(NotTheOwner)
    early = move("close", closed_on="2026-05-18")
    waiting.when(early, by="closing_job").refused(ConditionNotMet)
    waiting.when(move("close", closed_on="2026-05-19"), by="closing_job").done()


def test_a_defect_goes_its_own_way_beside_the_ticket() -> None:
    """What became of a defect is the bug tracker's word, and the ticket does not wait for it."""
    defect = ticket(graded, taken, Did("service_desk", move("report_defect")), resolved)
    defect.when(move("settle_defect"), by="service_desk").refused(NotTheOwner)
    settled = defect.when(move("settle_defect"), by="bug_tracker")
    assert settled.case.states == ("resolved", "defect_settled")
