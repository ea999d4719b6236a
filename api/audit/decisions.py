"""What a person decided about pairs of rows, kept in a file from one audit to the next."""

import json
from pathlib import Path
from typing import Final

from api.audit.records import Record

DECISIONS_MAX: Final = 200_000


def pair_key(left: Record, right: Record) -> str:
    """Name two records, whichever comes first, so that an answer finds them next time."""
    mine, theirs = record_name(left), record_name(right)
    return f"{mine} = {theirs}" if mine < theirs else f"{theirs} = {mine}"


def record_name(one: Record) -> str:
    """A record as decisions name it."""
    return f"{one.tool}:{one.kind}:{one.ref}" if one.kind else f"{one.tool}:{one.ref}"


def read_decisions(path: Path) -> dict[str, bool]:
    """Read what was decided about doubtful pairs; the last word on a pair counts.

    A line is `{"pair": "…", "same": true}`. No file is no decisions. Raises `ValueError` with the
    line that cannot be read.
    """
    decisions: dict[str, bool] = {}
    if not path.exists():
        return decisions
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if number > DECISIONS_MAX:
                raise ValueError(f"{path.name}: more than {DECISIONS_MAX:,} decisions")
            if not line.strip():
                continue
            try:
                decision = json.loads(line)
                pair, same = decision["pair"], decision["same"]
            except (ValueError, KeyError, TypeError, RecursionError) as exc:
                message = f'{path.name}, line {number}: a decision is {{"pair": "…", "same": true}}'
                raise ValueError(message) from exc
            if not isinstance(pair, str) or not isinstance(same, bool):
                message = f"{path.name}, line {number}: `pair` is text, `same` is true or false"
                raise ValueError(message)  # noqa: TRY004 - what is wrong is the file
            decisions[pair] = same
    return decisions


def keep_decision(path: Path, pair: str, *, same: bool) -> None:
    """Add one decision to the file: what is answered is kept, even if the next never is."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"pair": pair, "same": same}, ensure_ascii=False) + "\n")
