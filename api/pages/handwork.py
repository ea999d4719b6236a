"""What a person puts into a tool by hand: as instructions, a record at a time."""

from collections.abc import Iterator, Mapping, Sequence

from lifecycle.events import NoticeDue, Value
from lifecycle.model import Lifecycle
from projections.notices import OnList
from projections.wording import all_of, noun, spaced, write


def by_record(rows: Sequence[OnList]) -> list[list[OnList]]:
    """These notices by the case that they are about, each in the order in which they became due."""
    found: dict[str, list[OnList]] = {}
    for row in rows:
        found.setdefault(row.stream, []).append(row)
    return list(found.values())


def where(row: OnList, due: NoticeDue | None, lifecycle: Lifecycle | None) -> list[str]:
    """Say which records of the tool it is about: `deal 9876`."""
    records = [
        f"{_kind(row.tool, kind, lifecycle)} {ref}"
        for kind, refs in (due.refs.items() if due else ())
        for ref in refs
    ]
    return records or [f"the record of {noun(lifecycle)} {row.case_id}"]


def _kind(tool: str, kind: str, lifecycle: Lifecycle | None) -> str:
    if kind == "main":
        kind = lifecycle.main_kind(tool) if lifecycle else ""
    return spaced(kind or "record")


def step(row: OnList, due: NoticeDue | None) -> str:
    """Say what to do to it: `set dealstage to “closedwon”`."""
    values = list(_set(due.personal)) if due else []
    if row.request:
        return f"{spaced(row.request)}{f', with {all_of(values)}' if values else ''}"
    if row.status_field:
        values.insert(0, f"{spaced(row.status_field)} to “{row.word}”")
    return f"set {all_of(values)}" if values else "look at the facts: some have changed"


def _set(values: Mapping[str, Value]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{name} to “{write(value, None)}”" if value is not None else f"{name} to nothing"
