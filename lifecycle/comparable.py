"""How values compare, in conditions: by what they mean, not by how they are written.

Money compares with money of its currency, days with days, times whatever their offset, and a number
with the literal as it stands in the condition.
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

import msgspec

from lifecycle.fields import EXACT, Address, NotThat, Value, day, instant, money, shown, timestamp

_T = TypeVar("_T")

Compared: TypeAlias = "Money | Number | Day | Instant | bool | str"
"""A value as conditions see it."""


def comparable(type_: str, value: Value) -> Compared:  # noqa: PLR0911 - one for each kind
    """Give a canonical value the form in which a condition compares it: by what it means."""
    match type_, value:
        case "money", str():
            return _read_money(value)
        case "number", int() | Decimal():
            return Number(value)
        case "date", str():
            return Day(day(value))
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
        return Money(EXACT.add(self.amount, theirs.amount), self.currency)

    def __sub__(self, other: "Money | str") -> "Money":
        return self + -_as_money(other)

    def __mul__(self, factor: Decimal | float) -> "Money":
        return Money(EXACT.multiply(self.amount, _factor(factor)), self.currency)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Decimal | float) -> "Money":
        return Money(EXACT.divide(self.amount, _factor(divisor)), self.currency)

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
        return _exactly(EXACT.add, self, other)

    __radd__ = __add__

    def __sub__(self, other: object) -> "Number":
        return _exactly(EXACT.subtract, self, other)

    def __rsub__(self, other: object) -> "Number":
        return _exactly(EXACT.subtract, other, self)

    def __mul__(self, other: object) -> "Number":
        return _exactly(EXACT.multiply, self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> "Number":
        return _exactly(EXACT.divide, self, other)

    def __rtruediv__(self, other: object) -> "Number":
        return _exactly(EXACT.divide, other, self)

    def __neg__(self) -> "Number":
        return Number(EXACT.minus(Decimal(self)))


class Day(Comparable, msgspec.Struct, frozen=True, eq=False):
    """A day of the calendar; compares with days and with text such as 2026-05-04."""

    day: date

    def _order(self, other: object) -> int:
        match other:
            case Day():
                return _sign(self.day, other.day)
            case str():
                return _sign(self.day, _literal(day, other))
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
            return _literal(_read_money, value)
        case _:
            raise TypeError(f"money cannot be compared with {_shown(value)}")


def _read_money(text: str) -> Money:
    return Money(*money(text, signed=True))


def _literal(read: Callable[[str], _T], text: str) -> _T:
    try:
        return read(text)
    except NotThat as exc:
        raise TypeError(f"cannot be compared: {exc}") from exc


def _shown(value: object) -> str:
    """Write a value for a message, one of these kinds as itself."""
    return str(value) if isinstance(value, Money | Day | Instant) else shown(value)
