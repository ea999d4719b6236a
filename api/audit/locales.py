"""Dates and money as people write them: what one cell leaves open, its whole column settles.

03/04/2026 is the third of April or the fourth of March; one 25/04/2026 in the same column says
which. 1.234 is a thousand or a little more than one; one 99.50 says which. Where the whole column
leaves it open, the answer is asked for and never guessed.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from api.audit.rows import Cell
from lifecycle.comparable import Money
from lifecycle.fields import NotThat, normalise

Order: TypeAlias = Literal["day first", "month first"]
Decimals: TypeAlias = Literal["point", "comma"]

YEAR_MIN: Final = 1900
YEAR_MAX: Final = 2199
REMEMBERED_MAX: Final = 50_000
"""Cells whose reading is remembered per column: dates and amounts repeat."""


class StillOpen(ValueError):
    """A whole column leaves open what it means; the message asks for it."""

    def __init__(self, setting: str, choices: tuple[str, ...], sample: str, message: str) -> None:
        """`setting` of the mapping takes one of `choices`; `sample` is a cell as it stands."""
        super().__init__(message)
        self.setting = setting
        self.choices = choices
        self.sample = sample


class Dates:
    """One column of dates or times."""

    def __init__(self, order: Order | None, zone: str) -> None:
        """`order` is what was answered beforehand; `zone` the offset of times without one."""
        self._order: Order | None = order
        self._told = order is not None
        self._zone = _zone(zone)
        self._sample = ""
        self._proofs: dict[Order, str] = {}
        self._looked: set[str] = set()
        self._remembered: dict[str, datetime] = {}

    def look(self, cell: Cell) -> None:
        """Take note of what a cell says about the column."""
        if not isinstance(cell, str) or cell in self._looked:
            return
        if len(self._looked) < REMEMBERED_MAX:
            self._looked.add(cell)
        found = _NUMERIC.match(cell.strip())
        if found is None:
            return
        first, second = int(found[1]), int(found[3])
        if second > _MONTHS >= first:
            self._proofs.setdefault("month first", cell)
        elif first > _MONTHS >= second or found[2] == ".":
            self._proofs.setdefault("day first", cell)
        elif first != second:
            self._sample = self._sample or cell

    def settle(self) -> str:
        """Settle the order of the column and say by what; raises `StillOpen`."""
        if self._told:
            return f"dates {self._order}, as it was told" if self._sample or self._proofs else ""
        if len(self._proofs) == len(_ORDERS):
            shown = " and ".join(repr(proof) for proof in self._proofs.values())
            message = f"holds dates of both orders, {shown}: tell which order the others are in"
            raise StillOpen("dates", _ORDERS, self._sample or shown, message)
        if self._proofs:
            ((self._order, proof),) = self._proofs.items()
            return f"dates {self._order}, as {proof!r} shows"
        if self._sample:
            message = (
                f"holds dates such as {self._sample!r}, which can be two days, and no row settles "
                f"which: tell whether dates are written day first or month first"
            )
            raise StillOpen("dates", _ORDERS, self._sample, message)
        return ""

    def read(self, cell: Cell) -> datetime | None:
        """Give the moment, in UTC; None for an empty cell; raises `NotThat`."""
        match cell:
            case None:
                return None
            case str():
                known = self._remembered.get(cell)
                if known is None:
                    if not cell.strip():
                        return None
                    known = self._moment(cell)
                    if len(self._remembered) < REMEMBERED_MAX:
                        self._remembered[cell] = known
                return known
            case datetime():
                return self._placed(cell)
            case date():
                return self._placed(datetime(cell.year, cell.month, cell.day))  # noqa: DTZ001 - it is placed in its zone at once
            case _:
                raise NotThat(f"{cell!r} is a number, not a date; format the column as dates")

    def day(self, cell: Cell) -> date | None:
        """Give the day as it is written, in the column's own zone; raises `NotThat`."""
        moment = self.read(cell)
        return moment.astimezone(self._zone).date() if moment else None

    def _moment(self, cell: str) -> datetime:
        text = cell.strip()
        clock = _CLOCK.search(text)
        day = self._day(text[: clock.start()] if clock else text, cell)
        if clock is None:
            return self._placed(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - it is placed in its zone at once
        hour = int(clock["hour"])
        if clock["half"]:
            hour = hour % 12 + (12 if clock["half"].lower().startswith("p") else 0)
        try:
            moment = datetime(  # noqa: DTZ001 - it is placed at once
                day.year, day.month, day.day, hour, int(clock["minute"]), int(clock["second"] or 0)
            )
        except ValueError as exc:
            raise NotThat(f"{cell!r} is no time of the day") from exc
        offset = clock["offset"]
        return self._placed(moment.replace(tzinfo=_zone(offset)) if offset else moment)

    def _day(self, text: str, cell: str) -> date:
        text = text.strip().rstrip(",")
        try:
            if found := _ISO.fullmatch(text):
                return _believed(int(found[1]), int(found[3]), int(found[4]), cell)
            if found := _NUMERIC.fullmatch(text):
                first, second, year = int(found[1]), int(found[3]), _year(found[4])
                if self._order == "day first" or (self._order is None and first == second):
                    return _believed(year, second, first, cell)
                if self._order == "month first":
                    return _believed(year, first, second, cell)
            if found := _NAMED_DAY_FIRST.fullmatch(text):
                return _believed(_year(found[3]), _month(found[2]), int(found[1]), cell)
            if found := _NAMED_MONTH_FIRST.fullmatch(text):
                return _believed(_year(found[3]), _month(found[1]), int(found[2]), cell)
        except NotThat:
            raise
        except (ValueError, KeyError) as exc:
            order = f" with dates {self._order}" if self._order else ""
            raise NotThat(f"{cell!r} is no day of the calendar{order}") from exc
        raise NotThat(f"{cell[:60]!r} is no date; one is written 2026-05-04")

    def _placed(self, moment: datetime) -> datetime:
        if not YEAR_MIN <= moment.year <= YEAR_MAX:
            raise NotThat(f"{moment.date()} lies outside {YEAR_MIN} to {YEAR_MAX}")
        aware = moment if moment.tzinfo else moment.replace(tzinfo=self._zone)
        return aware.astimezone(UTC)


class Amounts:
    """One column of money or numbers."""

    def __init__(self, decimal: Decimals | None, currency_unnamed: str | None) -> None:
        """`decimal` is what was answered beforehand; `currency_unnamed` what bare amounts are."""
        self._decimal: Decimals | None = decimal
        self._told = decimal is not None
        self._currency = currency_unnamed
        self._sample = ""
        self._proofs: dict[Decimals, str] = {}
        self._remembered: dict[tuple[str, str], Money] = {}
        self.unnamed_used = False

    def look(self, cell: Cell) -> None:
        """Take note of what a cell says about the column."""
        if not isinstance(cell, str):
            return
        digits = _BARE.sub("", cell)
        points, commas = digits.count("."), digits.count(",")
        if not points and not commas:
            return
        if points and commas:
            last: Decimals = "point" if digits.rfind(".") > digits.rfind(",") else "comma"
            self._proofs.setdefault(last, cell)
        elif points > 1 or commas > 1:
            self._proofs.setdefault("comma" if points else "point", cell)
        elif _THOUSAND.fullmatch(digits.lstrip("-")):
            self._sample = self._sample or cell
        else:
            self._proofs.setdefault("point" if points else "comma", cell)

    def settle(self) -> str:
        """Settle what stands before the cents and say by what; raises `StillOpen`."""
        if self._told:
            return f"a decimal {self._decimal}, as it was told" if self._sample else ""
        if len(self._proofs) == len(_DECIMALS):
            shown = " and ".join(repr(proof) for proof in self._proofs.values())
            message = f"holds amounts of both kinds, {shown}: tell which stands before the cents"
            raise StillOpen("decimal", _DECIMALS, self._sample or shown, message)
        if self._proofs:
            ((self._decimal, proof),) = self._proofs.items()
            return f"a decimal {self._decimal}, as {proof!r} shows"
        if self._sample:
            message = (
                f"holds amounts such as {self._sample!r}, thousands or a fraction, and no row "
                "settles which: tell whether a point or a comma stands before the cents"
            )
            raise StillOpen("decimal", _DECIMALS, self._sample, message)
        return ""

    def number(self, cell: Cell) -> Decimal | None:
        """Give a number without its currency; None for an empty cell; raises `NotThat`."""
        match cell:
            case None:
                return None
            case bool():
                raise NotThat(f"{cell} is no amount")
            case float():
                if not abs(cell) < _FLOAT_MAX:
                    raise NotThat(f"{cell} is no amount that anybody owes")
                return Decimal(repr(cell))
            case str():
                return self._written(cell)
            case _:
                raise NotThat(f"{cell} is a date, not an amount")

    def money(self, cell: Cell, currency: str = "") -> Money | None:
        """Give an amount in its currency, rounded to the cent only where the file is a float.

        `currency` is what the row names elsewhere. Raises `NotThat`.
        """
        key = (cell, currency) if isinstance(cell, str) else None
        if key is not None and (known := self._remembered.get(key)):
            return known
        amount = self.number(cell)
        if amount is None:
            return None
        named = _currency(cell) if isinstance(cell, str) else ""
        code = currency.strip().upper() or named
        if named and named != code:
            raise NotThat(f"{cell!r} is in {named}, but its row says {code}")
        if not code:
            if self._currency is None:
                raise NotThat(f"{cell!r} names no currency; put `currency_unnamed` in the mapping")
            code = self._currency
            self.unnamed_used = True
        if isinstance(cell, float):
            amount = round(amount, 2)
        money = _checked(amount, code)
        if key is not None and len(self._remembered) < REMEMBERED_MAX:
            self._remembered[key] = money
        return money

    def _written(self, cell: str) -> Decimal | None:
        text = cell.strip()
        if not text or text in _NOTHING:
            return None
        if _PLAIN_AMOUNT.fullmatch(text) and self._decimal != "comma":
            return Decimal(text)
        bare = _CURRENCY.sub("", text)
        negative = bare.startswith("(") and bare.endswith(")")
        bare = _SPACE.sub("", bare.strip("()"))
        if bare.endswith("-"):
            bare = "-" + bare[:-1]
        thousands, point = (".", ",") if self._decimal == "comma" else (",", ".")
        if len(bare) > _AMOUNT_LENGTH_MAX or _GROUPED[thousands].fullmatch(bare) is None:
            hint = f" with a decimal {self._decimal}" if self._decimal else ""
            raise NotThat(f"{cell[:60]!r} is no amount{hint}; one is written 1250.00")
        try:
            amount = Decimal(bare.replace(thousands, "").replace(point, "."))
        except InvalidOperation as exc:
            raise NotThat(f"{cell[:60]!r} is no amount; one is written 1250.00") from exc
        return -amount if negative else amount


def _checked(amount: Decimal, code: str) -> Money:
    """An amount in the form that fields have; the currency is looked up once."""
    zero = _zero(code)
    cents = amount.quantize(zero.amount)
    if cents != amount:
        raise NotThat(f"{amount} has more decimals than {zero.currency} has")
    return Money(cents, zero.currency)


@lru_cache(maxsize=500)
def _zero(code: str) -> Money:
    number, _, currency = str(normalise("money", f"0 {code}")).partition(" ")
    return Money(Decimal(number), currency)


def _currency(text: str) -> str:
    if found := _CODE.search(text):
        return found[0].upper()
    signed = text.upper()
    return next((code for sign, code in _SIGNS.items() if sign.upper() in signed), "")


def _believed(year: int, month: int, day: int, cell: str) -> date:
    if not YEAR_MIN <= year <= YEAR_MAX:
        raise NotThat(f"{cell!r} lies outside {YEAR_MIN} to {YEAR_MAX}")
    return date(year, month, day)


def _year(text: str) -> int:
    year = int(text)
    return year + 2000 if len(text) == 2 else year  # noqa: PLR2004 - two digits are of our century


def _month(text: str) -> int:
    return _NAMES[text[:3].lower()]


def _zone(text: str) -> timezone:
    if text in {"Z", "z", "UTC", "GMT"}:
        return UTC
    digits = text[1:].replace(":", "")
    length = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-length if text.startswith("-") else length)


_ORDERS: Final[tuple[Order, ...]] = ("day first", "month first")
_DECIMALS: Final[tuple[Decimals, ...]] = ("point", "comma")
_MONTHS: Final = 12
_NAMES: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_ISO: Final = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})", re.ASCII)
_NUMERIC: Final = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!\d)", re.ASCII)
_MONTH_NAME: Final = (
    "(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    "|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY: Final = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?"
_NAMED_DAY_FIRST: Final = re.compile(
    rf"{_WEEKDAY}(\d{{1,2}})[-\s.]+{_MONTH_NAME}\.?[-\s,]+(\d{{4}}|\d{{2}})",
    re.ASCII | re.IGNORECASE,
)
_NAMED_MONTH_FIRST: Final = re.compile(
    rf"{_WEEKDAY}{_MONTH_NAME}\.?[-\s]+(\d{{1,2}})(?:st|nd|rd|th)?[-\s,]+(\d{{4}}|\d{{2}})",
    re.ASCII | re.IGNORECASE,
)
_CLOCK: Final = re.compile(
    r"[T\s,]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d{1,9})?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?\s*(?P<offset>Z|UTC|GMT|[+-]\d{2}:?\d{2})?$",
    re.ASCII | re.IGNORECASE,
)
_CODE: Final = re.compile(r"(?<![A-Za-z])[A-Za-z]{3}(?![A-Za-z])")
_CURRENCY: Final = re.compile(
    r"(?<![A-Za-z])[A-Za-z]{3}(?![A-Za-z])|(?:US|CA|AU|NZ|HK|SG|[ACRS])?\$|[€£¥₹]"
    r"|(?<![A-Za-z])(?:kr\.?|zł|Rs\.?)",
    re.IGNORECASE,
)
_SIGNS: Final = {
    "€": "EUR", "£": "GBP", "₹": "INR", "zł": "PLN", "US$": "USD", "CA$": "CAD", "C$": "CAD",
    "AU$": "AUD", "A$": "AUD", "NZ$": "NZD", "HK$": "HKD", "SG$": "SGD", "R$": "BRL",
}  # fmt: skip
"""Signs that stand for one currency; a bare $ stands for twenty, the first that fits counts."""
_BARE: Final = re.compile(r"[^0-9.,()\-]")
_FLOAT_MAX: Final = 10**15
_AMOUNT_LENGTH_MAX: Final = 26
_PLAIN_AMOUNT: Final = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_SPACE: Final = re.compile(r"[\s'\u2019_]")
_NOTHING: Final = frozenset({"-", "\u2013", "\u2014"})
_THOUSAND: Final = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_GROUPED: Final = {
    ",": re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|-?\.\d+", re.ASCII),
    ".": re.compile(r"-?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?|-?,\d+", re.ASCII),
}
