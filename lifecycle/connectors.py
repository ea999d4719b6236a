"""How a product speaks, as data: one file in `connectors/` of the definitions, and no code.

Expressions (JMESPath) and templates stay text here: `doubts` has tried each, and whoever hears and
tells evaluates them, within bounds.
"""

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from lifecycle.declaration import Duration
from lifecycle.expressions import Place, environment_variable, pieces, results

ConnectorId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")]
"""The name of the file, as tools give it in `connector`."""

PARTS: Final = ("signature", "timestamp", "id")
"""What can be read out of where a signature is written."""
STATUS_LENGTH: Final = 3
"""Of a status as it is written: 200, or 2xx for all of its class."""


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that stands in a header of the delivery instead of its body."""

    header: str


Said: TypeAlias = str | Header
"""Where a message says something: JMESPath in its body, or a header of the delivery."""


class InBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that stands in the body, where a plain name would be that of a header."""

    body: str
    """JMESPath."""


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
    timestamp: str | InBody | None = None
    """The header that carries the time, or `{body: JMESPath}`, where the signature's own does
    not."""
    id: str | InBody | None = None
    """What carries the id, likewise."""
    mac: Literal["hmac", "digest", "token"] = "hmac"
    """`digest` is a plain hash, of which the secret is a part; `token`: nothing is signed, and what
    stands there is the secret itself."""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    secret: Literal["plain", "base64", "hex"] = "plain"  # noqa: S105 - how one is written, and none itself
    """How the secret itself is written; before base64 the prefix `whsec_` is dropped."""
    tolerance: Duration | None = None
    """How old, or early, a signed timestamp may be; five minutes where nothing is said."""

    @property
    def signed(self) -> frozenset[str]:
        """What stands between the braces of `signs`."""
        return frozenset(one.expression for one in pieces(self.signs) if isinstance(one, Place))

    @property
    def is_timed(self) -> bool:
        """Whether the time is among what is signed, so that an old delivery can be told."""
        inside = self.timestamp.body if isinstance(self.timestamp, InBody) else None
        return "timestamp" in self.signed or (
            inside is not None and not self.signed.isdisjoint({inside, "body"})
        )


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

    Where that carries no signature nothing else of it is kept or believed; where it carries one,
    that has to hold.
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
    host: str | tuple[str, ...] = ()
    """Where records may be asked for, as the token goes along: the host, or several, or
    `*.example.com` for every name below it. To be named where a message says the address."""
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    body: str | None = None
    record: str = "@"
    """JMESPath to the record in what is answered."""
    within: Duration | None = None
    """How long an answer may take; five seconds where nothing is said."""

    @property
    def is_free(self) -> bool:
        """Whether a message may say which host is asked: `{link}`, `https://{shop}.example/`."""
        ahead = ""
        for piece in pieces(self.url):
            if isinstance(piece, Place):
                is_ours = environment_variable(piece) is not None
                return not (is_ours or set("/?#") & set(ahead.partition("://")[2]))
            ahead += piece
        return False

    def may_ask(self, host: str) -> bool:
        """Whether a record may be asked for at this host."""
        named = host.lower()
        return not self.hosts or any(
            named.endswith(one[1:]) if one.startswith("*.") else named == one for one in self.hosts
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Those that are named."""
        return (self.host,) if isinstance(self.host, str) else self.host

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


class Success(Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer has to be so that it is a yes: both, where both are said."""

    status: str | tuple[str, ...] = "2xx"
    """Exact, or a class such as `2xx`; any of several."""
    body: str | None = None
    """JMESPath that has to hold in the answer's JSON: `ok`, ``error == `null` ``."""


class Write(Struct, frozen=True, forbid_unknown_fields=True):
    """How the product itself is told.

    In `url`, `headers` and `body` stand {JMESPath} of the notice, such as {data.word}, and
    {env:NAME}.
    """

    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = {}
    body: str | None = None
    success: str | tuple[str, ...] | Success = "2xx"
    """Which answers mean that it was taken: a status or several, JMESPath that has to hold in the
    answer's JSON (of a 2xx), or both."""

    @property
    def accepts(self) -> Success:
        """The same, whole."""
        said = self.success
        if isinstance(said, Success):
            return said
        if isinstance(said, str) and not is_status(said):
            return Success(body=said)
        return Success(said)


def is_status(text: str) -> bool:
    """Whether it is a status, or a class of them, such as `200` or `2xx`."""
    return (
        len(text) == STATUS_LENGTH
        and text[0] in "12345"
        and (text[1:] == "xx" or (text[1:].isascii() and text[1:].isdigit()))
    )


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
    occurred_at: Said | None = None
    """JMESPath to the time, or a header: RFC 3339, RFC 2822, or Unix seconds, milli-, micro- or
    nanoseconds; UTC where no offset is written."""
    kind: Said | None = None
    """The kind of the reference: JMESPath, a literal in quotes, or a header."""
    ref: Said | None = None
    """JMESPath to the product's own id of the record, or a header."""
    status_field: Said | None = None
    """JMESPath, a literal in quotes, or a header."""
    word: Said | None = None
    """JMESPath to the word in the status field, or a header."""
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

    @property
    def fields_read(self) -> frozenset[str]:
        """The canonical fields that it can find; none where it takes them under our own names."""
        return frozenset(() if isinstance(self.fields, str) else self.fields)

    @property
    def kinds(self) -> tuple[frozenset[str], bool]:
        """The kinds of record that it can find, as far as it names them, and whether that is all.

        A vocabulary by kind names some too.
        """
        named, whole = frozenset[str](), False
        if isinstance(self.kind, str):
            named, whole = results(self.kind)
        fixed = self.fixed_status_field
        listed = frozenset(self.vocabulary) - {fixed} if fixed is not None else frozenset[str]()
        return named | listed, whole

    @property
    def tells_kinds_apart(self) -> bool:
        """Whether its messages may be about records of more than one kind."""
        if not isinstance(self.kind, str):
            return self.kind is not None
        named, whole = results(self.kind)
        return not whole or len(named) > 1

    @property
    def fixed_status_field(self) -> str | None:
        """The status field of which all its words speak; None where the message says which."""
        if not isinstance(self.status_field, str):
            return None
        named, whole = results(self.status_field)
        if self.status_field[:1] == '"' == self.status_field[-1:]:
            return self.status_field[1:-1]
        return next(iter(named)) if whole and len(named) == 1 else None

    def published(self, status_field: str, kinds: tuple[str, ...]) -> tuple[str, ...] | None:
        """Give the words that a status field can show for these kinds; None: not published.

        A vocabulary by status field speaks for that field. One by kind speaks for the field that
        the product reports under a fixed name.
        """
        if status_field in self.vocabulary:
            return self.vocabulary[status_field]
        known = [kind for kind in kinds if kind in self.vocabulary]
        if not known or self.fixed_status_field != status_field:
            return None
        return tuple(dict.fromkeys(word for kind in known for word in self.vocabulary[kind]))
