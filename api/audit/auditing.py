"""One audit from beginning to end: exports in, everything that is to be reported out."""

import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from msgspec.structs import replace

from api.audit.exports import Progress
from api.audit.findings import Audit, Finding, Link
from api.audit.grouping import Tie
from api.audit.judging import link_of, state_title
from api.audit.matching import KEYS, match
from api.audit.planning import plan
from api.audit.reading import read_exports
from api.audit.records import Given, Record
from api.audit.rows import BadExport
from api.audit.shelf import Filling, Shelf
from api.audit.summing import summed, worst_first
from api.audit.verdicts import Evidence, Tally, judge_all
from lifecycle.model import Lifecycle

MATCHING: Final = "matching rows"
TO_CONFIRM_MAX: Final = 5000
"""So many doubtful pairs are shown, the likeliest; whoever has answered those is shown the next."""


def audit(
    lifecycle: Lifecycle,
    exports: Sequence[Given],
    *,
    at: datetime,
    decisions: Mapping[str, bool] | None = None,
    progress: Progress = lambda _what, _done: None,
) -> Audit:
    """Read the exports, match their records, judge every case, and sum it up.

    `decisions` are a person's answers about doubtful pairs (`decisions.read_decisions`); `at` is
    the moment to which ages count. Raises `BadExport`, as `read_export` does. What is large is
    kept in files of the temporary folder until the audit is forgotten.
    """
    if len(exports) < 2:  # noqa: PLR2004 - one tool agrees with itself
        file = exports[0].file if exports else "no export"
        raise BadExport(file, "an audit compares tools: give the exports of two or more")
    with TemporaryDirectory(prefix="statekeeper-audit-") as folder, _nothing_collected():
        return _audited(lifecycle, exports, at, decisions or {}, progress, Path(folder))


def _audited(
    lifecycle: Lifecycle,
    exports: Sequence[Given],
    at: datetime,
    decisions: Mapping[str, bool],
    progress: Progress,
    folder: Path,
) -> Audit:
    began = perf_counter()
    read, paths = read_exports(exports, lifecycle, at.date(), folder, progress)
    records = Shelf(Record, paths)
    progress(MATCHING, len(records))
    keys = [key for key in KEYS if all(key in given.mapping.match for given in exports)]
    matching = match(records, decisions, keys)
    records.forget()
    files = {export.tool: export.file for export in read}
    doubts = _doubts(records, matching.to_confirm)
    evidence = Evidence(tuple(paths), matching.clusters, doubts, files, at)
    tally, jobs, found = judge_all(evidence, lifecycle.declaration, folder, progress)
    findings = _numbered(found, folder / "findings")
    summary = summed(findings, tally)
    return Audit(
        lifecycle=lifecycle.name,
        title=lifecycle.declaration.title,
        at=at,
        tool_titles={name: tool.title for name, tool in lifecycle.declaration.tools.items()},
        state_titles=_state_titles(lifecycle),
        exports=tuple(read),
        jobs=jobs,
        to_confirm=tuple(_links(records, matching.to_confirm[:TO_CONFIRM_MAX], files)),
        findings=findings,
        summary=summary,
        plan=tuple(plan(findings, summary, len(matching.to_confirm), lifecycle, files)),
        seconds=round(perf_counter() - began, 3),
        dates_between=_days(tally),
    )


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Leave out the search for garbage in circles: millions of values are made, and no circle."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _state_titles(lifecycle: Lifecycle) -> dict[str, str]:
    chart = lifecycle.chart
    ordered = sorted(
        chart.configurations, key=lambda one: [chart.leaves.index(leaf) for leaf in one]
    )
    return {"+".join(one): state_title(chart, one) for one in ordered}


def _days(tally: Tally) -> tuple[date, date] | None:
    return (tally.moments[0].date(), tally.moments[1].date()) if tally.moments else None


def _doubts(records: Sequence[Record], doubts: Iterable[Tie]) -> dict[int, frozenset[str]]:
    """Place of a record → the tools in which its other half may stand."""
    tools: dict[int, set[str]] = defaultdict(set)
    for doubt in doubts:
        tools[doubt.left].add(records[doubt.right].tool)
        tools[doubt.right].add(records[doubt.left].tool)
    return {place: frozenset(several) for place, several in tools.items()}


def _links(
    records: Sequence[Record], doubts: Iterable[Tie], files: Mapping[str, str]
) -> Iterator[Link]:
    for one in doubts:
        yield link_of(records[one.left], records[one.right], one, files, doubtful=True)


def _numbered(found: Shelf[Finding], path: Path) -> Shelf[Finding]:
    """All findings, the worst first; what is as bad stands in the order of the jobs."""
    order = sorted(range(len(found)), key=[worst_first(one) for one in found].__getitem__)
    with Filling[Finding](path) as filling:
        for number, place in enumerate(order, 1):
            filling.put(replace(found[place], number=number))
    return Shelf(Finding, [path])
