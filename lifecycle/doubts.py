"""Reads a connector's file, and doubts it: what is wrong there, and what can never work.

What a product sends is not known here, so an expression that finds nothing is no mistake; but one
that cannot be evaluated is, and so is a name that nothing has. What may be meant is a warning.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from lifecycle.connectors import (
    Amount,
    Connector,
    Fetch,
    Header,
    InBody,
    Said,
    Success,
    Write,
    is_status,
)
from lifecycle.definition import Marks, listed, near, read_as
from lifecycle.expressions import (
    NotAnExpression,
    Place,
    check,
    environment_variable,
    pieces,
    reached,
)
from lifecycle.provable import unprovable
from lifecycle.readings import is_zone
from lifecycle.refusals import BadDefinition, Problem
from lifecycle.writing import NAMES

Problems = Iterator[Problem]


def read_connector(content: bytes, file: str) -> tuple[Connector, Marks]:
    """Read a connector's file; raises BadDefinition with all that is wrong in it.

    Where it is sound, the marks hold its warnings.
    """
    connector, marks = read_as(Connector, content, file)
    problems = tuple(sorted(set(_doubts(connector, marks))))
    if any(not problem.warning for problem in problems):
        raise BadDefinition(problems)
    return connector, replace(marks, problems=problems)


def _doubts(connector: Connector, marks: Marks) -> Problems:
    for path, expression in _expressions(connector):
        yield from _tried(path, expression, marks)
    for path, template in _templates(connector):
        yield from _filled(path, template, marks)
    for path, name in _headers(connector):
        if _HEADER.fullmatch(name) is None:
            yield marks.problem(path, f"'{name}' is not the name of a header")
    if connector.zone is not None and not is_zone(connector.zone):
        yield marks.problem("zone", f"no time zone '{connector.zone}'; as in America/Denver")
    yield from _proving(connector, marks)
    yield from _saying(connector, marks)
    if connector.fetch is not None:
        yield from _asking(connector, connector.fetch, marks)
    if connector.write is not None:
        yield from _telling(connector.write, marks)


# How it is heard.


def _proving(connector: Connector, marks: Marks) -> Problems:
    signature, handshake = connector.signature, connector.handshake
    if handshake is not None:
        places = {"header": handshake.header, "query": handshake.query, "body": handshake.body}
        yield from _one_of("handshake", places, marks)
    if signature is not None:
        names = ("header", "query", "body", "basic", "none")
        yield from _one_of("signature", {name: getattr(signature, name) for name in names}, marks)
        yield from unprovable(signature, marks)
    elif connector.ref is not None or connector.word is not None or connector.fields:
        yield marks.problem(
            "",
            "without a 'signature' no webhook of it is believed; a product that does not sign says"
            " signature: {none: true}",
            warning=True,
        )


def _saying(connector: Connector, marks: Marks) -> Problems:
    for path, expression in _of_messages(connector):
        if connector.fetch is None and ("record",) in _reached(expression):
            yield marks.problem(
                path,
                "looks for 'record' in the message itself: the record of a product stands there"
                " only where 'fetch' asks for it",
                warning=True,
            )
    kind = connector.kind
    if isinstance(kind, str) and kind in connector.vocabulary:
        literal = f"\"'{kind}'\""
        yield marks.problem(
            "kind", f"looks for '{kind}' in the message; the kind itself is written {literal}",
            warning=True,
        )  # fmt: skip


# How records are asked for.


def _asking(connector: Connector, fetch: Fetch, marks: Marks) -> Problems:
    """Check that no message says where the tool's token goes, and that places can be filled."""
    for one in fetch.hosts:
        if _HOST.fullmatch(one) is None:
            wanted = "as in api.example.com, or *.example.com for every name below"
            yield marks.problem("fetch.host", f"'{one}' is not the name of a host, {wanted}")
    with suppress(NotAnExpression):  # which is found where templates are tried
        if fetch.is_free and not fetch.hosts:
            yield marks.problem(
                "fetch.url",
                "the message says which host is asked, and the tool's token goes there;"
                " name the hosts that may be in 'host': [api.example.com, \"*.example.com\"]",
            )
    for path, expression in _places("fetch", fetch):
        yield from _asked(path, expression, connector, marks)


def _asked(path: str, expression: str, connector: Connector, marks: Marks) -> Problems:
    """Doubt names that the message is not likely to have: it is held against the message alone."""
    own = {name: getattr(connector, name) for name in ("ref", "kind", "word", "status_field")}
    tops = {one[0] for one in _reached(expression)}
    if "record" in tops:
        yield marks.problem(path, "'record' is what is asked for, and is not there yet")
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", expression):
        yield marks.problem(
            path, f"'{{{expression}}}' is looked for in the message (did you mean"
            f" '{{env:{expression}}}'?)", warning=True,
        )  # fmt: skip
    for name, said in own.items():
        if expression == name and isinstance(said, str) and (name,) not in _reached(said):
            yield marks.problem(
                path,
                f"'{{{name}}}' is looked for in the message, where this connector finds its {name}"
                f" by {said[:80]!r} (did you mean '{{{said[:80]}}}'? its own is '{{@.{name}}}')",
            )


# How it is told.


def _telling(write: Write, marks: Marks) -> Problems:
    yield from _succeeding(write.success, marks)
    for path, expression in _places("write", write):
        yield from _noticed(path, expression, marks)


def _succeeding(said: str | tuple[str, ...] | Success, marks: Marks) -> Problems:
    path = "write.success"
    if isinstance(said, str):
        if not is_status(said):
            for problem in _tried(path, said, marks):
                yield replace(problem, message=f"no status like 200 or 2xx, and {problem.message}")
            yield from _answered(path, said, marks)
        return
    statuses = said.status if isinstance(said, Success) else said
    for status in (statuses,) if isinstance(statuses, str) else statuses:
        if not is_status(status):
            yield marks.problem(
                path,
                f"'{status}' is no status like 200 or 2xx; what the answer's JSON has to say is"
                " {body: JMESPath}",
            )
    if not statuses:
        yield marks.problem(path, "no answer at all would be a success")
    if isinstance(said, Success) and said.body is not None:
        yield from _tried(f"{path}.body", said.body, marks)
        yield from _answered(f"{path}.body", said.body, marks)


def _answered(path: str, expression: str, marks: Marks) -> Problems:
    if ("body",) in _reached(expression):
        yield marks.problem(
            path,
            f"is held against the answer's JSON itself, in which {expression[:80]!r} looks for"
            " 'body'",
            warning=True,
        )


def _noticed(path: str, expression: str, marks: Marks) -> Problems:
    """Refuse a name that no notice has."""
    known = {tuple(name.split(".")) for name in NAMES}
    free = {one for one in known if one[-1] in {"refs", "fields", "with"}}
    for name in sorted(_reached(expression), key=len):
        begins = any(one[: len(name)] == name for one in known)
        if begins or any(name[: len(one)] == one for one in free):
            continue
        said = ".".join(name)
        meant = next((f" (did you mean '{one}'?)" for one in NAMES if one.endswith(f".{said}")), "")
        yield marks.problem(
            path, f"nothing in a notice is called '{said}'{meant or near(said, NAMES)};"
            f" {listed(NAMES)}"
        )  # fmt: skip
        return


# What stands in it.


def _of_messages(connector: Connector) -> Iterator[tuple[str, str]]:
    """Give every JMESPath that is held against a message, with its path."""
    names = ("occurred_at", "kind", "ref", "status_field", "word", "collection", "case", "id")
    for name in names:
        said: Said | tuple[str, ...] | None = getattr(connector, name)
        if isinstance(said, str):
            yield name, said
        elif isinstance(said, tuple):
            yield from ((f"{name}[{index}]", part) for index, part in enumerate(said))
    if isinstance(connector.fields, str):
        yield "fields", connector.fields
        return
    for name, field in connector.fields.items():
        if isinstance(field, Amount):
            yield f"fields.{name}.amount", field.amount
            yield f"fields.{name}.currency", field.currency
        else:
            yield f"fields.{name}", field


def _expressions(connector: Connector) -> Iterator[tuple[str, str]]:
    """Give every JMESPath of a connector outside its templates, with its path."""
    yield "messages", connector.messages
    yield from _of_messages(connector)
    if connector.fetch is not None:
        yield "fetch.record", connector.fetch.record
    for name, part in {"signature": connector.signature, "handshake": connector.handshake}.items():
        if part is not None and part.body is not None:
            yield f"{name}.body", part.body
    if connector.signature is not None:
        for name in ("timestamp", "id"):
            place = getattr(connector.signature, name)
            if isinstance(place, InBody):
                yield f"signature.{name}.body", place.body


def _templates(connector: Connector) -> Iterator[tuple[str, str]]:
    """Give every template of a connector, with its path."""
    if connector.signature is not None:
        yield "signature.signs", connector.signature.signs
    for name, call in {"fetch": connector.fetch, "write": connector.write}.items():
        if call is not None:
            yield from _call(name, call)


def _call(name: str, call: Fetch | Write) -> Iterator[tuple[str, str]]:
    yield f"{name}.url", call.url
    yield from ((f"{name}.headers.{key}", value) for key, value in call.headers.items())
    if call.body is not None:
        yield f"{name}.body", call.body


def _places(name: str, call: Fetch | Write) -> Iterator[tuple[str, str]]:
    """Give every JMESPath in the templates of a call that can be read, with the template's path."""
    for path, template in _call(name, call):
        with suppress(NotAnExpression):
            for piece in pieces(template):
                if isinstance(piece, Place) and environment_variable(piece) is None:
                    yield path, piece.expression


def _headers(connector: Connector) -> Iterator[tuple[str, str]]:
    """Give every name of a header, with its path."""
    parts = (*("id", "occurred_at", "kind", "ref", "status_field", "word"),)
    for name in parts:
        if isinstance(said := getattr(connector, name), Header):
            yield f"{name}.header", said.header
    if signature := connector.signature:
        if signature.header is not None:
            yield "signature.header", signature.header.removesuffix("*") or "*"
        for name in ("timestamp", "id"):
            if isinstance(place := getattr(signature, name), str):
                yield f"signature.{name}", place
    if connector.handshake and connector.handshake.header is not None:
        yield "handshake.header", connector.handshake.header
    for name, call in {"fetch": connector.fetch, "write": connector.write}.items():
        yield from ((f"{name}.headers.{one}", one) for one in (call.headers if call else ()))
    yield from ((f"answer.headers.{one}", one) for one in connector.answer.headers)


def _tried(path: str, expression: str, marks: Marks) -> Problems:
    try:
        check(expression)
    except NotAnExpression as exc:
        yield marks.problem(path, str(exc))


def _filled(path: str, template: str, marks: Marks) -> Problems:
    try:
        parts = pieces(template)
    except NotAnExpression as exc:
        yield marks.problem(path, str(exc))
        return
    for part in parts:
        if isinstance(part, Place) and not environment_variable(part):
            yield from _tried(path, part.expression, marks)


def _reached(expression: str) -> Iterable[tuple[str, ...]]:
    """Where an expression looks; nowhere where it is none, which is found elsewhere."""
    try:
        return reached(expression)
    except NotAnExpression:
        return ()


def _one_of(path: str, places: Mapping[str, object], marks: Marks) -> Problems:
    named = [name for name, said in places.items() if said]
    if len(named) != 1:
        yield marks.problem(path, f"names {listed(named)}; one of {listed(places)} is wanted")


_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HOST: Final = re.compile(r"\*(\.[a-z0-9-]+){2,}|[a-z0-9.:-]+")
"""A host in small letters, or all below a name that is not a whole country's."""
