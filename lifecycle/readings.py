"""What products write → our canonical formats, where their way of writing can mean only one thing.

Every product has its own way with times, money and days. What is ambiguous is not guessed:
`NotThat` says what was given and what would do.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lifecycle.fields import NotThat, instant, minor_units, normalise

SECONDS_MAX: Final = 100_000_000_000
"""A Unix time above it counts milliseconds, a thousand times more microseconds, and again a
thousand times more nanoseconds: as seconds it would lie beyond the year 5000."""


def moment(value: object) -> datetime:
    """Read a time as products write it, in UTC; raises `NotThat`.

    RFC 3339, also with a space before or in it, an offset without its colon, or `UTC` for one;
    without any offset it is UTC (Xero). ISO 8601 without its dividers (`20261120T100000Z`). The
    dates of mail and HTTP (RFC 2822). Unix seconds, milli-, micro- or nanoseconds, as a number or
    its digits. `/Date(1439434356790)/` is milliseconds.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise NotThat("a time is written as text or a number")
    if not isinstance(value, str):
        return _unix(Decimal(value))
    text = value.strip()
    if found := _DOTNET.fullmatch(text):
        return _after(Decimal(found[1]) / 1000)
    if _UNIX.fullmatch(text):
        return _unix(Decimal(text))
    if found := _BASIC.fullmatch(text):
        year, month, day, hour, minute, second, offset = found.groups()
        text = f"{year}-{month}-{day}T{hour}:{minute}:{second}{offset or ''}"
    if found := _ZONED.fullmatch(text):
        return instant(found[1] + _offset(found[2]))
    if _MAILED.fullmatch(text):
        return _mailed(text)
    return instant(text)


def money(amount: object, currency: object, *, minor: bool) -> str:
    """Write an amount and its currency as `1250.00 USD`; raises `NotThat`.

    `minor`: the amount counts the currency's smallest units (ISO 4217: cents, whole yen).
    """
    if not isinstance(currency, str):
        raise NotThat("an amount without its currency is no money")
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal | str):
        raise NotThat("an amount is a number")
    exact = _number(amount) if isinstance(amount, str) else Decimal(amount)
    if not exact.is_finite() or abs(exact.adjusted()) > _DIGITS_MAX:
        raise NotThat("an amount has a bounded number of digits")
    code = currency.strip().upper()
    if minor:
        if exact != exact.to_integral_value():
            raise NotThat(f"{exact} does not count the smallest units of {code}")
        exact = exact.scaleb(-minor_units(code))
    plain = f"{exact:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return str(normalise("money", f"{plain} {code}", signed=True))


def shaped(type_: str, value: object, zone: str | None = None) -> object:
    """Give a product's value the form in which a field of this type is written.

    Only what can mean one thing is changed: a number for a text is its digits, digits for a
    number the number, `true` for a boolean the truth, a moment for a date its day. That day is
    the one in `zone` (as `America/Denver`), or where none is given the one written in the moment
    itself. Empty text says nothing: None. What does not fit stays as it is, and is refused where
    fields are judged.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return _shaped(type_, value, zone)
    except NotThat:
        return value


def is_zone(name: str) -> bool:
    """Whether it is a time zone that this machine knows."""
    return _zone(name) is not None


def _shaped(  # noqa: PLR0911 - one for each kind
    type_: str, value: object, zone: str | None
) -> object:
    match type_, value:
        case "text" | "choice", bool():
            return "true" if value else "false"
        case "text" | "phone" | "choice", int() | Decimal():
            return str(value)
        case "number", str():
            return _number(value)
        case "boolean", "true" | "false":
            return value == "true"
        case "datetime", int() | Decimal() | str():
            return moment(value).isoformat()
        case "date", str() if _DAY.fullmatch(value.strip()):
            return value.strip()
        case "date", int() | Decimal() | str():
            return _day(value, zone)
        case _:
            return value


def _day(value: object, zone: str | None) -> str:
    time = moment(value)
    there = _zone(zone) if zone else None
    if there is not None:
        return time.astimezone(there).date().isoformat()
    written = _DAY.match(value.strip()) if isinstance(value, str) else None
    return written[0] if written else time.date().isoformat()


def _number(text: str) -> Decimal:
    if _PLAIN.fullmatch(text.strip()) is None:
        raise NotThat("a number is written 12.5, with a point and nothing else")
    return Decimal(text.strip())


def _unix(number: Decimal) -> datetime:
    if not number.is_finite():
        raise NotThat("a time is a finite number of seconds")
    if _COMPACT[0] <= number < _COMPACT[1]:
        raise NotThat(f"{number} may be a date without its dividers, or milliseconds")
    for thousands in range(3):
        if abs(number) <= SECONDS_MAX * 1000**thousands:
            return _after(number / 1000**thousands)
    return _after(number / 1000**3)


def _mailed(text: str) -> datetime:
    """Read a date as mail and HTTP write it; its offset is there."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise NotThat(f"{text[:40]!r} is no time of the calendar") from exc


def _after(seconds: Decimal) -> datetime:
    """Give the time so many seconds after the beginning of 1970."""
    try:
        return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
    except OverflowError as exc:
        raise NotThat(f"{str(seconds)[:40]} is no time of the calendar") from exc


def _offset(written: str | None) -> str:
    """Write an offset as RFC 3339 does; where none is written it is UTC."""
    if written is None or written.upper() in {"Z", "UTC", "GMT"}:
        return "Z"
    return written if ":" in written else f"{written[:3]}:{written[3:]}"


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COMPACT: Final = (19_000_000_000_000, 21_000_000_000_000)
"""The digits of `20261120100000`, which as milliseconds would be a time in the year 2612."""
_DIGITS_MAX: Final = 40
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PLAIN: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_UNIX: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,9})?")
_DOTNET: Final = re.compile(r"/Date\((-?[0-9]{1,17})(?:[+-][0-9]{4})?\)/")
_ZONED: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)"
    r" ?([Zz]|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})?"
)
_BASIC: Final = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2}(?:\.[0-9]{1,9})?)"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_MAILED: Final = re.compile(
    r"(?:[A-Z][a-z]{2}, )?[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}"
    r" (?:[+-][0-9]{4}|GMT|UTC|UT)"
)
