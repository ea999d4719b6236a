"""Facts as people fill them in: each field of the data model as inputs, and back as a value.

What is typed is taken as it is; whether it is a value of its type, the lifecycle decides.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from msgspec import Struct

from api.pages.session import Form
from lifecycle.case import Case
from lifecycle.declaration import Field
from lifecycle.events import ERASED
from lifecycle.model import Lifecycle
from projections.wording import label, tool_title

PREFIX: Final = "f."
"""Of the names of inputs that are for fields."""
ADDRESS_PARTS: Final = ("lines", "city", "region", "postcode", "country")
HINTS: Final[Mapping[str, str]] = {
    "money": "amount and currency, like 1250.00 USD",
    "datetime": "with its zone, like 2026-05-04T14:00:00+02:00",
    "phone": "with its country, like +1 202 555 0143",
    "case": "collection and id, like clients/C-7",
    "number": "digits and a point, like 12.5",
}


class Input(Struct, frozen=True):
    """One thing to fill in."""

    name: str
    label: str
    kind: Literal["text", "date", "email", "tel", "choice", "area"]
    value: str
    hint: str = ""
    choices: tuple[str, ...] = ()
    needed: bool = False
    wrong: str = ""


def inputs(
    names: Iterable[str],
    case: Case,
    lifecycle: Lifecycle,
    *,
    form: Form | None = None,
    needed: Iterable[str] = (),
    wrong: Mapping[str, str] | None = None,
) -> list[Input]:
    """The inputs for these fields: with what was typed, else with what is known."""
    wanted, errors = frozenset(needed), wrong or {}
    return [
        made
        for name in names
        for made in _inputs(name, case, lifecycle, form, wanted, errors.get(name, ""))
    ]


def _inputs(
    name: str,
    case: Case,
    lifecycle: Lifecycle,
    form: Form | None,
    needed: frozenset[str],
    wrong: str,
) -> Iterator[Input]:
    field = lifecycle.fields[name]
    known = _shape(name, case, lifecycle)
    text = label(name, lifecycle)
    title = f"{text[0].upper()}{text[1:]}"
    active = lifecycle.chart.active(case.states).ids
    owner = lifecycle.ownership.field_owner(name, active)
    whose = f"{tool_title(owner, lifecycle)}'s to say" if owner else ""
    for key, value in known.items():
        part = key.rpartition(".")[2] if field.type == "address" else ""
        yield Input(
            name=f"{PREFIX}{key}",
            label=f"{title}, {part}" if part else title,
            kind=_kind(field, part),
            value=form.one(f"{PREFIX}{key}") if form else value,
            hint=" · ".join(one for one in (whose, HINTS.get(field.type, "")) if one),
            choices=("yes", "no") if field.type == "boolean" else field.choices,
            needed=name in needed and part in {"", "lines"},
            wrong=wrong,
        )
        whose, wrong = "", ""


def _kind(field: Field, part: str) -> Literal["text", "date", "email", "tel", "choice", "area"]:
    if field.type in {"choice", "boolean"}:
        return "choice"
    if part == "lines":
        return "area"
    match field.type:
        case "date":
            return "date"
        case "email":
            return "email"
        case "phone":
            return "tel"
    return "text"


def written(name: str, case: Case) -> dict[str, str]:
    """What is known of a field, as it stands in its inputs: name of the input → text."""
    value = case.fields.get(name)
    if value == ERASED and name in case.personal:
        value = None
    match value:
        case None:
            return {name: ""}
        case bool():
            return {name: "yes" if value else "no"}
        case dict():
            return _parts(name, value)
    return {name: str(value)}


def _parts(name: str, address: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{name}.{part}": "\n".join(address.get(part, ()))
        if part == "lines"
        else str(address.get(part, ""))
        for part in ADDRESS_PARTS
    }


def values(form: Form, names: Iterable[str], case: Case, lifecycle: Lifecycle) -> dict[str, Any]:
    """What was filled in otherwise than it is known: field → value, None where it was emptied."""
    found: dict[str, Any] = {}
    for name in names:
        field, known = lifecycle.fields[name], _shape(name, case, lifecycle)
        given = {key: _tidy(form.one(f"{PREFIX}{key}")) for key in known}
        if not any(f"{PREFIX}{key}" in form.fields for key in known):
            continue  # the form did not ask for it
        if given != {key: _tidy(text) for key, text in known.items()}:
            found[name] = _value(field, name, given)
    return found


def _shape(name: str, case: Case, lifecycle: Lifecycle) -> dict[str, str]:
    known = written(name, case)
    if lifecycle.fields[name].type == "address" and known == {name: ""}:
        return _parts(name, {})
    return known


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _value(field: Field, name: str, given: Mapping[str, str]) -> Any:
    if not any(given.values()):
        return None
    if field.type == "address":
        parts: dict[str, Any] = {
            part: given[f"{name}.{part}"] for part in ADDRESS_PARTS if given[f"{name}.{part}"]
        }
        if "lines" in parts:
            parts["lines"] = [line for line in parts["lines"].split("\n") if line.strip()]
        return parts
    text = given[name]
    match field.type:
        case "boolean":
            return {"yes": True, "no": False}.get(text, text)
        case "number":
            return _number(text)
    return text


def _number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text
