"""Can a signature that is stated so ever hold, and does it prove anything where it does?

What could never verify is refused, and so is what anybody could make: a hash without the secret, a
signature over nothing of the delivery.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Final

from lifecycle.connectors import PARTS, InBody, Signature
from lifecycle.definition import Marks, listed, near
from lifecycle.expressions import NotAnExpression, Place, pieces
from lifecycle.refusals import Problem

SIGNED: Final = ("method", "url", "timestamp", "id", "body", "secret")
"""What `signs` may name, beside JMESPath in the body."""

Problems = Iterator[Problem]


def unprovable(signature: Signature, marks: Marks) -> Problems:
    """Find everything for which this signature could never hold, or proves nothing."""
    if signature.none or signature.basic:
        how = "none: true" if signature.none else "basic: true"
        why = f"beside {how}, where nothing is signed"
        yield from _meaningless(("reads", "mac", *_OF_A_MAC), why, marks)
        return
    yield from _reading(signature, marks)
    if signature.mac == "token":
        why = "beside mac: token: what stands there is the secret itself, and signs nothing"
        yield from _meaningless(_OF_A_MAC, why, marks)
        return
    with suppress(NotAnExpression):  # which is found where templates are tried
        yield from _signing(signature, marks)
        yield from _timing(signature, marks)


_OF_A_MAC: Final = (*("signs", "timestamp", "id", "algorithm", "encoding", "secret", "tolerance"),)


def _meaningless(keys: Iterable[str], why: str, marks: Marks) -> Problems:
    for key in keys:
        path = f"signature.{key}"
        if path in marks.lines:
            yield marks.problem(path, f"'{key}' means nothing {why}")


# How it is written.


def _reading(signature: Signature, marks: Marks) -> Problems:
    """Check how a signature is written: parts that can be read, the signature one of them."""
    path = "signature.reads"
    try:
        parts = [one.expression for one in pieces(signature.reads) if isinstance(one, Place)]
    except NotAnExpression as exc:
        yield marks.problem(path, str(exc))
        return
    for part in dict.fromkeys(parts):
        if part not in PARTS:
            yield marks.problem(path, f"no part '{{{part}}}'{near(part, PARTS)}; {listed(PARTS)}")
        elif parts.count(part) > 1:
            yield marks.problem(path, f"'{{{part}}}' stands twice; several are read anyway")
    if parts and set(parts) <= set(PARTS) and "signature" not in parts:
        yield marks.problem(path, "'{signature}' is missing")
    if not parts:
        yield marks.problem(path, f"names no part; {listed(PARTS)}")
    if signature.mac == "token" and set(parts) > {"signature"}:
        yield marks.problem(path, "a token stands alone: '{signature}', or 'Bearer {signature}'")
    yield from _ambiguous(signature.reads, marks)


def _ambiguous(reads: str, marks: Marks) -> Problems:
    """Refuse two parts between which nothing tells where one ends and the other begins."""
    for before, after in pairwise(pieces(reads)):
        if isinstance(before, Place) and isinstance(after, Place):
            yield marks.problem(
                "signature.reads",
                f"where '{{{before.expression}}}' ends and '{{{after.expression}}}' begins cannot"
                " be told; write what stands between them, such as a comma",
            )


# What is signed.


def _signing(signature: Signature, marks: Marks) -> Problems:
    path, signed = "signature.signs", signature.signed
    if not signed - {"method", "secret"}:
        yield marks.problem(
            path,
            "nothing of the delivery is signed, so that any would pass; name {body}, {url},"
            " {timestamp}, {id} or {JMESPath in the body}, or say mac: token where what is sent is"
            " the secret itself",
        )
    elif signature.mac == "digest" and "secret" not in signed:
        yield marks.problem(
            path, "a plain hash of what anybody can read proves nothing; it has to hold {secret}"
        )
    if signature.body is not None and "body" in signed:
        yield marks.problem(
            path,
            "the body holds the signature itself, so that it cannot be what is signed; name its"
            " parts: {JMESPath in the body}",
        )
    if signature.query is not None and "url" in signed:
        yield marks.problem(
            path, "the address holds the signature itself, so that it cannot be what is signed"
        )
    for name, stated in (("timestamp", signature.timestamp), ("id", signature.id)):
        if name in signed and stated is None and f"{{{name}}}" not in signature.reads:
            yield marks.problem(
                path,
                f"nothing gives '{{{name}}}': name the header that carries it ('{name}': its name),"
                f" its place in the body ('{name}': {{body: JMESPath}}), or read it in 'reads';"
                f" a part of the body of that name is written '{{@.{name}}}'",
            )
    for name in sorted(signed - {*SIGNED}):
        if name.isidentifier() and (meant := near(name, SIGNED)):
            yield marks.problem(
                path, f"'{{{name}}}' is looked for in the body{meant}", warning=True
            )


def _timing(signature: Signature, marks: Marks) -> Problems:
    if signature.is_timed:
        return
    would_do = "name {timestamp} in 'signs', or leave it out"
    if isinstance(signature.timestamp, InBody):
        would_do = f"name {{timestamp}} or {{{signature.timestamp.body}}} in 'signs'"
    if signature.tolerance is not None:
        yield marks.problem("signature.tolerance", f"no time is signed here: {would_do}")
    elif signature.timestamp is not None:
        yield marks.problem(
            "signature.timestamp", f"this time is not signed, so nobody looks at it: {would_do}",
            warning=True,
        )  # fmt: skip
