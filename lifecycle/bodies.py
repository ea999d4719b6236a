"""The body of a webhook → JSON, within bounds that hold before anything in it is believed.

Products send JSON; some put that JSON into a form (its only field is then the body), some send
the form's fields themselves, a few XML. Numbers stay exact.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl
from xml.parsers import expat

import msgspec

JSON: TypeAlias = "bool | int | Decimal | str | list[JSON] | dict[str, JSON] | None"
"""What a product sends, decoded: exact, no float."""

Pairs: TypeAlias = Sequence[tuple[str, str]]
"""Headers, or parameters of an address: name and value, decoded, in the order they came."""

BYTES_MAX: Final = 1024 * 1024
"""The size of one body."""
DEPTH_MAX: Final = 64
"""How deep values may nest."""
CONTAINERS_MAX: Final = 50_000
"""How many lists and objects one body may hold: time is bounded by it."""
FIELDS_MAX: Final = 1_000
"""How many fields a form may have."""


class NotUnderstood(ValueError):
    """A body that cannot be read as its product's connector says; the message says why not."""


def decoded(body: bytes, content_type: str = "") -> JSON:
    """Read a body; nothing at all is None. Raises `NotUnderstood`.

    `content_type` as it came; without one, or with one that means nothing else, a body is JSON.
    """
    if len(body) > BYTES_MAX:
        raise NotUnderstood(f"{len(body):,} bytes; a webhook has at most {BYTES_MAX:,}")
    if not body.strip():
        return None
    medium = content_type.partition(";")[0].strip().lower()
    if medium == "application/x-www-form-urlencoded" and body.lstrip()[:1] not in {b"{", b"["}:
        return _form(_urlencoded(body))
    if medium == "multipart/form-data":
        return _form(_multipart(body, content_type))
    if medium.endswith(("/xml", "+xml")):
        return _xml(body)
    return _json(body)


def _json(body: bytes) -> JSON:
    text = _LONE_HALVES.sub(_mended, body.removeprefix(b"\xef\xbb\xbf"))
    try:
        value: JSON = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise NotUnderstood(f"the body is not JSON in UTF-8: {str(exc)[:120]}") from exc
    except RecursionError as exc:
        raise NotUnderstood(f"the body is nested deeper than {DEPTH_MAX}") from exc
    _bound(value)
    return value


def _bound(value: JSON) -> None:
    """Raise `NotUnderstood` where it is too deep or too much to look through."""
    waiting: list[tuple[JSON, int]] = [(value, 1)]
    containers = 0
    while waiting:
        part, depth = waiting.pop()
        if not isinstance(part, list | dict):
            continue
        containers += 1
        if depth > DEPTH_MAX:
            raise NotUnderstood(f"the body is nested deeper than {DEPTH_MAX}")
        if containers > CONTAINERS_MAX:
            raise NotUnderstood(f"the body holds more than {CONTAINERS_MAX:,} lists and objects")
        inner = part.values() if isinstance(part, dict) else part
        waiting += [(one, depth + 1) for one in inner if isinstance(one, list | dict)]


def _mended(escape: re.Match[bytes]) -> bytes:
    """Replace half of a character, as products leave it that cut text by length."""
    return b"\\ufffd" if escape["half"] else escape[0]


def _xml(body: bytes) -> JSON:
    """Read an element as an object of its children, by their names without prefixes.

    One without children is its text, of several with one name there is a list; attributes are
    left out. A document type is refused: it is how small documents grow large.
    """
    root: dict[str, JSON] = {}
    open_: list[tuple[str, dict[str, JSON], list[str]]] = [("", root, [])]
    elements = 0

    def begin(name: str, _: Mapping[str, str]) -> None:
        if len(open_) > DEPTH_MAX:
            raise NotUnderstood(f"the body is nested deeper than {DEPTH_MAX}")
        nonlocal elements
        elements += 1
        if elements > CONTAINERS_MAX:
            raise NotUnderstood(f"the body holds more than {CONTAINERS_MAX:,} elements")
        open_.append((name.rpartition(":")[2], {}, []))

    def read(text: str) -> None:
        open_[-1][2].append(text)

    def end(_: str) -> None:
        name, children, texts = open_.pop()
        value: JSON = children or "".join(texts).strip() or None
        above = open_[-1][1]
        if name not in above:
            above[name] = value
        elif isinstance(several := above[name], list):
            several.append(value)
        else:
            above[name] = [several, value]

    def refuse(*_: object) -> None:
        raise NotUnderstood("the body declares a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = read, refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError) as exc:
        raise NotUnderstood(f"the body is not XML: {str(exc)[:120]}") from exc
    return root


def _form(fields: Mapping[str, str]) -> JSON:
    """Give what a form says: its only field where that is JSON, else its fields by name."""
    said = {name: _field(text) for name, text in fields.items()}
    only = next(iter(said.values())) if len(said) == 1 else None
    value: JSON = only if isinstance(only, dict | list) else said
    _bound(value)
    return value


def _field(text: str) -> JSON:
    """Read a field that holds JSON as what it holds; any other is its text."""
    if text.lstrip()[:1] not in {"{", "["}:
        return text
    try:
        value: JSON = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    return value


def _urlencoded(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError as exc:
        raise NotUnderstood(f"the body is no form in UTF-8: {str(exc)[:120]}") from exc
    return dict(pairs)


def _multipart(body: bytes, content_type: str) -> dict[str, str]:
    """Read the fields of a form of several parts; files in it are left out."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise NotUnderstood("a form of several parts does not say what divides them")
    divider = b"--" + (boundary[1] or boundary[2]).encode()
    parts = (b"\r\n" + body).split(b"\r\n" + divider, FIELDS_MAX + 1)
    if len(parts) < 3 or not parts[-1].startswith(b"--"):  # noqa: PLR2004 - before, one, behind
        raise NotUnderstood("a form of several parts is cut off, or has too many")
    fields: dict[str, str] = {}
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is None or _FILE.search(head):
            continue
        try:
            fields[name[1].decode()] = content.decode()
        except UnicodeDecodeError as exc:
            raise NotUnderstood("a field of the form is not UTF-8") from exc
    return fields


def _number(text: str) -> Any:
    """Give a decimal exactly; one of no sane size stays its text, so that nothing computes it."""
    if len(text) > _NUMBER_LENGTH_MAX:
        return text
    exact = Decimal(text)
    return exact if abs(exact.adjusted()) <= _NUMBER_LENGTH_MAX else text


_NUMBER_LENGTH_MAX: Final = 64
_DECODER: Final = msgspec.json.Decoder(float_hook=_number)
_LONE_HALVES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""Every escape of JSON; `half` where it is half a character without its other."""
_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"\r\n]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_NAME: Final = re.compile(rb'(?i:content-disposition):[^\r\n]*?[;\s]name="([^"\r\n]{1,200})"')
_FILE: Final = re.compile(rb"(?i:content-disposition):[^\r\n]*?[;\s]filename\*?=")
