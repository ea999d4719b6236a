"""The values somebody gives for a case's fields, in their formats and theirs to give; and why."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from lifecycle import fields as formats
from lifecycle.case import Case
from lifecycle.events import Asker, Value
from lifecycle.model import Lifecycle
from lifecycle.refusals import InvalidFields, NotTheOwner


def normalised(
    given: Mapping[str, Any], lifecycle: Lifecycle, absent: Collection[str] = ()
) -> tuple[dict[str, Value], list[dict[str, str]]]:
    """The canonical values, and every one that no format takes, with its path."""
    values: dict[str, Value] = {}
    wrong: list[dict[str, str]] = []
    for name, value in given.items():
        field = lifecycle.fields.get(name)
        if field is None:
            declared = ", ".join(lifecycle.fields) or "none"
            wrong.append({"path": _path(name), "detail": f"no such field (declared: {declared})"})
            continue
        try:
            values[name] = (
                None
                if value is None
                else formats.normalise(
                    field.type, value, choices=field.choices, signed=field.signed
                )
            )
        except formats.NotThat as exc:
            wrong.append({"path": _path(name), "detail": str(exc)})
        else:
            if field.type == "case" and values[name] in absent:
                detail = f"there is no case {values[name]!r}"
                wrong.append({"path": _path(name), "detail": detail})
                del values[name]
    return values, wrong


def fitting(
    given: Mapping[str, Any], lifecycle: Lifecycle, absent: Collection[str]
) -> dict[str, Value]:
    """The canonical values of all that is given; `InvalidFields` where one fits no format."""
    values, wrong = normalised(given, lifecycle, absent)
    if wrong:
        raise InvalidFields(first_wrong(wrong), errors=wrong)
    return values


def cases_named(given: Mapping[str, Any], lifecycle: Lifecycle) -> dict[str, str]:
    """The cases that these fields name, like `clients/C-7`, by field."""
    if lifecycle.case_fields.isdisjoint(given):
        return {}
    named = {name: given[name] for name in lifecycle.case_fields.intersection(given)}
    values, _ = normalised(named, lifecycle)
    return {name: value for name, value in values.items() if value is not None}


def check_owned(
    given: Iterable[str],
    asker: Asker,
    lifecycle: Lifecycle,
    active: frozenset[str],
    case_id: str,
) -> None:
    """A tool gives only what it owns while these states are active, else `NotTheOwner`."""
    if asker.tool is None:
        return
    owner_of = lifecycle.ownership.field_owner
    if foreign := [name for name in given if owner_of(name, active) != asker.tool]:
        owner = owner_of(foreign[0], active)
        raise NotTheOwner(
            f"{asker.tool!r} may not set {foreign[0]!r} of {case_id}:"
            f" it belongs to {owner or 'nobody'} in this state",
            field=foreign[0],
            owner=owner,
            fields=sorted(foreign),
        )


def legible(reason: str | None) -> str | None:
    """A reason as it was given; None where there is nothing in it that anybody could read."""
    if reason is None or any(map(_is_seen, reason)):
        return reason
    return None


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK


_BLANK: Final = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols that show nothing."""


def differing(case: Case, given: Mapping[str, Value]) -> dict[str, Value]:
    """Those of the values that the case does not have already."""
    return {name: value for name, value in given.items() if case.fields.get(name) != value}


def plain_of(values: Mapping[str, Value], lifecycle: Lifecycle) -> dict[str, Value]:
    """The values that may stand in the log in the open."""
    return {name: value for name, value in values.items() if name not in lifecycle.personal}


def personal_of(values: Mapping[str, Value], lifecycle: Lifecycle) -> dict[str, Value]:
    """The values that are sealed."""
    return {name: value for name, value in values.items() if name in lifecycle.personal}


def _path(name: str) -> str:
    return f"fields.{name[:80]}"


def first_wrong(wrong: Sequence[Mapping[str, str]]) -> str:
    """The first of what is wrong, in words, and how many more there are."""
    more = f" (and {len(wrong) - 1} more, see errors)" if len(wrong) > 1 else ""
    return f"{wrong[0]['path']}: {wrong[0]['detail']}{more}"
