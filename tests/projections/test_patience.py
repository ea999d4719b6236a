from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import patience
from projections.patience import DELAYS, Flow, delay, failed, millis, rest, started, taken, turn

NOON = millis(datetime(2026, 5, 4, 12, tzinfo=UTC))


def test_a_notice_is_tried_for_three_days() -> None:
    """Ten attempts, on the schedule of Standard Webhooks; after the last one there is none."""
    delays = [delay(attempts, 0.0) for attempts in range(1, 10)]
    assert sum(one for one in delays if one) == (75 * 60 + 35) * 60_000 + 5_000 - 0
    assert delays[:2] == [5_000, 300_000]
    assert delay(10, 0.0) is None


@given(st.integers(1, 9), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_shorter_than_scheduled_and_little_longer(
    attempts: int, chance: float
) -> None:
    """What failed together is not tried together."""
    waited = delay(attempts, chance)
    assert waited is not None
    assert DELAYS[attempts - 1] <= waited <= DELAYS[attempts - 1] * 1.2 + 1


@pytest.mark.parametrize(
    ("header", "waited"),
    [
        ("120", 120_000),
        (" 0 ", 0),
        (format_datetime(datetime(2026, 5, 4, 12, 1, tzinfo=UTC), usegmt=True), 60_000),
        ("Mon, 04 May 2026 11:00:00 GMT", 0),
        ("99999999999", patience.RETRY_AFTER_MAX),
        ("Fri, 31 Dec 9999 23:59:59 GMT", patience.RETRY_AFTER_MAX),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_how_long_a_tool_wants_to_be_left_alone_is_read_and_bounded(
    header: str | None, waited: int | None
) -> None:
    """Seconds or a date; what says neither says nothing."""
    assert rest(503, header, NOON) == waited


def test_a_tool_that_has_enough_rests_even_where_it_does_not_say_how_long() -> None:
    """429 without `Retry-After` is a second."""
    assert rest(429, None, NOON) == 1000


def test_a_breaker_opens_after_failures_in_a_row_only() -> None:
    """One that was taken between them begins the count anew."""
    flow = Flow("crm")
    for _ in range(patience.FAILURES_MAX - 1):
        flow = failed(flow, NOON, 1, probe=False)
    assert not flow.opened
    assert not failed(taken(flow), NOON, 1, probe=False).opened
    assert failed(flow, NOON, 1, probe=False).opened == 1


def test_a_notice_that_fails_alone_opens_the_breaker_too() -> None:
    """Of a tool that is told little, nobody waits for five failures."""
    flow = Flow("crm")
    for attempts in range(1, patience.TRIES_MAX + 1):
        assert not flow.opened
        flow = failed(flow, NOON, attempts, probe=False)
    assert flow.opened == 1


def test_a_notice_that_fails_while_others_are_taken_opens_no_breaker() -> None:
    """However often: nothing is wrong with the tool."""
    flow = Flow("crm")
    for attempts in range(1, patience.ATTEMPTS_MAX):
        flow = failed(taken(flow), NOON, attempts, probe=False)
    assert not flow.opened


def test_a_breaker_stays_open_longer_each_time_and_lets_one_through_then() -> None:
    """Up to five minutes; what was under way when it opened makes it no longer."""
    flow = failed(Flow("crm", failures=4), NOON, 1, probe=False)
    times = []
    for _ in range(9):
        assert turn(flow, flow.open_until - 1, 9, 0).most == 0
        assert turn(flow, flow.open_until, 9, 0) == patience.Turn(1, probe=True)
        assert failed(flow, NOON, 1, probe=False).open_until == flow.open_until
        times.append(flow.open_until - NOON)
        flow = failed(flow, NOON, 1, probe=True)
    assert times == [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]


def test_while_one_tries_a_tool_nobody_else_does() -> None:
    """The one that was let through holds the breaker until it is back, or its hold has ended."""
    flow = started(failed(Flow("crm", failures=4), NOON, 1, probe=False), NOON + 5000, 1, 0, 6000)
    assert turn(flow, NOON + 10_999, 9, 0).most == 0
    assert turn(flow, NOON + 11_000, 9, 0).most == 1


@given(st.integers(1, 1000), st.lists(st.integers(0, 300), min_size=1, max_size=200))
def test_no_more_start_than_a_rate_allows(per_second: int, pauses: list[int]) -> None:
    """However often it is asked, and however late: a fifth of a second is made up for at most."""
    interval, flow, now, count = 1000 / per_second, Flow("crm"), NOON, 0
    for pause in pauses:
        now += pause
        most = turn(flow, now, 10_000, interval).most
        flow = started(flow, now, most, interval, 6000)
        count += most
    assert count <= (now - NOON + patience.CATCH_UP) / interval + 1 + len(pauses) * 0.001


def test_a_rate_is_kept_up_to() -> None:
    """Asked every twenty milliseconds for a second, ten per second are ten, and a little more."""
    flow, count = Flow("crm"), 0
    for now in range(NOON, NOON + 1000, 20):
        most = turn(flow, now, 99, 100.0).most
        flow = started(flow, now, most, 100.0, 6000)
        count += most
    assert 10 <= count <= 12


def test_a_tool_that_stopped_or_rests_is_told_nothing() -> None:
    """Whatever waits for it."""
    assert turn(Flow("crm", stopped=1), NOON, 9, 0).most == 0
    assert turn(Flow("crm", slow_until=NOON + 1), NOON, 9, 0).most == 0
    assert turn(Flow("crm", slow_until=NOON), NOON, 9, 0).most == 9


def test_a_learnt_pace_slows_by_half_and_quickens_again_to_none() -> None:
    """A tool that had enough once is not told slowly for ever."""
    pace = patience.slower(patience.slower(0.0))
    assert pace == 100.0
    for _ in range(20):
        pace = patience.quicker(pace)
    assert pace == 0.0
