"""What a new version of a definition changed, as people would say it: added, removed, changed.

Two declarations are compared part by part; what only people read (titles) counts too here, since
it is people who read this.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lifecycle.declaration import Declaration, Transition, walk
from projections.retention import RETENTION
from projections.wording import spaced

Flat = Mapping[str, Mapping[str, str]]
"""Name of a part → what is declared of it → its value, all as text."""


class Change(Struct, frozen=True):
    """One thing that is declared otherwise."""

    how: Literal["added", "removed", "changed"]
    section: str
    name: str
    details: tuple[tuple[str, str, str], ...] = ()
    """What of it, before and after; empty where there was or is nothing."""


def changes(before: Declaration, after: Declaration) -> list[Change]:
    """Everything that differs, section by section in the order of a definition."""
    was, now_is = _sections(before), _sections(after)
    return [change for name, flat in now_is.items() for change in _compared(name, was[name], flat)]


def _compared(section: str, before: Flat, after: Flat) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        was, now_is = before.get(name), after.get(name)
        details = tuple(
            (part, (was or {}).get(part, ""), (now_is or {}).get(part, ""))
            for part in dict.fromkeys((*(was or {}), *(now_is or {})))
            if (was or {}).get(part) != (now_is or {}).get(part)
        )
        if was is None:
            yield Change("added", section, name, details)
        elif now_is is None:
            yield Change("removed", section, name)
        elif details:
            yield Change("changed", section, name, details)


def _sections(declared: Declaration) -> dict[str, Flat]:
    return {
        "Lifecycle": {
            "Title": {"is": declared.title},
            "Steward": {"is": declared.steward or ""},
        },
        "Tools": {name: _flat(tool) for name, tool in declared.tools.items()},
        "Fields": {name: _flat(field) for name, field in declared.fields.items()},
        "States": {
            place.id: _flat(place.state, "states")
            | ({"inside": " / ".join(place.above)} if place.above else {})
            for place in walk(declared.states)
        },
        "Transitions": dict(_transitions(declared.transitions)),
        "Words": {
            f"{tool} · {field}": {state: _said(word) for state, word in entries.items()}
            for tool, fields in declared.words.items()
            for field, entries in fields.items()
        },
        "Words with a meaning of their own": {
            f"{tool} · {field}": {word: _plain(means) for word, means in entries.items()}
            for tool, fields in declared.hears.items()
            for field, entries in fields.items()
        },
        "Fields that tools are told": {tool: dict(names) for tool, names in declared.reads.items()},
        "Reactions": {one.name: _flat(one, "name") for one in declared.reactions},
        "Flows": {f"{one.tool} · {one.direction}": _flat(one) for one in declared.flows},
        "Promises": {
            f"{one.tool or 'every tool'} · {one.property}": {"value": f"{one.value} {one.unit}"}
            for one in declared.promises
        },
        "Besides": {
            "Opened by": {"tools": ", ".join(declared.opened_by)},
            "Raw messages are kept": {"for": declared.retention or RETENTION},
        },
    }


def _transitions(rows: tuple[Transition, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each by its name; where a name stands more than once, with where it leads."""
    names = [row.name for row in rows]
    for row in rows:
        twice = names.count(row.name) > 1
        yield f"{row.name} → {row.to}" if twice else row.name, _flat(row, "name")


def _flat(part: Struct, *without: str) -> dict[str, str]:
    """What is declared of a part; defaults that nobody wrote are left out."""
    values = msgspec.to_builtins(part)
    return {
        spaced(name): _plain(value)
        for name, value in values.items()
        if name not in without and value not in (None, "", [], {}, False)
    }


def _said(word: Any) -> str:
    return "(not told)" if word is None else _plain(word)


def _plain(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_plain, value))
        case dict():
            return ", ".join(f"{key}: {_plain(one)}" for key, one in value.items())
        case Struct():
            return _plain(msgspec.to_builtins(value))
    return str(value)
