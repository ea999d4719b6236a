"""What to mend, in which order; the plan ends in the words and flows to declare."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import yaml

from api.audit.findings import Count, Finding, Kind, Step, Summary
from lifecycle.model import Lifecycle

STEP_FINDINGS_MAX: Final = 20
WORDS_MAX: Final = 25
"""Words of one status field that the plan writes out; people who made more need another mapping."""


def plan(
    findings: Iterable[Finding],
    summary: Summary,
    to_confirm: int,
    lifecycle: Lifecycle,
    tools: Iterable[str],
) -> Iterator[Step]:
    """Give the steps in the order in which to take them; `findings` stand worst first."""
    first: dict[Kind, list[int]] = defaultdict(list)
    unknown: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in findings:
        if len(first[one.kind]) < STEP_FINDINGS_MAX:
            first[one.kind].append(one.number)
        if one.kind is Kind.UNKNOWN_WORD:
            _note(one, unknown)
    counts = {count.kind: count for count in summary.counts}
    number = 0
    for kind in _MEND_ORDER:
        if kind in counts:
            number += 1
            declare = _words(unknown) if kind is Kind.UNKNOWN_WORD else ""
            yield _step(number, counts[kind], first[kind], declare)
        if kind is Kind.CONTRADICTED and to_confirm:
            number += 1
            title = f"Say of {to_confirm:,} pairs whether they are one job (--confirm FILE)"
            yield Step(number, title, "What is not matched cannot be compared.")
    if flows := _flows(lifecycle, tools):
        yield Step(
            number + 1,
            "Connect the tools, so that it does not come back",
            "What was mended by hand drifts again unless every tool is heard.",
            declare=flows,
        )


def _step(number: int, count: Count, first: list[int], declare: str) -> Step:
    title, why = _STEPS[count.kind]
    return Step(
        number=number,
        title=title,
        why=why,
        findings=tuple(first),
        findings_count=count.findings,
        money=count.money,
        declare=declare,
    )


def _note(finding: Finding, unknown: dict[tuple[str, str], Counter[str]]) -> None:
    rows = {(source.tool, source.row) for source in finding.sources}
    for said in finding.said:
        if said.word and not said.states and (said.source.tool, said.source.row) in rows:
            unknown[said.source.tool, said.status_field][said.word] += 1


def _words(unknown: dict[tuple[str, str], Counter[str]]) -> str:
    """The unknown words under `hears`, ignored until somebody says what they mean."""
    hears: dict[str, dict[str, dict[str, str]]] = {}
    for (tool, field), words in unknown.items():
        often = [word for word, _ in words.most_common(WORDS_MAX)]
        hears.setdefault(tool, {})[field] = dict.fromkeys(often, "ignore")
    return yaml.safe_dump({"hears": hears}, allow_unicode=True, sort_keys=False, width=1000)


def _flows(lifecycle: Lifecycle, tools: Iterable[str]) -> str:
    """A flow in for every tool that nothing hears yet."""
    heard = {flow.tool for flow in lifecycle.declaration.flows if flow.direction == "in"}
    steward = lifecycle.declaration.steward
    flows = [
        {"tool": tool, "direction": "in", "how": "webhook"}
        | ({"steward": steward} if steward else {})
        for tool in tools
        if tool not in heard
    ]
    if not flows:
        return ""
    return yaml.safe_dump({"flows": flows}, allow_unicode=True, sort_keys=False, width=1000)


_MEND_ORDER: Final = (
    Kind.CONTRADICTED,
    Kind.MISSING,
    Kind.DISAGREE_STATE,
    Kind.DUPLICATE,
    Kind.UNKNOWN_WORD,
    Kind.STALE,
    Kind.DISAGREE_FIELD,
)
_STEPS: Final = {
    Kind.CONTRADICTED: (
        "Set right the jobs where one tool runs ahead of the facts",
        "Here money is asked for, or work begun, on something that has not happened.",
    ),
    Kind.MISSING: (
        "Enter the jobs that a tool does not know",
        "Nobody plans, bills or follows up a job that is not there.",
    ),
    Kind.DISAGREE_STATE: (
        "Bring the tools that lag behind up to the true state",
        "People act on what their own tool shows.",
    ),
    Kind.DUPLICATE: (
        "Join the jobs that stand twice in one tool",
        "One of two is mended, the other is believed.",
    ),
    Kind.UNKNOWN_WORD: (
        "Say what the unknown words mean",
        "A word that stands for no state tells nobody anything.",
    ),
    Kind.STALE: (
        "Ask what holds up the jobs that have stood still",
        "All agree on them, and nothing happens.",
    ),
    Kind.DISAGREE_FIELD: (
        "Copy the owner's values to the other tools",
        "The next message goes to the address that one tool still has.",
    ),
}
