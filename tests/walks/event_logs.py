"""Two real event logs as the lines of an import, and what the offices' own lifecycles say of them.

`python -m tests.walks.event_logs` prints what was refused and what it means in that office;
with `--lines permits` (or `tickets`) the lines themselves, for `statekeeper import`.

The logs are not part of the project. They lie in a folder beside the repository, each a gzipped
CSV: one row for each activity, in the order of the case. A row is one line. Some of what happened
has no row and stands in the attributes of the case: when an application came in, when its term
ran out before work on it was done, when its file ended. Each of these is a line of its own.
"""

import argparse
import csv
import gzip
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from lifecycle import changes
from lifecycle.case import Case, evolve
from lifecycle.changes import Move, Open
from lifecycle.definition import read
from lifecycle.events import Asker, CaseEvent, Entry
from lifecycle.model import Lifecycle
from lifecycle.refusals import Refusal, TransitionNotOpen

ROOT = Path(__file__).parents[2]
LOGS = ROOT.parent / "shared" / "data" / "logs"
TO_OBJECT = timedelta(days=15)
"""No ticket was closed by the closing job sooner than this after it was resolved."""
COMMONEST = 10

Row = Mapping[str, str]


class Line(Struct, omit_defaults=True, kw_only=True):
    """One line of an import, as the contract has it."""

    do: Literal["open", "transition"]
    id: str
    by: str
    occurred_at: datetime
    transition: str = ""
    fields: Mapping[str, str] = {}


class Step(NamedTuple):
    """What an activity of the log is called here, and whose it is."""

    transition: str
    by: str


# --- building permits ---------------------------------------------------------------------------

PERMIT_STEPS: Mapping[str, Step] = {
    "Confirmation of receipt": Step("draft_confirmation", "handlers"),
    "T02 Check confirmation of receipt": Step("review_confirmation", "reviewers"),
    "T03 Adjust confirmation of receipt": Step("adjust_confirmation", "handlers"),
    "T04 Determine confirmation of receipt": Step("sign_confirmation", "signatories"),
    "T05 Print and send confirmation of receipt": Step("send_confirmation", "post_room"),
    "T06 Determine necessity of stop advice": Step("settle_need_for_advice", "handlers"),
    "T07-1 Draft intern advice aspect 1": Step("give_advice", "advisers"),
    "T07-2 Draft intern advice aspect 2": Step("give_advice", "advisers"),
    "T07-3 Draft intern advice hold for aspect 3": Step("give_advice", "advisers"),
    "T07-4 Draft internal advice to hold for type 4": Step("give_advice", "advisers"),
    "T07-5 Draft intern advice aspect 5": Step("give_advice", "handlers"),
    "T08 Draft and send request for advice": Step("ask_for_advice", "handlers"),
    "T09-1 Process or receive external advice from party 1": Step("take_in_advice", "handlers"),
    "T09-2 Process or receive external advice from party 2": Step("take_in_advice", "handlers"),
    "T09-3 Process or receive external advice from party 3": Step("take_in_advice", "handlers"),
    "T09-4 Process or receive external advice from party 4": Step("take_in_advice", "handlers"),
    "T10 Determine necessity to stop indication": Step("settle_need_to_stop", "handlers"),
    "T11 Create document X request unlicensed": Step("draft_permit_free_notice", "handlers"),
    "T12 Check document X request unlicensed": Step("review_permit_free_notice", "reviewers"),
    "T13 Adjust document X request unlicensed": Step("adjust_permit_free_notice", "handlers"),
    "T14 Determine document X request unlicensed": Step("sign_permit_free_notice", "signatories"),
    "T15 Print document X request unlicensed": Step("send_permit_free_notice", "post_room"),
    "T16 Report reasons to hold request": Step("report_reasons_to_hold", "handlers"),
    "T17 Check report Y to stop indication": Step("review_hold_report", "reviewers"),
    "T18 Adjust report Y to stop indicition": Step("adjust_hold_report", "handlers"),
    "T19 Determine report Y to stop indication": Step("sign_hold_report", "signatories"),
    "T20 Print report Y to stop indication": Step("send_hold_report", "post_room"),
}

PERMIT_DESKS: Mapping[str, str] = {
    "Group 1": "handlers",
    "Group 2": "post_room",
    "Group 3": "signatories",
    "Group 4": "reviewers",
    "Group 7": "advisers",
    "Group 12": "advisers",
    "Group 13": "advisers",
    "Group 14": "advisers",
    "Group 15": "advisers",
}
"""Which desk a group of the log is. A row without a group (`EMPTY`) counts as its step's desk."""


def permit_lines(rows: Iterable[Row]) -> Iterator[Line]:
    """Every application in the order of the log: its rows, its arrival, its term, its end."""
    for case, told in groupby(rows, itemgetter("case")):
        yield from _permit(case.replace("case-", "P-"), list(told))


def _permit(case: str, rows: list[Row]) -> list[Line]:
    about, last = rows[0], _time(rows[-1]["timestamp"])
    lines = [_opened_permit(case, about)]
    ended = _time(about["case:enddate"]) if about["case:enddate"] else None
    term = _time(about["case:deadline"])
    run_out = datetime.combine(term.date() + timedelta(days=1), time(), term.tzinfo)
    if run_out < min(last, ended or last):
        lines.append(_permit_line(case, "note_end_of_term", "permit_register", run_out))
    for row in rows:
        step = PERMIT_STEPS[row["activity"]]
        by = PERMIT_DESKS.get(row["org:group"], step.by)
        lines.append(_permit_line(case, step.transition, by, _time(row["timestamp"])))
    if ended:
        lines.append(_permit_line(case, "end_file", "permit_register", ended))
    return [lines[0], *sorted(lines[1:], key=attrgetter("occurred_at"))]


def _opened_permit(case: str, about: Row) -> Line:
    return Line(
        do="open",
        id=case,
        by="permit_register",
        occurred_at=min(_time(about["case:startdate"]), _time(about["timestamp"])),
        fields={
            "channel": about["case:channel"],
            "department": about["case:department"],
            "responsible": about["case:responsible"],
            "decide_by": _time(about["case:deadline"]).date().isoformat(),
        },
    )


def _permit_line(case: str, transition: str, by: str, when: datetime) -> Line:
    return Line(do="transition", id=case, by=by, occurred_at=when, transition=transition)


# --- help-desk tickets --------------------------------------------------------------------------

TICKET_STEPS: Mapping[str, Step] = {
    "Insert ticket": Step("", "service_desk"),  # opens it; a ticket without came by the portal
    "Assign seriousness": Step("assign_seriousness", "service_desk"),
    "Take in charge ticket": Step("take_in_charge", "service_desk"),
    "Wait": Step("put_on_wait", "service_desk"),
    "Require upgrade": Step("require_upgrade", "service_desk"),
    "Schedule intervention": Step("plan_visit", "service_desk"),
    "Resolve ticket": Step("resolve", "service_desk"),
    "Create SW anomaly": Step("report_defect", "service_desk"),
    "Resolve SW anomaly": Step("settle_defect", "service_desk"),
    "RESOLVED": Step("settle_defect", "bug_tracker"),
    "INVALID": Step("reject_defect", "bug_tracker"),
    "DUPLICATE": Step("reject_defect", "bug_tracker"),
    "VERIFIED": Step("verify_defect", "bug_tracker"),
    "Closed": Step("close", "service_desk"),
}

TICKET_ACCOUNTS: Mapping[tuple[str, str], str] = {
    ("Closed", "Value 3"): "closing_job",
    ("Closed", "Value 5"): "closing_job",
    ("Resolve SW anomaly", "Value 22"): "bug_tracker",
}
"""Accounts under which a system, not a person, did this: 4,557 of 4,574 closings are of two."""


def ticket_lines(rows: Iterable[Row]) -> Iterator[Line]:
    """Every ticket in the order of the log; one that nobody inserted came by the portal."""
    for case, told in groupby(rows, itemgetter("case")):
        for index, row in enumerate(told):
            when, activity = _time(row["timestamp"]), row["activity"]
            step = TICKET_STEPS[activity]
            by = TICKET_ACCOUNTS.get((activity, row["resource"]), step.by)
            name = case.replace("Case ", "T-")
            if index == 0:
                opener = by if activity == "Insert ticket" else "ticket_portal"
                yield Line(do="open", id=name, by=opener, occurred_at=when)
            if step.transition:
                yield Line(
                    do="transition",
                    id=name,
                    by=by,
                    occurred_at=when,
                    transition=step.transition,
                    fields=_ticket_facts(step.transition, row, when.date()),
                )


def _ticket_facts(transition: str, row: Row, day: date) -> Mapping[str, str]:
    match transition:
        case "assign_seriousness":
            facts = {name: row[name] for name in ("customer", "product", "service_level")}
            return {**facts, "seriousness": row["seriousness_2"]}
        case "resolve":
            return {"quiet_until": (day + TO_OBJECT).isoformat()}
        case "close":
            return {"closed_on": day.isoformat()}
    return {}


# --- the two histories --------------------------------------------------------------------------


class History(Struct, frozen=True):
    """A log, the lifecycle it is held against, and what the moves it should not have mean."""

    file: str
    definition: str
    lines_of: Callable[[Iterable[Row]], Iterator[Line]]
    meanings: Mapping[tuple[str, str], str]
    """(transition, what stood in the way) → what a team leader of that office says to it."""

    @property
    def is_there(self) -> bool:
        """Whether the log lies beside the repository."""
        return (LOGS / self.file).is_file()

    def rows(self) -> Iterator[Row]:
        """Read the log as it is."""
        with gzip.open(LOGS / self.file, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)

    def lines(self) -> Iterator[Line]:
        """Read the log as what happened, told in the words of the lifecycle."""
        return self.lines_of(self.rows())

    def lifecycle(self) -> Lifecycle:
        """Read the definition."""
        content = (ROOT / "definitions" / f"{self.definition}.yaml").read_bytes()
        return Lifecycle(read(content, self.definition)[0])


PERMITS = History(
    "receipt_wabo.csv.gz",
    "building_permit",
    permit_lines,
    {
        ("draft_confirmation", "file_ended"): "Nobody had confirmed anything when the file was"
        " ended; the administrator ticked the open task off, mostly within the minute after.",
        ("settle_need_for_advice", "term_run_out"): "Whether advice is needed was settled after"
        " the last day for the decision: too late to take any.",
        ("settle_need_to_stop", "term_run_out"): "Whether the application has to be stopped was"
        " settled when its term could no longer be stopped.",
        ("review_confirmation", "term_run_out"): "The applicant's confirmation of receipt was"
        " reviewed when the decision itself was overdue.",
        ("send_confirmation", "term_run_out"): "A confirmation of receipt was posted to somebody"
        " who should have had the decision by then.",
        ("sign_confirmation", "term_run_out"): "The same letter, signed too late.",
        ("draft_confirmation", "term_run_out"): "The same letter, only begun when the term was"
        " over.",
        ("settle_need_for_advice", "file_ended"): "An open task was ticked off on a file that had"
        " ended: nobody was waiting for the answer.",
        ("review_confirmation", "file_ended"): "A letter was reviewed, to be sent to nobody: its"
        " file had ended.",
        ("give_advice", "term_run_out"): "An adviser's answer came after the last day for the"
        " decision, which had to do without.",
    },
)
TICKETS = History(
    "helpdesk_italian_software.csv.gz",
    "helpdesk_ticket",
    ticket_lines,
    {
        ("resolve", "graded"): "Resolved, and nobody had taken it in charge: no time of response"
        " can be shown to the customer, and nobody answers for the work.",
        ("close", "graded"): "What follows from it: the closing job would end a ticket that nobody"
        " answered for.",
        ("resolve", "resolved"): "Resolved a second time, mostly within the same second: a double"
        " click, which would start the fifteen days anew.",
        ("put_on_wait", "waiting"): "Put on wait while it waits: it hides for how long the"
        " customer has really kept silent.",
        ("resolve", "reported"): "Resolved without a seriousness: no service level was ever"
        " agreed for it.",
        ("take_in_charge", "reported"): "Work began before anybody had said how serious it is, so"
        " it was not taken in its turn.",
        ("close", "reported"): "What follows from these two: closed, and never graded.",
        ("put_on_wait", "graded"): "The customer was asked something by nobody in particular: on"
        " wait, but in nobody's charge.",
        ("put_on_wait", "reported"): "The same, before anybody had said how serious it is.",
        ("require_upgrade", "upgrade_required"): "The upgrade was required once more: the customer"
        " had been told already.",
    },
)
HISTORIES: Mapping[str, History] = {"permits": PERMITS, "tickets": TICKETS}


class RefusedMove(Struct, frozen=True):
    """A line that the lifecycle refused."""

    line: int
    case: str
    transition: str
    where: str
    """The state that it would have led on from, or `not the owner` and the like."""


class Told(Struct, frozen=True):
    """What became of a whole log."""

    cases: Mapping[str, Case]
    lines: int
    refused: tuple[RefusedMove, ...]

    @property
    def share(self) -> float:
        """The refused lines, in percent."""
        return 100 * len(self.refused) / self.lines

    @property
    def commonest(self) -> list[tuple[tuple[str, str], int]]:
        """(transition, what stood in the way) and how often, the commonest first."""
        counted = Counter((move.transition, move.where) for move in self.refused)
        return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:COMMONEST]


def replay(lifecycle: Lifecycle, lines: Iterable[Line], now: datetime | None = None) -> Told:
    """Decide every line as the service does, without one."""
    now = now or datetime.now(UTC)
    there: dict[str, Case] = {}
    refused: list[RefusedMove] = []
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            events = _decide(there.get(line.id), line, lifecycle, now)
        except Refusal as refusal:
            where = _where(there[line.id], line.transition, refusal, lifecycle)
            refused.append(RefusedMove(number, line.id, line.transition, where))
            continue
        for event in events:
            before = there.get(line.id)
            version = before.version + 1 if before else 1
            entry = Entry(f"case:{lifecycle.collection}/{line.id}", version, event)
            there[line.id] = _case(evolve(before, entry))
    return Told(there, number, tuple(refused))


def _decide(
    case: Case | None, line: Line, lifecycle: Lifecycle, now: datetime
) -> tuple[CaseEvent, ...]:
    asker = Asker(tool=line.by)
    if line.do == "open" or case is None:
        opening = Open(fields=line.fields, occurred_at=line.occurred_at)
        return changes.open_case(line.id, opening, asker, lifecycle, now)
    move = Move(transition=line.transition, fields=line.fields, occurred_at=line.occurred_at)
    return changes.change(case, move, asker, lifecycle, now)


def _case(case: Case | None) -> Case:
    assert case is not None
    return case


def _where(case: Case, transition: str, refusal: Refusal, lifecycle: Lifecycle) -> str:
    """The active state nearest to where the transition leads: what stood in its way."""
    if not isinstance(refusal, TransitionNotOpen):
        return refusal.code.replace("-", " ")
    places = lifecycle.chart.places
    aims = [row.to for row in lifecycle.chart.rows if row.name == transition]
    around = {above for aim in aims for above in (*places[aim].above, aim)}
    return max(case.states, key=lambda state: len(around.intersection(places[state].above)))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- the report ---------------------------------------------------------------------------------


def report(history: History, told: Told) -> str:
    """Say for a log: cases, lines, refused, and the commonest refused moves with their meaning."""
    logged = sum(1 for _ in history.rows())
    touched = len({move.case for move in told.refused})
    head = (
        f"{len(told.cases):,} cases, {told.lines:,} lines ({logged:,} of them rows of the log)."
        f" {len(told.refused):,} are refused: {told.share:.1f} %, in {touched:,} cases."
    )
    rows = [
        f"| {count} | `{transition}` | {_way(where)} | {history.meanings[transition, where]} |"
        for (transition, where), count in told.commonest
    ]
    return "\n".join(
        (
            head,
            "",
            "| refused | move | in the way | what it means in that office |",
            "|---|---|---|---|",
            *rows,
        )
    )


def _way(where: str) -> str:
    return f"`{where}`" if " " not in where else where


def main() -> None:
    """Print the report, or the lines."""
    parser = argparse.ArgumentParser(description="Two real event logs, held against lifecycles.")
    parser.add_argument("--lines", choices=HISTORIES, help="print the lines for an import")
    asked = parser.parse_args().lines
    if asked:
        sys.stdout.writelines(f"{text}\n" for text in encoded(HISTORIES[asked].lines()))
        return
    for history in HISTORIES.values():
        told = replay(history.lifecycle(), history.lines())
        sys.stdout.write(f"{history.file}: {report(history, told)}\n\n")


def encoded(lines: Iterable[Line]) -> Iterator[str]:
    """Write lines as an import takes them."""
    encoder = msgspec.json.Encoder()
    return (encoder.encode(line).decode() for line in lines)


if __name__ == "__main__":
    main()
