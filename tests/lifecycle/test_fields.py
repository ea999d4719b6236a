import operator
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.comparable import Day, Instant, Money, Number, OtherCurrency, comparable
from lifecycle.fields import (
    ADDRESS_LINES_MAX,
    ADDRESS_PART_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    TYPES,
    NotThat,
    instant,
    is_case_id,
    new_case_id,
    normalise,
    timestamp,
)

patiently = settings(deadline=None)
"""How fast the machine is proves nothing here."""

CHOICES = ("residential", "commercial", "public sector")
Comparison = Callable[[Any, Any], Any]
COMPARISONS: list[Comparison] = [
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
DECODER = msgspec.json.Decoder(float_hook=Decimal)
ENCODER = msgspec.json.Encoder(decimal_format="number")
DECIMALS = {"JPY": 0, "USD": 2, "EUR": 2, "KWD": 3, "CLF": 4}


def refusal(
    type_: str, value: object, *, choices: Sequence[str] = CHOICES, signed: bool = False
) -> str:
    """Normalise what must be refused, and give the message."""
    with pytest.raises(NotThat) as refused:
        normalise(type_, value, choices=choices, signed=signed)
    return str(refused.value)


def as_decoded(number: str) -> object:
    """Decode a JSON number as the door does."""
    return DECODER.decode(number)


def again(value: object) -> object:
    """Send a value through JSON, as storing and reading it does."""
    return DECODER.decode(ENCODER.encode(value))


def money(text: str) -> Money:
    value = comparable("money", text)
    assert isinstance(value, Money)
    return value


amounts = st.builds(
    lambda units, currency: (Decimal(units).scaleb(-DECIMALS[currency]), currency),
    st.integers(min_value=-(10**17), max_value=10**17),
    st.sampled_from(sorted(DECIMALS)),
)
instants = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - the offset is drawn beside it
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001 - likewise
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
likely: dict[str, st.SearchStrategy[object]] = {
    "text": st.text(min_size=1),
    "number": st.one_of(st.integers(), st.decimals(places=9), st.decimals()),
    "money": amounts.map(lambda pair: f"{pair[0]:f} {pair[1]}"),
    "date": st.dates().map(str),
    "datetime": instants.map(datetime.isoformat),
    "email": st.emails(),
    "phone": st.one_of(
        st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True),
        st.text("+0123456789 ()-.", max_size=20).map("+44 20".__add__),
    ),
    "address": st.dictionaries(
        st.sampled_from(("lines", "city", "region", "postcode", "country")),
        st.one_of(
            st.text(max_size=10),
            st.lists(st.text(max_size=10), max_size=7),
            st.sampled_from(("us", "GB")),
        ),
    ),
    "boolean": st.booleans(),
    "choice": st.sampled_from(CHOICES),
    "case": st.from_regex(r"[a-z_]{1,5}/[A-Za-z0-9._:-]{1,20}", fullmatch=True),
}
"""What often is a value of the type, and now and then is not."""


class TestEveryType:
    @pytest.mark.parametrize("type_", sorted(TYPES))
    @patiently
    @given(data=st.data())
    def test_normalising_again_changes_nothing(self, type_: str, data: st.DataObject) -> None:
        """A canonical value is its own canonical form, stored and read again or not."""
        value = data.draw(likely[type_])
        try:
            once = normalise(type_, value, choices=CHOICES, signed=True)
        except NotThat:
            return
        for same in (once, again(once)):
            twice = normalise(type_, same, choices=CHOICES, signed=True)
            assert (twice, type(twice)) == (once, type(once))
        assert comparable(type_, once) == comparable(type_, again(once))  # type: ignore[arg-type]  # checked when it is built
        assert hash(comparable(type_, once)) == hash(comparable(type_, once))

    @pytest.mark.parametrize("type_", sorted(TYPES))
    @patiently
    @given(value=st.one_of(st.text(), st.integers(), st.decimals(), st.one_of(*likely.values())))
    def test_a_refusal_is_short_and_printable(self, type_: str, value: object) -> None:
        """Whatever is given is taken or refused, and a refusal can be shown to anybody."""
        try:
            normalise(type_, value, choices=CHOICES)
        except NotThat as refused:
            message = str(refused)
            assert message.isprintable()
            assert len(message) < 400

    @pytest.mark.parametrize("type_", sorted(TYPES))
    @pytest.mark.parametrize("bad", ["\x00", "a\x00b", "\ud800", "a\udfffb", "\x1b[31m", "\x85"])
    def test_unprintable_is_refused(self, type_: str, bad: str) -> None:
        """No type takes control characters or halves of characters, and no message repeats them."""
        message = refusal(type_, {"city": bad} if type_ == "address" else bad)
        assert message.isprintable()
        assert "U+" in message

    @pytest.mark.parametrize("type_", sorted(TYPES))
    @pytest.mark.parametrize("huge", ["x" * 1_000_000, "9" * 1_000_000, "+" + "1" * 1_000_000])
    def test_huge_strings_are_refused_briefly(self, type_: str, huge: str) -> None:
        """A huge string is refused, and its refusal is short."""
        assert len(refusal(type_, huge)) < 400

    @pytest.mark.parametrize("type_", sorted(TYPES))
    @pytest.mark.parametrize("value", [None, [], 1.5, ["x"]])
    def test_what_no_type_is_written_as(self, type_: str, value: object) -> None:
        """Null, lists and binary fractions are values of no type."""
        refusal(type_, value)

    def test_unknown_types_are_our_mistake(self) -> None:
        """A type that no definition can name is not the caller's fault."""
        with pytest.raises(KeyError):
            normalise("colour", "red")

    def test_only_canonical_values_are_compared(self) -> None:
        """What was never normalised is not compared: that would be our mistake."""
        with pytest.raises(AssertionError, match="no canonical value of type 'money'"):
            comparable("money", 5)


class TestText:
    def test_two_ways_to_write_one_character_are_one_text(self) -> None:
        """Text is composed (NFC), its line ends are LF, and the space around it is dropped."""
        assert normalise("text", " Cafe\u0301\r\nbar\tx ") == "Caf\u00e9\nbar\tx"

    @pytest.mark.parametrize("empty", ["", " ", "\n\t", "\u00a0"])
    def test_empty_text_is_refused(self, empty: str) -> None:
        """Text that says nothing is refused, and the refusal tells how to forget a value."""
        assert "null forgets a value" in refusal("text", empty)

    def test_the_longest_text(self) -> None:
        """A text has at most ten thousand characters."""
        assert normalise("text", "x" * TEXT_LENGTH_MAX) == "x" * TEXT_LENGTH_MAX
        assert "(10,001 characters) is too long" in refusal("text", "x" * (TEXT_LENGTH_MAX + 1))

    def test_other_json_is_not_text(self) -> None:
        """A number is not taken for the text of its digits."""
        assert refusal("text", 12) == "12 is no text; text is written in quotes"


class TestNumber:
    @pytest.mark.parametrize(
        ("written", "canonical"),
        [
            ("1.50", "1.5"),
            ("1.5", "1.5"),
            ("2.0", "2"),
            ("1e3", "1000"),
            ("-0.0", "0"),
            ("0e400", "0"),
            ("0.1", "0.1"),
            ("1e29", "1" + "0" * 29),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("0.123456789012345678901234567891", "0.123456789012345678901234567891"),
        ],
    )
    def test_one_form_a_number(self, written: str, canonical: str) -> None:
        """However a number is written it has one exact form, whole numbers without a point."""
        value = normalise("number", as_decoded(written))
        assert str(value) == canonical
        assert isinstance(value, Decimal) == ("." in canonical)

    @pytest.mark.parametrize(
        ("written", "why"),
        [
            ("1e400", "too large"),
            ("1e30", "too large"),
            ("-1e30", "too large"),
            ("1" * 31, "too large"),
            ("1" * 4000, "very many digits is too large"),
            ("1e-400", "too close to zero"),
            ("1e999999999", "too large"),
            ("1." + "1" * 31, "too many digits"),
            ("1." + "1" * 99, "111… has too many digits"),
            ("1e-31", "too close to zero"),
        ],
    )
    def test_numbers_are_bounded(self, written: str, why: str) -> None:
        """A number has at most thirty digits on either side of its point."""
        assert why in refusal("number", as_decoded(written))

    @pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
    def test_numbers_are_finite(self, value: str) -> None:
        """Neither NaN nor an infinity is a number."""
        assert "is not finite" in refusal("number", Decimal(value))

    @pytest.mark.parametrize("value", [True, False, "12.5", 0.1])
    def test_what_only_looks_like_a_number(self, value: object) -> None:
        """Booleans, text and binary fractions are no numbers."""
        assert "a number is written 12.5, without quotes" in refusal("number", value)

    @patiently
    @given(st.decimals(allow_nan=False, allow_infinity=False, places=12, max_value=10**15))
    def test_no_digit_is_lost(self, value: Decimal) -> None:
        """The canonical number equals the one that was given, and compares as it does."""
        try:
            canonical = normalise("number", value)
        except NotThat:
            assert value.adjusted() >= 15
            return
        assert canonical == value
        assert comparable("number", canonical) == value


class TestMoney:
    @pytest.mark.parametrize(
        ("written", "canonical"),
        [
            ("1250 USD", "1250.00 USD"),
            ("1250.5 usd", "1250.50 USD"),
            (" 007.10  Eur ", "7.10 EUR"),
            ("500 JPY", "500 JPY"),
            ("1.5 KWD", "1.500 KWD"),
            ("1.2345 CLF", "1.2345 CLF"),
            ("-0.00 USD", "0.00 USD"),
            ("999999999999999999.99 USD", "999999999999999999.99 USD"),
        ],
    )
    def test_money_has_the_decimals_of_its_currency(self, written: str, canonical: str) -> None:
        """An amount is written with exactly the decimals that its currency has."""
        assert normalise("money", written) == canonical

    @pytest.mark.parametrize(
        ("written", "why"),
        [
            ("12.345 USD", "'12.345 USD' has more decimals than USD has (2)"),
            ("1.250 EUR", "more decimals than EUR has (2)"),
            ("100.50 JPY", "more decimals than JPY has (0)"),
            ("5.00 ABC", "'ABC' is no currency of ISO 4217"),
            ("5.00 XXX", "'XXX' is no currency of ISO 4217"),
            ("-5.00 USD", "negative"),
            ("1,250.00 USD", "has thousands separators; money is written 1250.00 USD"),
            ("1.250.000 EUR", "has thousands separators"),
            ("1 250.00 USD", "has thousands separators"),
            ("$1,250.00", "has thousands separators"),
            ("12,5 EUR", "has a decimal comma"),
            ("1250.00", "names no currency"),
            ("NaN USD", "is no money"),
            ("1e400 USD", "is no money"),
            (".5 USD", "is no money"),
            ("+5.00 USD", "is no money"),
            ("\u0665 USD", "is no money"),
            ("USD 5.00", "is no money"),
            ("", "is no money"),
            ("1000000000000000000 USD", "at most 18 digits"),
        ],
    )
    def test_what_is_not_money(self, written: str, why: str) -> None:
        """What is no plain amount of a known currency is refused, with what is wrong about it."""
        assert why in refusal("money", written)

    def test_a_bare_number_is_not_money(self) -> None:
        """An amount without a currency is not money, whatever JSON it comes in."""
        assert refusal("money", 1250) == "1250 is no money; money is written 1250.00 USD"

    def test_negative_where_the_field_says_so(self) -> None:
        """A signed field takes negative amounts."""
        assert normalise("money", "-5 USD", signed=True) == "-5.00 USD"

    @patiently
    @given(amounts, amounts)
    def test_money_compares_as_its_decimals(
        self, left: tuple[Decimal, str], right: tuple[Decimal, str]
    ) -> None:
        """Amounts of one currency are ordered as decimals, not as text."""
        currency = left[1]
        amount = right[0].quantize(Decimal(1).scaleb(-DECIMALS[currency]))
        mine = money(str(normalise("money", f"{left[0]:f} {currency}", signed=True)))
        theirs = money(str(normalise("money", f"{amount:f} {currency}", signed=True)))
        for other in (theirs, amount, str(theirs)):
            assert (mine < other) == (left[0] < amount)
            assert (mine <= other) == (left[0] <= amount)
            assert (mine == other) == (left[0] == amount)
            assert (mine != other) == (left[0] != amount)
            assert (mine > other) == (left[0] > amount)
            assert (mine >= other) == (left[0] >= amount)
        assert (mine == theirs) <= (hash(mine) == hash(theirs))

    def test_a_literal_counts_as_written(self) -> None:
        """Money compares with amounts and with money written as text, from either side."""
        assert money("1000.00 USD") >= "500 USD"
        assert "1000 usd" == money("1000.00 USD")  # noqa: SIM300 - the side is the point
        assert money("0.10 USD") == 0.1
        assert 500 < money("1000.00 USD")  # noqa: SIM300 - the side is the point
        assert money("-1.00 USD") < 0
        assert Number(6) > money("5.00 USD") > Number(4)
        assert Number(5) == money("5.00 USD")

    @pytest.mark.parametrize("other", [money("5.00 EUR"), "5 EUR"])
    @pytest.mark.parametrize("compare", COMPARISONS)
    def test_another_currency_has_no_order(self, compare: Comparison, other: object) -> None:
        """No comparison with another currency has an answer, not even whether it is the same."""
        mine = money("5.00 USD")
        for left, right in ((mine, other), (other, mine)):
            with pytest.raises(OtherCurrency, match=r"^5\.00 \w+ and 5\.00 \w+ are") as raised:
                compare(left, right)
            assert {raised.value.left, raised.value.right} == {"USD", "EUR"}

    @pytest.mark.parametrize("other", [True, None, "soon", "5", Day(date(2026, 5, 4))])
    def test_money_is_not_compared_with_other_kinds(self, other: object) -> None:
        """Money and something that is neither money nor an amount cannot be compared."""
        with pytest.raises(TypeError, match="cannot be compared"):
            assert money("5.00 USD") == other

    def test_shares_and_sums(self) -> None:
        """A condition may take a share of an amount, exactly, and add amounts of one currency."""
        assert money("500.00 USD") >= money("1000.00 USD") * 0.5
        assert money("0.30 USD") == 0.1 * money("3.00 USD")
        assert money("2.50 USD") == money("10.00 USD") / 4
        assert money("3.00 USD") == money("1.00 USD") + "2 USD"
        assert money("-1.00 USD") == money("1.00 USD") - money("2.00 USD")
        assert Number("0.5") * money("3.00 USD") == Decimal("1.5")
        with pytest.raises(OtherCurrency):
            money("1.00 USD") + money("1.00 EUR")
        with pytest.raises(TypeError, match="cannot be multiplied or divided by '2'"):
            money("1.00 USD") * "2"  # type: ignore[operator]  # just what is tried

    def test_nothing_owed_is_false(self) -> None:
        """Money alone in a condition asks whether there is any."""
        assert not money("0.00 USD")
        assert money("0.01 USD")


class TestDate:
    @pytest.mark.parametrize("text", ["0001-01-01", "2024-02-29", "9999-12-31"])
    def test_a_day(self, text: str) -> None:
        """A day of the calendar is written year, month, day."""
        assert normalise("date", text) == text

    @pytest.mark.parametrize("text", ["2026-02-30", "2026-02-29", "2026-13-01", "0000-01-01"])
    def test_no_day_of_the_calendar(self, text: str) -> None:
        """A day that the calendar does not have is refused."""
        assert refusal("date", text) == (
            f"'{text}' is no day of the calendar; a date is written 2026-05-04"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "20260504",
            "2026-5-4",
            "04/05/2026",
            "2026-W19-1",
            "2026-05-04T00:00:00Z",
            "2026-05-04\n",
        ],
    )
    def test_one_way_to_write_a_date(self, text: str) -> None:
        """No other way of writing a date is guessed at."""
        assert "a date is written 2026-05-04" in refusal("date", text)

    @patiently
    @given(st.dates(), st.dates())
    def test_dates_compare_as_days(self, left: date, right: date) -> None:
        """Dates are ordered as days, and with a day written as text."""
        mine = comparable("date", left.isoformat())
        for other in (Day(right), right.isoformat()):
            assert (mine < other) == (left < right)  # type: ignore[operator]  # just what is tried
            assert (mine == other) == (left == right)

    @pytest.mark.parametrize("other", ["soon", "2026-02-30", 5, None, Instant(datetime.now(UTC))])
    def test_a_date_is_not_compared_with_other_kinds(self, other: object) -> None:
        """A date compares with dates only."""
        with pytest.raises(TypeError, match="cannot be compared"):
            assert Day(date(2026, 5, 4)) == other


class TestDatetime:
    @pytest.mark.parametrize(
        ("written", "canonical"),
        [
            ("2026-05-04T14:03:11.12Z", "2026-05-04T14:03:11.120Z"),
            ("2026-05-04T16:03:11+02:00", "2026-05-04T14:03:11.000Z"),
            ("2026-05-04t14:03:11z", "2026-05-04T14:03:11.000Z"),
            ("2026-05-04 14:03:11-00:00", "2026-05-04T14:03:11.000Z"),
            ("2026-05-04T14:03:11.123456Z", "2026-05-04T14:03:11.123456Z"),
            ("2026-05-04T14:03:11.1234567Z", "2026-05-04T14:03:11.123456Z"),
            ("0999-05-04T14:03:11Z", "0999-05-04T14:03:11.000Z"),
        ],
    )
    def test_one_form_a_time(self, written: str, canonical: str) -> None:
        """A time is kept in UTC with three decimals, or six where it is finer."""
        assert normalise("datetime", written) == canonical

    @pytest.mark.parametrize(
        ("written", "why"),
        [
            ("2026-05-04T14:03:11", "has no offset"),
            ("2016-12-31T23:59:60Z", "leap second"),
            ("2026-02-30T14:03:11Z", "no time of the calendar"),
            ("2026-05-04T24:00:00Z", "no time of the calendar"),
            ("2026-05-04T14:03:11+24:00", "no time of the calendar"),
            ("2026-05-04T14:03:11+02:60", "no time of the calendar"),
            ("0001-01-01T00:00:00+02:00", "no time of the calendar"),
            ("9999-12-31T23:59:59-02:00", "no time of the calendar"),
            ("2026-05-04T14:03Z", "a time is written 2026-05-04T14:03:11Z"),
            ("2026-05-04", "a time is written 2026-05-04T14:03:11Z"),
            ("2026-05-04T14:03:11+0200", "a time is written 2026-05-04T14:03:11Z"),
            ("1777903391", "a time is written 2026-05-04T14:03:11Z"),
            ("2026-05-04T14:03:11Z\n", "a time is written 2026-05-04T14:03:11Z"),
        ],
    )
    def test_what_is_no_time(self, written: str, why: str) -> None:
        """What is no RFC 3339 time of the calendar with an offset is refused."""
        assert why in refusal("datetime", written)

    @patiently
    @given(instants, instants)
    def test_the_same_instant(self, left: datetime, right: datetime) -> None:
        """The canonical time is the same instant, and times are ordered as instants."""
        written = normalise("datetime", left.isoformat())
        assert datetime.fromisoformat(str(written)) == left
        assert instant(timestamp(left)) == left
        mine = comparable("datetime", written)
        for other in (Instant(right), right.isoformat()):
            assert (mine < other) == (left < right)  # type: ignore[operator]  # just what is tried
            assert (mine == other) == (left == right)

    @pytest.mark.parametrize("other", ["2026-05-04", 5, Day(date(2026, 5, 4))])
    def test_a_time_is_not_compared_with_other_kinds(self, other: object) -> None:
        """A time compares with times only."""
        with pytest.raises(TypeError, match="cannot be compared"):
            assert Instant(datetime(2026, 5, 4, tzinfo=UTC)) < other


class TestEmail:
    def test_the_domain_is_lower_case(self) -> None:
        """A domain has no case; what stands before the @ is its owner's."""
        assert normalise("email", " Office@Example.COM ") == "Office@example.com"

    @pytest.mark.parametrize("domain", ["firm.test", "firm.example"])
    def test_names_kept_for_tests_are_addresses(self, domain: str) -> None:
        """Whether a domain takes mail is not asked."""
        assert normalise("email", f"office@{domain}") == f"office@{domain}"

    @pytest.mark.parametrize(
        "text", ["", "office", "office@", "a@b@example.com", "Office <office@example.com>", "a@b"]
    )
    def test_what_is_no_address(self, text: str) -> None:
        """What no mail program would take is refused, with the reason."""
        assert "is no e-mail address: " in refusal("email", text)


class TestPhone:
    @pytest.mark.parametrize(
        "text", ["+442079460018", "+44 20 7946 0018", "+44 (0)20 7946 0018", " +44-20-7946.0018 "]
    )
    def test_e164(self, text: str) -> None:
        """However a number is grouped, it is kept as E.164."""
        assert normalise("phone", text) == "+442079460018"

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("020 7946 0018", "international form"),
            ("0044 20 7946 0018", "international form"),
            ("+44 20 7946 0018 ext 12", "an extension has no place in it"),
            ("+44 20 PLUMBER", "holds more than a phone number"),
            ("+999 123 4567", "no possible phone number"),
            ("+44 20", "no possible phone number"),
            ("+1 946 0018", "no possible phone number"),
            ("+44 20 7946 0018 0018 0018", "no possible phone number"),
        ],
    )
    def test_what_is_no_phone_number(self, text: str, why: str) -> None:
        """What cannot be dialled from anywhere is refused, with what would do."""
        assert why in refusal("phone", text)


class TestAddress:
    def test_parts_are_tidied(self) -> None:
        """The parts are stripped, the empty ones left out, and the country is upper case."""
        assert normalise(
            "address",
            {
                "postcode": " SW1A 2AA",
                "lines": ["10 Downing Street ", " "],
                "city": "London",
                "region": None,
                "country": "gb",
            },
        ) == {
            "lines": ["10 Downing Street"],
            "city": "London",
            "postcode": "SW1A 2AA",
            "country": "GB",
        }

    @pytest.mark.parametrize(
        ("address", "why"),
        [
            ({}, "at least a line or a city"),
            ({"lines": [" "], "postcode": "SW1A 2AA"}, "at least a line or a city"),
            ({"street": "x"}, "an address has no 'street'"),
            ({"\ud800": "x"}, r"an address has no '\ud800'"),
            ({1: "x"}, "an address has no 1"),
            ({"lines": "10 Downing Street"}, "lines (a list)"),
            ({"lines": [5]}, "$.lines[0]"),
            ({"city": 5}, "$.city"),
            ({"lines": ["x"] * (ADDRESS_LINES_MAX + 1)}, "at most 6 lines, not 7"),
            ({"lines": ["a\nb"]}, "more than one line"),
            ({"city": "x" * (ADDRESS_PART_LENGTH_MAX + 1)}, "too long"),
            ({"city": "x", "country": "UK"}, "the United Kingdom is GB"),
            ({"city": "x", "country": "Germany"}, "two letters of ISO 3166"),
            ({"city": "x", "country": "ZZ"}, "'ZZ' is no country"),
            ("10 Downing Street", "an address is an object"),
        ],
    )
    def test_what_is_no_address(self, address: object, why: str) -> None:
        """An address is an object of known parts, each one line, that says where somebody is."""
        message = refusal("address", address)
        assert why in message
        assert message.isprintable()

    def test_an_address_compares_as_it_is_read(self) -> None:
        """A condition sees an address as one line."""
        address = normalise("address", {"lines": ["a", "b"], "city": "c", "country": "FR"})
        assert comparable("address", address) == "a, b, c, FR"


class TestBooleanAndChoice:
    @pytest.mark.parametrize("value", [True, False])
    def test_true_and_false(self, value: bool) -> None:  # noqa: FBT001 - it is the value
        """A boolean is itself."""
        assert normalise("boolean", value) is value
        assert comparable("boolean", value) is value

    @pytest.mark.parametrize("value", ["true", "yes", 0, 1, Decimal(1)])
    def test_nothing_else_is_a_boolean(self, value: object) -> None:
        """Neither words nor numbers are taken for true or false."""
        assert "a boolean is true or false, without quotes" in refusal("boolean", value)

    def test_a_choice_is_one_of_those_declared(self) -> None:
        """A choice is taken as declared; another word is refused with the nearest one."""
        assert normalise("choice", "public sector", choices=CHOICES) == "public sector"
        assert refusal("choice", "Comercial") == (
            "'Comercial' is none of the choices: residential, commercial, public sector "
            "(did you mean 'commercial'?)"
        )

    def test_many_choices_are_not_all_listed(self) -> None:
        """A refusal lists twenty choices and counts the rest."""
        message = refusal("choice", 5, choices=[f"c{n}" for n in range(25)])
        assert message.endswith("c19 and 5 more")


class TestCase:
    @pytest.mark.parametrize(
        "text", ["clients/C-7", "jobs/J-1042", "a_1/0.x:y_z-", "j/" + "x" * 128]
    )
    def test_a_case(self, text: str) -> None:
        """A case is named by its collection and its id."""
        assert normalise("case", text) == text

    @pytest.mark.parametrize(
        "text",
        [
            "C-7",
            "clients/",
            "/C-7",
            "clients/C-7/x",
            "Clients/C-7",
            "1clients/C-7",
            "clients/-7",
            "clients/C 7",
            "clients/C'7",
            'clients/C"7',
            "clients/../x",
            "clients/C-7\n",
            "clients/\u00c7",
            "clients/" + "x" * 129,
        ],
    )
    def test_what_names_no_case(self, text: str) -> None:
        """What breaks the rules of collections and ids names no case."""
        assert "a case is written jobs/J-1042" in refusal("case", text)


class TestCaseIds:
    @pytest.mark.parametrize(
        "text",
        ["", "a/b", "a'b", 'a"b', "a b", "a\n", "a\x00", ".a", "-a", "\u0661", "x" * 129, "a%2Fb"],
    )
    def test_no_id(self, text: str) -> None:
        """Ids hold letters, digits and ._:- only, begin with a letter or digit, and are short."""
        assert not is_case_id(text)

    @patiently
    @given(
        st.tuples(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10)),
        st.tuples(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10)),
    )
    def test_made_ids_sort_by_time(
        self, first: tuple[int, bytes], second: tuple[int, bytes]
    ) -> None:
        """Made ids are ids, differ where their time or chance differs, and sort as those do."""
        assert is_case_id(new_case_id(*first))
        assert (new_case_id(*first) < new_case_id(*second)) == (first < second)

    @pytest.mark.parametrize(("now_ms", "random"), [(-1, bytes(10)), (2**48, bytes(10)), (0, b"")])
    def test_ids_need_their_bytes(self, now_ms: int, random: bytes) -> None:
        """An id that would not sort or not differ is not made."""
        with pytest.raises(AssertionError, match="ULID"):
            new_case_id(now_ms, random)


class TestNumberInConditions:
    def test_a_number_compares_as_written(self) -> None:
        """A number equals the literal that is written like it, from either side."""
        assert comparable("number", Decimal("0.1")) == 0.1
        assert 0.1 == Number("0.1")  # noqa: SIM300 - the side is the point
        assert Number(3) > 2.5
        assert hash(Number("1.5")) == hash(Decimal("1.50"))

    def test_arithmetic_takes_literals_as_written(self) -> None:
        """What is calculated from a number is as exact as the number and its literals."""
        tenth = Number("0.1")
        assert tenth * 2 == 2 * tenth == 0.2
        assert tenth + 0.2 == 0.2 + tenth == 0.3
        assert tenth - 0.3 == -0.2
        assert 0.3 - tenth == 0.2
        assert tenth / 0.4 == 0.25
        assert 0.4 / tenth == 4
        assert -tenth == -0.1
        with pytest.raises(TypeError):
            tenth + "1"

    @pytest.mark.parametrize("other", ["5", True, None])
    @pytest.mark.parametrize("compare", COMPARISONS)
    def test_a_number_is_not_compared_with_other_kinds(
        self, compare: Comparison, other: object
    ) -> None:
        """A number compares with numbers only, even for being the same."""
        for left, right in ((Number(5), other), (other, Number(5))):
            with pytest.raises(TypeError, match="a number cannot be compared with"):
                compare(left, right)
