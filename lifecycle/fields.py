"""The canonical formats: what a value of each field type looks like, and how values compare.

Two tools agree on a field when their values have one form, so every value is normalised at the
door and stored that way. What cannot be normalised without guessing is refused, with what would do.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Context, Decimal
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, TypeVar

import email_validator
import msgspec
import phonenumbers

TYPES: Final = frozenset(
    {
        "text",
        "number",
        "money",
        "date",
        "datetime",
        "email",
        "phone",
        "address",
        "boolean",
        "choice",
        "case",
    }
)
"""The field types that a definition may name."""

TEXT_LENGTH_MAX: Final = 10_000
"""The longest text, in characters after normalising."""
ADDRESS_LINES_MAX: Final = 6
ADDRESS_PART_LENGTH_MAX: Final = 200
"""The longest line, city, region or postcode of an address, in characters."""
NUMBER_DIGITS_MAX: Final = 30
"""The most significant digits of a number, the most before its point, and the most behind it."""
MONEY_DIGITS_MAX: Final = 18
"""The most digits of an amount of money before its point."""

ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
"""A case's id, whole (match it in full: `$` would let a line end through)."""

_T = TypeVar("_T")

Value: TypeAlias = str | int | Decimal | bool | dict[str, object]
"""A canonical value, as it stands in events and goes out as JSON."""

Compared: TypeAlias = "Money | Number | Day | Instant | bool | str"
"""A value as conditions see it."""


class NotThat(ValueError):
    """The value is not of that type; the message says what was given and what would do."""


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where somebody is: at least a line or a city, anything else if it is known."""

    lines: tuple[str, ...] = ()
    """Street, house, flat: up to six lines, as on an envelope."""
    city: str = ""
    region: str = ""
    """State, province or county, as the country writes it."""
    postcode: str = ""
    country: str = ""
    """ISO 3166-1 alpha-2, upper case."""


def normalise(
    type_: str, value: object, *, choices: Sequence[str] = (), signed: bool = False
) -> Value:
    """Give the one form of a value of this type; normalising it again changes nothing.

    The value is as decoded from JSON, its decimal numbers as `Decimal`. `choices` matter to a
    choice, `signed` (may it be negative?) to money. Raises `NotThat`.
    """
    if isinstance(value, str):
        _refuse_unprintable(value)
    if type_ == "money":
        return str(_money(value, signed=signed))
    if type_ == "choice":
        return _choice(value, choices)
    return _FORMATS[type_](value)


def comparable(type_: str, value: Value) -> Compared:  # noqa: PLR0911 - one for each kind
    """Give a canonical value the form in which a condition compares it: by what it means."""
    match type_, value:
        case "money", str():
            return _money(value, signed=True)
        case "number", int() | Decimal():
            return Number(value)
        case "date", str():
            return Day(_day(value))
        case "datetime", str():
            return Instant(instant(value))
        case "boolean", bool():
            return value
        case "address", dict():
            parts = msgspec.convert(value, Address)
            named = (*parts.lines, parts.city, parts.region, parts.postcode, parts.country)
            return ", ".join(part for part in named if part)
        case "text" | "email" | "phone" | "choice" | "case", str():
            return value
        case _:
            raise AssertionError(f"{_shown(value)} is no canonical value of type {type_!r}")


class OtherCurrency(TypeError):
    """Two amounts in different currencies have no order, and are not even unequal."""

    def __init__(self, left: "Money", right: "Money") -> None:
        """Name both amounts; both currencies stand on the exception too."""
        super().__init__(f"{left} and {right} are in different currencies and cannot be compared")
        self.left = left.currency
        self.right = right.currency


class Comparable:
    """The six comparisons, by value; the class says what its values compare with.

    Being unequal is an answer too, so `==` with something of another kind raises TypeError.
    """

    __slots__ = ()

    def _order(self, other: object) -> int:
        """Below, at or above zero as this is before, the same as or behind `other`."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return self._order(other) == 0

    def __ne__(self, other: object) -> bool:
        return self._order(other) != 0

    def __lt__(self, other: object) -> bool:
        return self._order(other) < 0

    def __le__(self, other: object) -> bool:
        return self._order(other) <= 0

    def __gt__(self, other: object) -> bool:
        return self._order(other) > 0

    def __ge__(self, other: object) -> bool:
        return self._order(other) >= 0

    def __hash__(self) -> int:
        raise NotImplementedError


class Money(Comparable, msgspec.Struct, frozen=True, eq=False):
    """An amount in a currency; compares with money (also as text) and with bare amounts.

    Of its arithmetic there is what conditions want: sums, differences, and shares of it.
    """

    amount: Decimal
    currency: str
    """ISO 4217, upper case."""

    def _order(self, other: object) -> int:
        theirs = _decimal(other)
        if theirs is None:
            theirs = self._same_currency(_as_money(other)).amount
        return _sign(self.amount, theirs)

    def _same_currency(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise OtherCurrency(self, other)
        return other

    def __hash__(self) -> int:
        return hash((self.amount, self.currency))

    def __bool__(self) -> bool:
        return bool(self.amount)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def __add__(self, other: "Money | str") -> "Money":
        theirs = self._same_currency(_as_money(other))
        return Money(_EXACT.add(self.amount, theirs.amount), self.currency)

    def __sub__(self, other: "Money | str") -> "Money":
        return self + -_as_money(other)

    def __mul__(self, factor: Decimal | float) -> "Money":
        return Money(_EXACT.multiply(self.amount, _factor(factor)), self.currency)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Decimal | float) -> "Money":
        return Money(_EXACT.divide(self.amount, _factor(divisor)), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)


class Number(Comparable, Decimal):
    """An exact decimal that takes a literal as it is written: 0.1 is 0.1, also in arithmetic."""

    __slots__ = ()

    def _order(self, other: object) -> int:
        if isinstance(other, Money):
            return -other._order(self)  # noqa: SLF001 - the same comparison from its other side
        theirs = _decimal(other)
        if theirs is None:
            raise TypeError(f"a number cannot be compared with {_shown(other)}")
        return _sign(Decimal(self), theirs)

    __hash__ = Decimal.__hash__

    def __add__(self, other: object) -> "Number":
        return _exactly(_EXACT.add, self, other)

    __radd__ = __add__

    def __sub__(self, other: object) -> "Number":
        return _exactly(_EXACT.subtract, self, other)

    def __rsub__(self, other: object) -> "Number":
        return _exactly(_EXACT.subtract, other, self)

    def __mul__(self, other: object) -> "Number":
        return _exactly(_EXACT.multiply, self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> "Number":
        return _exactly(_EXACT.divide, self, other)

    def __rtruediv__(self, other: object) -> "Number":
        return _exactly(_EXACT.divide, other, self)

    def __neg__(self) -> "Number":
        return Number(_EXACT.minus(Decimal(self)))


class Day(Comparable, msgspec.Struct, frozen=True, eq=False):
    """A day of the calendar; compares with days and with text such as 2026-05-04."""

    day: date

    def _order(self, other: object) -> int:
        match other:
            case Day():
                return _sign(self.day, other.day)
            case str():
                return _sign(self.day, _literal(_day, other))
        raise TypeError(f"a date cannot be compared with {_shown(other)}")

    def __hash__(self) -> int:
        return hash(self.day)

    def __str__(self) -> str:
        return self.day.isoformat()


class Instant(Comparable, msgspec.Struct, frozen=True, eq=False):
    """A point in time; compares with others and with RFC 3339 text in any offset."""

    time: datetime

    def _order(self, other: object) -> int:
        match other:
            case Instant():
                return _sign(self.time, other.time)
            case str():
                return _sign(self.time, _literal(instant, other))
        raise TypeError(f"a time cannot be compared with {_shown(other)}")

    def __hash__(self) -> int:
        return hash(self.time)

    def __str__(self) -> str:
        return timestamp(self.time)


def is_case_id(text: str) -> bool:
    """Whether a case may have this id."""
    return _CASE_ID.fullmatch(text) is not None


def new_case_id(now_ms: int, random: bytes) -> str:
    """Make an id from the time in Unix milliseconds and ten random bytes.

    It is a ULID in lower case: 26 characters of which none is mistaken for another when read
    out, and ids made later sort later.
    """
    if len(random) != _ULID_RANDOM_BYTES or not 0 <= now_ms < 1 << 48:
        raise AssertionError(f"a ULID takes 48 bits of time and 10 bytes [{now_ms}, {len(random)}]")
    bits = now_ms << 80 | int.from_bytes(random)
    return "".join(_CROCKFORD[bits >> shift & 31] for shift in range(125, -1, -5))


def instant(text: str) -> datetime:
    """Read an RFC 3339 time with its offset; digits finer than a microsecond are cut off.

    Raises `NotThat`.
    """
    if (found := _RFC3339.fullmatch(text)) is None:
        raise _no("datetime", text)
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, offset = found["fraction"] or "", found["offset"]
    if offset is None:
        raise NotThat(f"{_shown(text)} has no offset; end it with Z or with one such as +02:00")
    if second == _LEAP_SECOND:
        raise NotThat(f"{_shown(text)} is a leap second, which is not kept; write second 59")
    microsecond = int(fraction[:6].ljust(6, "0"))
    try:
        zone = _zone(offset)
        local = datetime(year, month, day, hour, minute, second, microsecond, zone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise NotThat(f"{_shown(text)} is no time of the calendar; {_WRITTEN['datetime']}") from exc


def timestamp(time: datetime) -> str:
    """Write a time as 2026-05-04T14:03:11.120Z: UTC, three decimals, or six where it is finer."""
    utc = time.astimezone(UTC).replace(tzinfo=None)
    return (
        utc.isoformat(timespec="microseconds" if utc.microsecond % 1000 else "milliseconds") + "Z"
    )


# One format each, in the order of the contract.


def _text(value: object) -> str:
    text = _tidy(_string("text", value).replace("\r\n", "\n").replace("\r", "\n"))
    if not text:
        raise NotThat(f"{_shown(value)} is empty; null forgets a value")
    if len(text) > TEXT_LENGTH_MAX:
        raise NotThat(f"{_shown(value)} is too long; a text has {_TEXT_BOUND}")
    return text


def _number(value: object) -> int | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _no("number", value)
    if isinstance(value, int):
        if abs(value) >= 10**NUMBER_DIGITS_MAX:
            raise NotThat(f"{_shown(value)} is too large; {_NUMBER_BOUNDS}")
        return value
    if not value.is_finite():
        raise NotThat(f"{value} is not finite; {_WRITTEN['number']}")
    if not value:
        return 0
    if value.adjusted() >= NUMBER_DIGITS_MAX:
        raise NotThat(f"{_shown(value)} is too large; {_NUMBER_BOUNDS}")
    if value.adjusted() < -NUMBER_DIGITS_MAX:
        raise NotThat(f"{_shown(value)} is too close to zero; {_NUMBER_BOUNDS}")
    # Its own digits are the precision, so that nothing is rounded.
    short = value.normalize(Context(prec=len(value.as_tuple().digits)))
    _, digits, exponent = short.as_tuple()
    if len(digits) > NUMBER_DIGITS_MAX or int(exponent) < -NUMBER_DIGITS_MAX:
        raise NotThat(f"{_shown(value)} has too many digits; {_NUMBER_BOUNDS}")
    return int(short) if int(exponent) >= 0 else short


def _money(value: object, *, signed: bool) -> Money:
    text = _string("money", value).strip()
    if (found := _MONEY.fullmatch(text)) is None:
        raise NotThat(f"{_shown(value)} {_money_hint(text)}; {_WRITTEN['money']}")
    minus, whole, fraction = found["minus"], found["whole"], found["fraction"] or ""
    currency = found["currency"].upper()
    decimals = _MINOR_UNITS.get(currency)
    if decimals is None:
        raise NotThat(f"{_shown(value)}: {currency!r} is no currency of ISO 4217")
    if len(fraction) > decimals:
        raise NotThat(f"{_shown(value)} has more decimals than {currency} has ({decimals})")
    if len(whole.lstrip("0")) > MONEY_DIGITS_MAX:
        raise NotThat(
            f"{_shown(value)} is too large; an amount has at most {MONEY_DIGITS_MAX} digits "
            "before its point"
        )
    amount = Decimal((0, tuple(int(digit) for digit in whole + fraction), -len(fraction)))
    amount = _EXACT.quantize(amount, Decimal((0, (1,), -decimals)))
    if not (minus and amount):
        return Money(amount, currency)
    if not signed:
        raise NotThat(f"{_shown(value)} is negative; this field takes no negative amounts")
    return Money(-amount, currency)


def _money_hint(text: str) -> str:
    """Say what is wrong with an amount, where it can be told."""
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        return "names no currency"
    if re.match(r"[^0-9]*[0-9]{1,3}([,.'\u2019 \u00a0\u202f_][0-9]{3})+(?![0-9])", text):
        return "has thousands separators"
    if re.match(r"[^0-9]*[0-9]+,[0-9]", text):
        return "has a decimal comma"
    return "is no money"


def _date(value: object) -> str:
    return _day(_string("date", value)).isoformat()


def _day(text: str) -> date:
    if (found := _DATE.fullmatch(text)) is None:
        raise _no("date", text)
    try:
        return date(*(int(part) for part in found.groups()))
    except ValueError as exc:
        raise NotThat(f"{_shown(text)} is no day of the calendar; {_WRITTEN['date']}") from exc


def _datetime(value: object) -> str:
    return timestamp(instant(_string("datetime", value)))


def _zone(offset: str) -> timezone:
    """Read `Z` or `+hh:mm`. Raises ValueError beyond a day or with 60 minutes and more."""
    if offset in {"Z", "z"}:
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if minutes >= 60:  # noqa: PLR2004 - an hour's minutes
        raise ValueError(offset)
    size = timedelta(hours=hours, minutes=minutes)
    return timezone(-size if offset[0] == "-" else size)


def _email(value: object) -> str:
    text = _string("email", value).strip()
    if len(text) > _EMAIL_LENGTH_MAX:
        raise NotThat(f"{_shown(value)} is too long; {_WRITTEN['email']}")
    try:
        # Whether a domain takes mail is not a question of format: names kept for tests pass.
        found = email_validator.validate_email(
            text, check_deliverability=False, test_environment=True
        )
    except email_validator.EmailNotValidError as exc:
        raise NotThat(f"{_shown(value)} is no e-mail address: {exc}") from exc
    return found.normalized


def _phone(value: object) -> str:
    text = _string("phone", value).strip()
    if not text.startswith("+"):
        raise NotThat(
            f"{_shown(value)} is not in international form; a phone number begins with + and the "
            f"country's code, such as +442079460018"
        )
    if _PHONE.fullmatch(text) is None:
        raise NotThat(
            f"{_shown(value)} holds more than a phone number: only digits, spaces and ( ) . - / "
            "may follow the +, and an extension has no place in it"
        )
    number = _e164(text)
    # A number that reads differently a second time is not one number.
    if number is None or _e164(number) != number:
        raise NotThat(f"{_shown(value)} is no possible phone number; {_WRITTEN['phone']}")
    return number


def _e164(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _address(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _no("address", value)
    for name in value:
        if name not in Address.__struct_fields__:
            raise NotThat(f"an address has no {_shown(name)}; {_WRITTEN['address']}")
    try:
        given = msgspec.convert({k: v for k, v in value.items() if v is not None}, Address)
    except msgspec.ValidationError as exc:
        raise NotThat(f"{exc}; {_WRITTEN['address']}") from exc
    lines = [line for line in (_address_part(line) for line in given.lines) if line]
    if len(lines) > ADDRESS_LINES_MAX:
        raise NotThat(f"an address has at most {ADDRESS_LINES_MAX} lines, not {len(lines)}")
    parts = {
        "lines": lines,
        "city": _address_part(given.city),
        "region": _address_part(given.region),
        "postcode": _address_part(given.postcode),
        "country": _country(_address_part(given.country)),
    }
    known: dict[str, object] = {name: part for name, part in parts.items() if part}
    if not {"lines", "city"} & known.keys():
        raise NotThat("an address has at least a line or a city; null forgets a value")
    return known


def _address_part(text: str) -> str:
    _refuse_unprintable(text)
    if "\n" in text or "\r" in text:
        raise NotThat(f"{_shown(text)} is more than one line; give each as one of lines")
    part = _tidy(text)
    if len(part) > ADDRESS_PART_LENGTH_MAX:
        raise NotThat(
            f"{_shown(text)} is too long; a part of an address has at most "
            f"{ADDRESS_PART_LENGTH_MAX} characters"
        )
    return part


def _country(code: str) -> str:
    if code and code.upper() not in _COUNTRIES:
        hint = " (the United Kingdom is GB)" if code.upper() == "UK" else ""
        raise NotThat(
            f"{_shown(code)} is no country{hint}; "
            "a country is written as the two letters of ISO 3166, such as US"
        )
    return code.upper()


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _no("boolean", value)
    return value


def _choice(value: object, choices: Sequence[str]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    known = ", ".join(choices[:_CHOICES_SHOWN])
    more = f" and {len(choices) - _CHOICES_SHOWN} more" if len(choices) > _CHOICES_SHOWN else ""
    meant = _nearest(value, choices) if isinstance(value, str) else ""
    raise NotThat(f"{_shown(value)} is none of the choices: {known}{more}{meant}")


def _nearest(text: str, choices: Sequence[str]) -> str:
    folded = {choice.casefold(): choice for choice in choices}
    found = get_close_matches(text[:_SHOWN_LENGTH_MAX].strip().casefold(), folded, n=1)
    return f" (did you mean {folded[found[0]]!r}?)" if found else ""


def _case(value: object) -> str:
    text = _string("case", value)
    if _CASE.fullmatch(text) is None:
        raise _no("case", text)
    return text


# What the formats share.


def _string(type_: str, value: object) -> str:
    if not isinstance(value, str):
        raise _no(type_, value)
    return value


def _no(type_: str, value: object) -> NotThat:
    return NotThat(f"{_shown(value)} is no {_NOUNS.get(type_, type_)}; {_WRITTEN[type_]}")


def _refuse_unprintable(text: str) -> None:
    """Refuse what neither JSON, nor a database, nor a page can be trusted to carry."""
    if found := _UNPRINTABLE.search(text):
        code = ord(found[0])
        what = "half a character" if code >= _SURROGATE_FIRST else "the control character"
        raise NotThat(f"{_shown(text)} holds {what} U+{code:04X}, which no value may hold")


def _tidy(text: str) -> str:
    """Compose what can be written in several ways, and drop the space around it."""
    return unicodedata.normalize("NFC", text).strip()


def _shown(value: object) -> str:  # noqa: PLR0911 - one answer for each kind
    """Write a value for a message: short, in JSON's words, with nothing unprintable left."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str() if len(value) > _SHOWN_LENGTH_MAX:
            return f"{value[:_SHOWN_LENGTH_MAX] + '…'!r} ({len(value):,} characters)"
        case str():
            return repr(value)
        case int() if value.bit_length() > _SHOWN_BITS_MAX:
            return "a whole number of very many digits"
        case int() | float() | Decimal():
            written = str(value)
            return (
                written if len(written) <= _SHOWN_LENGTH_MAX else written[:_SHOWN_LENGTH_MAX] + "…"
            )
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case Money() | Day() | Instant():
            return str(value)
        case _:
            return f"a {type(value).__name__}"


# What the comparisons share.


def _sign(mine: Any, theirs: Any) -> int:
    return int(mine > theirs) - int(mine < theirs)


def _decimal(value: object) -> Decimal | None:
    """Give a number of any kind its exact decimal, a float the one it was written as."""
    match value:
        case bool():
            return None
        case int() | Decimal():
            return Decimal(value)
        case float():
            return Decimal(repr(value))
        case _:
            return None


def _exactly(operate: Callable[[Decimal, Decimal], Decimal], left: object, right: object) -> Number:
    mine, theirs = _decimal(left), _decimal(right)
    if mine is None or theirs is None:
        return NotImplemented  # type: ignore[no-any-return]  # the other side may know how
    return Number(operate(mine, theirs))


def _factor(value: object) -> Decimal:
    factor = _decimal(value)
    if factor is None:
        raise TypeError(f"money cannot be multiplied or divided by {_shown(value)}")
    return factor


def _as_money(value: object) -> Money:
    match value:
        case Money():
            return value
        case str():
            return _literal(lambda text: _money(text, signed=True), value)
        case _:
            raise TypeError(f"money cannot be compared with {_shown(value)}")


def _literal(read: Callable[[str], _T], text: str) -> _T:
    try:
        return read(text)
    except NotThat as exc:
        raise TypeError(f"cannot be compared: {exc}") from exc


_FORMATS: Final[dict[str, Callable[[object], Value]]] = {
    "text": _text,
    "number": _number,
    "date": _date,
    "datetime": _datetime,
    "email": _email,
    "phone": _phone,
    "address": _address,
    "boolean": _boolean,
    "case": _case,
}

_NOUNS: Final = {"datetime": "time", "email": "e-mail address", "phone": "phone number"}

_WRITTEN: Final = {
    "text": "text is written in quotes",
    "number": "a number is written 12.5, without quotes",
    "money": "money is written 1250.00 USD",
    "date": "a date is written 2026-05-04",
    "datetime": "a time is written 2026-05-04T14:03:11Z",
    "email": "an e-mail address is written office@example.com",
    "phone": "a phone number is written +442079460018",
    "address": "an address is an object of lines (a list), city, region, postcode and country",
    "boolean": "a boolean is true or false, without quotes",
    "case": (
        "a case is written jobs/J-1042: its collection, and its id of at most 128 letters, digits "
        "and ._:-"
    ),
}
"""How each type is written, for whoever wrote it otherwise."""

_TEXT_BOUND: Final = f"at most {TEXT_LENGTH_MAX:,} characters"
_NUMBER_BOUNDS: Final = (
    f"a number has at most {NUMBER_DIGITS_MAX} digits, before its point and behind it"
)

_SHOWN_LENGTH_MAX: Final = 60
_SHOWN_BITS_MAX: Final = 199  # below 60 digits
_CHOICES_SHOWN: Final = 20
_EMAIL_LENGTH_MAX: Final = 320
_LEAP_SECOND: Final = 60
_SURROGATE_FIRST: Final = 0xD800
_ULID_RANDOM_BYTES: Final = 10

_EXACT: Final = Context(prec=200)
"""Wide enough that no sum or product of what is bounded above is ever rounded."""

_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_MONEY: Final = re.compile(
    r"(?P<minus>-?)(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))? +(?P<currency>[A-Za-z]{3})"
)
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,9}))?(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_PHONE: Final = re.compile(r"\+[0-9 ().\-/\u00a0\u2010-\u2013]{1,60}")
_CASE_ID: Final = re.compile(ID_PATTERN)
_CASE: Final = re.compile(rf"[a-z][a-z0-9_]*/{ID_PATTERN}")
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"

_MINOR_UNITS: Final = {
    code: decimals
    for decimals, codes in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        2: (
            "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN "
            "BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD "
            "FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW "
            "KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR "
            "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG "
            "SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD "
            "USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG "
            # Withdrawn of late, and still to be met in cases from before.
            "ANG BGN CUC HRK SLL ZWL"
        ),
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for code in codes.split()
}
"""The currencies of ISO 4217 with their decimals.

Codes that the standard gives no decimals (metals, units of account, tests) are no money here.
"""

_ALPHA_2: Final = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ "
    "BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM "
    "DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS "
    "GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN "
    "KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ "
    "MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV "
    "SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI "
    "VN VU WF WS YE YT ZA ZM ZW "
    # Not in the standard, but in the address books: Kosovo.
    "XK"
)
"""ISO 3166-1 alpha-2. (phonenumbers knows regions with telephones, which is another list.)"""
_COUNTRIES: Final = frozenset(_ALPHA_2.split())
