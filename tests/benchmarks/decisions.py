"""What a decision costs: asked of the library, remembered, and as a whole transition, in µs.

Run it with `python -m tests.benchmarks.decisions`. A remembered decision is to cost 10 µs at most.
"""

from collections.abc import Callable
from timeit import repeat

from lifecycle.case import Case
from lifecycle.changes import Move, Open, make_transition
from lifecycle.model import Lifecycle
from tests.lifecycle.given import CONFIRMED, MORNING, STAFF, Did, asker, given, shipped

ROUNDS = 5
TARGET_US = 10.0


def main() -> None:
    """Print one line for each lifecycle: flat with required fields, and three regions guarded."""
    print(f"{'µs a decision':32}{'library':>10}{'remembered':>12}{'transition':>12}")
    job = given(*CONFIRMED).case
    schedule = Move(transition="schedule", fields={"scheduled_for": "2026-05-11"})
    measure("field_service, one region", shipped()["field_service"], job, schedule, "projects")
    loans = shipped()["mortgage_loan"]
    nearly = Open(state="approved+committed+disclosures_signed", reason="so it is")
    loan = given(Did(STAFF, nearly), lifecycle=loans).case
    measure(
        "mortgage_loan, three regions", loans, loan, Move(transition="clear_title"), "title_company"
    )


def measure(title: str, lifecycle: Lifecycle, case: Case, ask: Move, by: str) -> None:
    """Print what one transition costs in three ways."""
    chart, who = lifecycle.chart, asker(by)
    anew = cost(lambda: chart.lead_anew(case.states, ask.transition, {}), 300)
    remembered = cost(lambda: chart.lead(case.states, ask.transition, {}), 50_000)
    whole = cost(lambda: make_transition(case, ask, who, lifecycle, MORNING), 5_000)
    verdict = "" if remembered <= TARGET_US else f"  (above {TARGET_US:.0f})"
    print(f"{title:32}{anew:10.1f}{remembered:12.2f}{whole:12.1f}{verdict}")


def cost(decide: Callable[[], object], times: int) -> float:
    """Answer the cost of one call in µs, the best of some rounds."""
    decide()
    return min(repeat(decide, number=times, repeat=ROUNDS)) / times * 1e6


if __name__ == "__main__":
    main()
