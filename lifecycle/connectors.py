"""How a product speaks, as data: one file in `connectors/` of the definitions, and no code.

Here it is only read. Expressions (JMESPath) and templates stay text, but each is tried: whoever
hears and tells evaluates them, within bounds, and finds none that cannot be.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from lifecycle.declaration import Duration
from lifecycle.definition import Marks, listed, near, read_as
from lifecycle.expressions import NotAnExpression, Place, check, environment_variable, pieces
from lifecycle.readings import is_zone
from lifecycle.refusals import BadDefinition, Problem

ConnectorId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")]
"""The name of the file, as tools give it in `connector`."""

PARTS: Final = ("signature", "timestamp", "id")
"""What can be read out of where a signature is written."""


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """How a webhook proves where it comes from: where it is signed, what, and with what."""

    header: str | None = None
    """The header that carries the signature; it may end in `*`."""
    query: str | None = None
    """The parameter of the address that carries it."""
    body: str | None = None
    """JMESPath to it in the body."""
    basic: bool = False
    """HTTP Basic instead: the secret is `user:password`."""
    none: bool = False
    """Not signed; the flow then needs a path token that nobody can guess."""
    reads: str = "{signature}"
    """How it is written, of {signature}, {timestamp} and {id}; several may stand there, in parts
    divided by commas, semicolons or spaces; unknown parts are skipped."""
    signs: str = "{body}"
    """What is signed, of {method}, {url}, {timestamp}, {id}, {body} (the exact bytes), {secret} and
    {JMESPath in the body}; a part of the body with one of those names is written {@.id}."""
    timestamp: str | None = None
    """A header that carries the time, where the signature's own does not."""
    id: str | None = None
    """A header that carries the id, likewise."""
    mac: Literal["hmac", "digest"] = "hmac"
    algorithm: Literal["sha256", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    secret: Literal["plain", "base64"] = "plain"  # noqa: S105 - how, not what
    """How the secret itself is written; before base64 the prefix `whsec_` is dropped."""
    tolerance: Duration | None = None
    """How old, or early, a signed timestamp may be; five minutes where nothing is said."""


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that stands in a header instead of the body."""

    header: str


class Amount(Struct, frozen=True, forbid_unknown_fields=True):
    """Money that a product keeps in two places, each a JMESPath."""

    amount: str
    currency: str
    minor: bool = False
    """The amount counts the currency's smallest units, such as cents."""


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """What the product wants to read back once a message is kept."""

    status: Annotated[int, Meta(ge=200, le=299)] = 200
    body: str = ""
    headers: dict[str, str] = {}
    """Such as its Content-Type, which is plain text where nothing is said."""


class Handshake(Struct, frozen=True, forbid_unknown_fields=True):
    """How a product introduces itself: it sends something that it wants to read back.

    That may come before anything is signed, so nothing else of it is kept or believed.
    """

    header: str | None = None
    """A header; a request with it is answered with the same header."""
    query: str | None = None
    """A parameter of the address; its value is answered as the body."""
    body: str | None = None
    """JMESPath; a body in which it finds something is answered with what it found: text as it is,
    an object as JSON (`challenge && {challenge: challenge}` gives back both name and value)."""


class Fetch(Struct, frozen=True, forbid_unknown_fields=True):
    """How to ask for the record that a webhook only names (REST or GraphQL).

    In `url`, `headers` and `body` stand {JMESPath} of the message and {env:NAME}; where no header
    is an Authorization, `STATEKEEPER_<TOOL>_TOKEN` is sent as `Bearer`. What comes back takes its
    place beside the message as `record`, where the other expressions find it.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    body: str | None = None
    record: str = "@"
    """JMESPath to the record in what is answered."""
    within: Duration | None = None
    """How long an answer may take; five seconds where nothing is said."""

    @property
    def variables(self) -> list[str]:
        """What has to be set in the environment."""
        places = (
            piece
            for template in (self.url, *self.headers.values(), self.body or "")
            for piece in pieces(template)
            if isinstance(piece, Place)
        )
        named = (environment_variable(place) for place in places)
        return list(dict.fromkeys(name for name in named if name))


class Write(Struct, frozen=True, forbid_unknown_fields=True):
    """How the product itself is told.

    In `url`, `headers` and `body` stand {JMESPath} of the notice and {env:NAME}.
    """

    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = {}
    body: str | None = None
    success: str | tuple[str, ...] = "2xx"
    """Statuses that mean it was taken: exact, or a class such as `2xx`."""


Headings = str | tuple[str, ...]
"""What a column of an export may be headed: one way, or several, the likeliest first."""


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """A column that is wanted for deriving a word, by a name of its own."""

    heading: Headings
    type: Literal["text", "number", "money", "date"] = "text"


class Derived(Struct, frozen=True, forbid_unknown_fields=True):
    """The word of a record that has no status of its own, where a condition holds."""

    word: Headings
    """The word it amounts to; several where it can be any of them."""
    when: str | None = None
    """A condition over `columns`, `money` and `today`, in the language of transitions' `when`;
    without one it always holds. An empty cell holds in no condition."""


class Export(Struct, frozen=True, forbid_unknown_fields=True):
    """What the columns of an export mean, headed as the product writes them.

    Headings are compared without regard to case, spacing and punctuation.
    """

    ref: Headings
    """The product's own id of the record."""
    numbered: bool = False
    """`ref` is a number that people see, and the product sends another id: nothing to refer by."""
    status: dict[str, Headings] = {}
    """The tool's status field → the column that shows it."""
    words: dict[str, str] = {}
    """What the export writes → the word that the product means; others stand as they are."""
    derived: dict[str, tuple[Derived, ...]] = {}
    """Status field → where no column shows it: the first whose condition holds."""
    also: Headings = ()
    """Further ids of the record by which other tools may refer to it, such as a number."""
    kind: Headings = ()
    """What kind of record it is, where one file holds several."""
    since: Headings = ()
    """When it changed last: when the word became what it is, as far as the product tells."""
    name: Headings = ()
    """The customer's name."""
    title: Headings = ()
    """What the job is called."""
    email: Headings = ()
    phone: Headings = ()
    address: Headings = ()
    """Its parts stand in several columns where the headings are joined by ` + `."""
    money: Headings = ()
    """What the job is worth."""
    currency: Headings = ()
    references: dict[str, Headings] = {}
    """Tool, or connector of a tool → columns that hold that tool's own id; `quickbooks:invoice`
    where it is the id of one kind of record only."""
    match: tuple[Literal["email", "phone"], ...] = ("email", "phone")
    """The keys that tell customers apart here; one that many share, such as the phone of an
    office, is better left out."""
    fields: dict[str, Headings] = {}
    """Canonical field → its column."""
    lines: bool = False
    """Whether a record may take several rows, one for each of its lines: the first one counts."""
    of_kind: dict[str, tuple[str, ...]] = {}
    """Canonical field → the kinds of record that hold it, where not all in the file do."""
    columns: dict[str, Column] = {}
    """Further columns that conditions name."""
    currency_unnamed: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] | None = None
    """ISO 4217: what amounts without a currency are in."""
    dates: Literal["day first", "month first"] | None = None
    """How dates are written, where a whole column leaves it open."""
    decimal: Literal["point", "comma"] | None = None
    """What stands before the cents, where a whole column leaves it open."""
    zone: Annotated[str, Meta(pattern=r"^[+-][01][0-9]:[0-5][0-9]$")] = "+00:00"
    """The offset of times that are written without one."""


class Connector(Struct, frozen=True, forbid_unknown_fields=True):
    """How one product speaks: its signature, its messages, its words."""

    connector: ConnectorId
    title: str
    answer_within: Duration | None = None
    """How long the product waits for its answer."""
    signature: Signature | None = None
    """Without one, webhooks are refused; a product that does not sign says `none: true`."""
    messages: str = "@"
    """JMESPath to the message, or the list of messages, in one body: JSON, a form (its fields by
    name, or the JSON that is its only one), or XML (elements by name, without their prefixes)."""
    id: str | tuple[str, ...] | Header | None = None
    """What tells one message from another: JMESPath, several taken together, or a header."""
    occurred_at: str | None = None
    """JMESPath to the time: RFC 3339, Unix seconds or milliseconds."""
    kind: str | None = None
    """The kind of the reference: JMESPath, or a literal in quotes."""
    ref: str | None = None
    """JMESPath to the product's own id of the record."""
    status_field: str | None = None
    """JMESPath, or a literal in quotes."""
    word: str | None = None
    """JMESPath to the word in the status field."""
    fields: dict[str, str | Amount] | str = {}
    """Canonical field → JMESPath, what finds nothing is not said; or JMESPath to an object that is
    written under our own names already."""
    collection: str | None = None
    """JMESPath to the collection that it is about, where a product knows of ours."""
    case: str | None = None
    """JMESPath to our own id of the case, likewise, in place of `ref`."""
    zone: str | None = None
    """The time zone in which its moments are days, such as America/Denver; as written if absent."""
    answer: Answer = Answer()
    handshake: Handshake | None = None
    fetch: Fetch | None = None
    write: Write | None = None
    export: Export | None = None
    """How its exports (CSV, XLSX) are read by `statekeeper audit`."""
    vocabulary: dict[str, tuple[str, ...]] = {}
    """The words a product has published, by kind of record or by status field."""

    def published(self, status_field: str, kinds: tuple[str, ...]) -> tuple[str, ...] | None:
        """Give the words that a status field can show for these kinds; None: not published.

        A vocabulary by status field speaks for that field. One by kind speaks for the field that
        the product reports under a fixed name.
        """
        if status_field in self.vocabulary:
            return self.vocabulary[status_field]
        known = [kind for kind in kinds if kind in self.vocabulary]
        if not known or self.status_field not in {f"'{status_field}'", f'"{status_field}"'}:
            return None
        return tuple(dict.fromkeys(word for kind in known for word in self.vocabulary[kind]))


def read_connector(content: bytes, file: str) -> tuple[Connector, Marks]:
    """Read a connector's file; raises BadDefinition with all that is wrong in it."""
    connector, marks = read_as(Connector, content, file)
    if problems := tuple(sorted(_doubts(connector, marks))):
        raise BadDefinition(problems)
    return connector, marks


def _doubts(connector: Connector, marks: Marks) -> Iterator[Problem]:
    signature, handshake = connector.signature, connector.handshake
    if signature is not None:
        places = {
            "header": signature.header,
            "query": signature.query,
            "body": signature.body,
            "basic": signature.basic,
            "none": signature.none,
        }
        yield from _one_of("signature", places, marks)
        yield from _reading(signature.reads, marks)
    if handshake is not None:
        places = {"header": handshake.header, "query": handshake.query, "body": handshake.body}
        yield from _one_of("handshake", places, marks)
    if connector.zone is not None and not is_zone(connector.zone):
        yield marks.problem("zone", f"no time zone '{connector.zone}'; as in America/Denver")
    for path, expression in _expressions(connector):
        yield from _tried(path, expression, marks)
    for path, template in _templates(connector):
        yield from _filled(path, template, marks)


def _reading(template: str, marks: Marks) -> Iterator[Problem]:
    """Check how a signature is written: parts that can be read, the signature one of them."""
    path = "signature.reads"
    try:
        parts = [piece.expression for piece in pieces(template) if isinstance(piece, Place)]
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


def _expressions(connector: Connector) -> Iterator[tuple[str, str]]:
    """Give every JMESPath of a connector, with its path."""
    said: dict[str, str | None] = {
        "messages": connector.messages,
        "occurred_at": connector.occurred_at,
        "kind": connector.kind,
        "ref": connector.ref,
        "status_field": connector.status_field,
        "word": connector.word,
        "collection": connector.collection,
        "case": connector.case,
        "signature.body": connector.signature.body if connector.signature else None,
        "handshake.body": connector.handshake.body if connector.handshake else None,
        "fetch.record": connector.fetch.record if connector.fetch else None,
    }
    match connector.id:
        case str():
            said["id"] = connector.id
        case tuple():
            said |= {f"id[{index}]": part for index, part in enumerate(connector.id)}
    if isinstance(connector.fields, str):
        said["fields"] = connector.fields
    for name, field in _fields(connector).items():
        if isinstance(field, str):
            said[f"fields.{name}"] = field
        else:
            said[f"fields.{name}.amount"] = field.amount
            said[f"fields.{name}.currency"] = field.currency
    yield from ((path, expression) for path, expression in said.items() if expression is not None)


def _fields(connector: Connector) -> Mapping[str, str | Amount]:
    return {} if isinstance(connector.fields, str) else connector.fields


def _templates(connector: Connector) -> Iterator[tuple[str, str]]:
    """Give every template of a connector, with its path."""
    if connector.signature is not None:
        yield "signature.signs", connector.signature.signs
    for name, call in {"fetch": connector.fetch, "write": connector.write}.items():
        if call is None:
            continue
        yield f"{name}.url", call.url
        yield from ((f"{name}.headers.{key}", value) for key, value in call.headers.items())
        if call.body is not None:
            yield f"{name}.body", call.body


def _tried(path: str, expression: str, marks: Marks) -> Iterator[Problem]:
    try:
        check(expression)
    except NotAnExpression as exc:
        yield marks.problem(path, str(exc))


def _filled(path: str, template: str, marks: Marks) -> Iterator[Problem]:
    try:
        parts = pieces(template)
    except NotAnExpression as exc:
        yield marks.problem(path, str(exc))
        return
    for part in parts:
        if isinstance(part, Place) and not environment_variable(part):
            yield from _tried(path, part.expression, marks)


def _one_of(path: str, places: Mapping[str, object], marks: Marks) -> Iterator[Problem]:
    named = [name for name, said in places.items() if said]
    if len(named) != 1:
        yield marks.problem(path, f"names {listed(named)}; one of {listed(places)} is wanted")
