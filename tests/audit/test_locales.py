"""Dates and money as people write them, settled by the whole column."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.audit.locales import Amounts, Dates, StillOpen
from api.audit.rows import Cell
from lifecycle.fields import NotThat


def dates(*cells: Cell) -> Dates:
    column = Dates(None, "+00:00")
    for cell in cells:
        column.look(cell)
    column.settle()
    return column


def amounts(*cells: Cell) -> Amounts:
    column = Amounts(None, "USD")
    for cell in cells:
        column.look(cell)
    column.settle()
    return column


@pytest.mark.parametrize(
    ("column", "cell", "day"),
    [
        (["25/04/2026"], "03/04/2026", date(2026, 4, 3)),
        (["04/25/2026"], "03/04/2026", date(2026, 3, 4)),
        (["03.04.2026"], "03.04.2026", date(2026, 4, 3)),
        (["2026-04-03"], "2026-04-03", date(2026, 4, 3)),
        (["05/05/2026"], "05/05/2026", date(2026, 5, 5)),
        ([], "Apr 3, 2026", date(2026, 4, 3)),
        ([], "3 April 2026", date(2026, 4, 3)),
        ([], "03-Apr-26", date(2026, 4, 3)),
        ([], "Friday, April 3, 2026", date(2026, 4, 3)),
        ([], datetime(2026, 4, 3, 12), date(2026, 4, 3)),  # noqa: DTZ001 - spreadsheets have none
    ],
)
def test_a_date_is_read_as_its_column_settles_it(column: list[Cell], cell: Cell, day: date) -> None:
    """One date that can only be one day says how all others are meant."""
    assert dates(*column, cell).day(cell) == day


@pytest.mark.parametrize(
    "column", [["03/04/2026", "05/06/2026"], ["03/04/2026", "25/04/2026", "04/25/2026"]]
)
def test_a_date_that_could_be_two_days_is_asked_for(column: list[Cell]) -> None:
    """A column that leaves the order open, or shows both, is not guessed."""
    with pytest.raises(StillOpen) as asked:
        dates(*column)
    assert asked.value.choices == ("day first", "month first")


def test_what_was_answered_settles_the_column() -> None:
    """The mapping's word goes before what the column shows."""
    column = Dates("month first", "+00:00")
    column.look("03/04/2026")
    column.settle()
    assert column.day("03/04/2026") == date(2026, 3, 4)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2026-05-04 14:03", datetime(2026, 5, 4, 14, 3, tzinfo=UTC)),
        ("2026-05-04T14:03:11.5+02:00", datetime(2026, 5, 4, 12, 3, 11, tzinfo=UTC)),
        ("05/24/2026 02:03:04 PM", datetime(2026, 5, 24, 14, 3, 4, tzinfo=UTC)),
        ("05/24/2026 12:00:00 AM", datetime(2026, 5, 24, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_with_its_clock(cell: str, moment: datetime) -> None:
    """Halves of the day and offsets count."""
    assert dates(cell).read(cell) == moment


@pytest.mark.parametrize(
    "cell", ["31/12/1899", "1899-12-31", "31/02/2026", "2026-13-01", "soon", 46_000.0, "25:99"]
)
def test_what_is_no_date_is_refused(cell: Cell) -> None:
    """Days before 1900, days that no calendar has, numbers and words."""
    with pytest.raises(NotThat):
        dates(cell).read(cell)


@pytest.mark.parametrize(
    ("column", "cell", "amount"),
    [
        (["99.50"], "1,234", "1234.00"),
        (["99,50"], "1.234", "1234.00"),
        ([], "1.234,56", "1234.56"),
        ([], "1,234.56", "1234.56"),
        ([], "1'234.50", "1234.50"),
        ([], "1 234,50", "1234.50"),
        ([], "$1,234.56", "1234.56"),
        ([], "(12.50)", "-12.50"),
        ([], "12.50-", "-12.50"),
        ([], "1,234,567", "1234567.00"),
        ([], 1234.5, "1234.50"),
    ],
)
def test_an_amount_is_read_as_its_column_settles_it(
    column: list[Cell], cell: Cell, amount: str
) -> None:
    """One amount that can only be one number says what stands before the cents."""
    money = amounts(*column, cell).money(cell)
    assert money
    assert (str(money.amount), money.currency) == (amount, "USD")


@pytest.mark.parametrize("column", [["1,234", "5,000"], ["1.234"], ["1.50", "1,50"]])
def test_an_amount_that_could_be_two_is_asked_for(column: list[Cell]) -> None:
    """Thousands or a fraction: a column that leaves it open, or shows both, is not guessed."""
    with pytest.raises(StillOpen) as asked:
        amounts(*column)
    assert asked.value.choices == ("point", "comma")


@pytest.mark.parametrize(
    "cell", ["twelve", "12.345", "1,2,3.4", "12 XYZ", "1e9", float("nan"), float("inf"), 1e300]
)
def test_what_is_no_money_is_refused(cell: Cell) -> None:
    """Words, fractions of a cent, currencies that are none, and numbers beyond all bounds."""
    with pytest.raises(NotThat):
        amounts().money(cell)


def test_an_amount_without_any_currency_is_refused() -> None:
    """A dollar sign stands for twenty currencies: which one is asked, not guessed."""
    column = Amounts(None, None)
    with pytest.raises(NotThat, match="names no currency"):
        column.money("$12.00")
    assert str(column.money("€12.00")) == "12.00 EUR"


@given(st.decimals(min_value=0, max_value=10**9, places=2), st.sampled_from(["point", "comma"]))
def test_an_amount_reads_back_as_it_was_written(amount: Decimal, decimal: str) -> None:
    """Grouped or not, with a point or a comma: the same amount."""
    written = f"{amount:,.2f}"
    if decimal == "comma":
        written = written.translate(str.maketrans(",.", ".,"))
    money = amounts(written).money(written)
    assert money is not None
    assert money.amount == amount


@given(st.dates(date(1900, 1, 1), date(2199, 12, 31)), st.sampled_from(["%d/%m/%Y", "%m/%d/%Y"]))
def test_a_date_reads_back_as_it_was_written(day: date, form: str) -> None:
    """In a column that has been settled every day of the calendar is the one that was meant."""
    proof = date(2026, 4, 25).strftime(form)
    written = day.strftime(form)
    assert dates(proof, written).day(written) == day
