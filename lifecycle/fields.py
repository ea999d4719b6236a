"""The canonical formats: what a value of each field type looks like.

Two tools agree on a field when their values have one form, so every value is normalised at the
door and stored that way. What cannot be normalised without guessing is refused, with what would do.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Context, Decimal
from difflib import get_close_matches
from typing import Final, TypeAlias

import msgspec

from lifecycle.codes import COUNTRIES, MINOR_UNITS

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

EXACT: Final = Context(prec=200)
"""Wide enough that no sum or product of what is bounded above is ever rounded."""

ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
"""A case's id, whole (match it in full: `$` would let a line end through)."""

Value: TypeAlias = str | int | Decimal | bool | dict[str, object]
"""A canonical value, as it stands in events and goes out as JSON."""


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
        amount, currency = money(value, signed=signed)
        return f"{amount:f} {currency}"
    if type_ == "choice":
        return _choice(value, choices)
    return _FORMATS[type_](value)


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


def minor_units(currency: str) -> int:
    """How many decimals a currency of ISO 4217 has; raises `NotThat` where it is none."""
    decimals = MINOR_UNITS.get(currency)
    if decimals is None:
        raise NotThat(f"{shown(currency)} is no currency of ISO 4217")
    return decimals


def money(value: object, *, signed: bool) -> tuple[Decimal, str]:
    """Read an amount, with all decimals that its currency has, and the currency.

    Raises `NotThat`.
    """
    text = _string("money", value).strip()
    if (found := _MONEY.fullmatch(text)) is None:
        raise NotThat(f"{shown(value)} {_money_hint(text)}; {_WRITTEN['money']}")
    minus, whole, fraction = found["minus"], found["whole"], found["fraction"] or ""
    currency = found["currency"].upper()
    decimals = MINOR_UNITS.get(currency)
    if decimals is None:
        raise NotThat(f"{shown(value)}: {currency!r} is no currency of ISO 4217")
    if len(fraction) > decimals:
        raise NotThat(f"{shown(value)} has more decimals than {currency} has ({decimals})")
    if len(whole.lstrip("0")) > MONEY_DIGITS_MAX:
        raise NotThat(
            f"{shown(value)} is too large; an amount has at most {MONEY_DIGITS_MAX} digits "
            "before its point"
        )
    amount = Decimal((0, tuple(int(digit) for digit in whole + fraction), -len(fraction)))
    amount = EXACT.quantize(amount, Decimal((0, (1,), -decimals)))
    if not (minus and amount):
        return amount, currency
    if not signed:
        raise NotThat(f"{shown(value)} is negative; this field takes no negative amounts")
    return -amount, currency


def day(text: str) -> date:
    """Read a day as ISO 8601 writes it; raises `NotThat`."""
    if (found := _DATE.fullmatch(text)) is None:
        raise _no("date", text)
    try:
        return date(*(int(part) for part in found.groups()))
    except ValueError as exc:
        raise NotThat(f"{shown(text)} is no day of the calendar; {_WRITTEN['date']}") from exc


def instant(text: str) -> datetime:
    """Read an RFC 3339 time with its offset; digits finer than a microsecond are cut off.

    Raises `NotThat`.
    """
    if (found := _RFC3339.fullmatch(text)) is None:
        raise _no("datetime", text)
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, offset = found["fraction"] or "", found["offset"]
    if offset is None:
        raise NotThat(f"{shown(text)} has no offset; end it with Z or with one such as +02:00")
    if second == _LEAP_SECOND:
        raise NotThat(f"{shown(text)} is a leap second, which is not kept; write second 59")
    microsecond = int(fraction[:6].ljust(6, "0"))
    try:
        zone = _zone(offset)
        local = datetime(year, month, day, hour, minute, second, microsecond, zone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise NotThat(f"{shown(text)} is no time of the calendar; {_WRITTEN['datetime']}") from exc


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
        raise NotThat(f"{shown(value)} is empty; null forgets a value")
    if len(text) > TEXT_LENGTH_MAX:
        raise NotThat(f"{shown(value)} is too long; a text has {_TEXT_BOUND}")
    return text


def _number(value: object) -> int | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _no("number", value)
    if isinstance(value, int):
        if abs(value) >= 10**NUMBER_DIGITS_MAX:
            raise NotThat(f"{shown(value)} is too large; {_NUMBER_BOUNDS}")
        return value
    if not value.is_finite():
        raise NotThat(f"{value} is not finite; {_WRITTEN['number']}")
    if not value:
        return 0
    if value.adjusted() >= NUMBER_DIGITS_MAX:
        raise NotThat(f"{shown(value)} is too large; {_NUMBER_BOUNDS}")
    if value.adjusted() < -NUMBER_DIGITS_MAX:
        raise NotThat(f"{shown(value)} is too close to zero; {_NUMBER_BOUNDS}")
    # Its own digits are the precision, so that nothing is rounded.
    short = value.normalize(Context(prec=len(value.as_tuple().digits)))
    _, digits, exponent = short.as_tuple()
    if len(digits) > NUMBER_DIGITS_MAX or int(exponent) < -NUMBER_DIGITS_MAX:
        raise NotThat(f"{shown(value)} has too many digits; {_NUMBER_BOUNDS}")
    return int(short) if int(exponent) >= 0 else short


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
    return day(_string("date", value)).isoformat()


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
        raise NotThat(f"{shown(value)} is too long; {_WRITTEN['email']}")
    import email_validator  # with the first address that comes: its patterns take long to compile

    try:
        # Whether a domain takes mail is not a question of format: names kept for tests pass.
        found = email_validator.validate_email(
            text, check_deliverability=False, test_environment=True
        )
    except email_validator.EmailNotValidError as exc:
        raise NotThat(f"{shown(value)} is no e-mail address: {exc}") from exc
    return found.normalized


def _phone(value: object) -> str:
    text = _string("phone", value).strip()
    if not text.startswith("+"):
        raise NotThat(
            f"{shown(value)} is not in international form; a phone number begins with + and the "
            f"country's code, such as +442079460018"
        )
    if _PHONE.fullmatch(text) is None:
        raise NotThat(
            f"{shown(value)} holds more than a phone number: only digits, spaces and ( ) . - / "
            "may follow the +, and an extension has no place in it"
        )
    number = _e164(text)
    # A number that reads differently a second time is not one number.
    if number is None or _e164(number) != number:
        raise NotThat(f"{shown(value)} is no possible phone number; {_WRITTEN['phone']}")
    return number


def _e164(text: str) -> str | None:
    import phonenumbers  # with the first number that comes

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
            raise NotThat(f"an address has no {shown(name)}; {_WRITTEN['address']}")
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
        raise NotThat(f"{shown(text)} is more than one line; give each as one of lines")
    part = _tidy(text)
    if len(part) > ADDRESS_PART_LENGTH_MAX:
        raise NotThat(
            f"{shown(text)} is too long; a part of an address has at most "
            f"{ADDRESS_PART_LENGTH_MAX} characters"
        )
    return part


def _country(code: str) -> str:
    if code and code.upper() not in COUNTRIES:
        hint = " (the United Kingdom is GB)" if code.upper() == "UK" else ""
        raise NotThat(
            f"{shown(code)} is no country{hint}; "
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
    raise NotThat(f"{shown(value)} is none of the choices: {known}{more}{meant}")


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
    return NotThat(f"{shown(value)} is no {_NOUNS.get(type_, type_)}; {_WRITTEN[type_]}")


def _refuse_unprintable(text: str) -> None:
    """Refuse what neither JSON, nor a database, nor a page can be trusted to carry."""
    if found := _UNPRINTABLE.search(text):
        code = ord(found[0])
        what = "half a character" if code >= _SURROGATE_FIRST else "the control character"
        raise NotThat(f"{shown(text)} holds {what} U+{code:04X}, which no value may hold")


def _tidy(text: str) -> str:
    """Compose what can be written in several ways, and drop the space around it."""
    return unicodedata.normalize("NFC", text).strip()


def shown(value: object) -> str:  # noqa: PLR0911 - one answer for each kind
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
        case _:
            return f"a {type(value).__name__}"


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
