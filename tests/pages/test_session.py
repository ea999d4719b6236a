"""A session inside of one process: how long it holds, what ends it, which forms are its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from api.door import Keeper, Visit
from api.keys import IssuedKey, end_sessions, issue, key_named, revoke
from api.pages.acting import PERHAPS, _mark, take
from api.pages.session import (
    SESSION_SECONDS,
    acting,
    begun,
    check_csrf,
    csrf,
    read_form,
    saying,
    signed_in,
    taken_up,
)
from api.pages.tries import ADDRESSES_MAX, TRIES_MAX, Tries
from api.pages.worklists import ASKED_AT_ONCE, _asked
from api.problems import MalformedRequest, UnsupportedMediaType
from lifecycle.asks import Look
from lifecycle.catalogue import Catalogue
from lifecycle.changes import Correct, Open
from lifecycle.journal import Journal, Record
from lifecycle.refusals import NotSignedIn, NotYours, StorageUnavailable
from tests.databases import NewDatabase
from tests.lifecycle.given import shipped
from tests.lifecycle.journals import ask, journal_on

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """Give the time that was set."""
        return self.now


@contextmanager
def keeping(database: str) -> Iterator[tuple[Keeper, Clock]]:
    """Keep an empty log, by a clock of the test's own."""
    clock, lifecycles = Clock(), {one.collection: one for one in shipped().values()}
    with journal_on(database) as journal:
        timed = Journal(journal.recorder, journal.mapper, lifecycles, clock=clock)
        timed.start()
        try:
            yield Keeper(timed, Catalogue(lifecycles, {})), clock
        finally:
            timed.stop()


def visit(cookie: bytes = b"", form: bytes = b"", media_type: bytes = b"") -> Visit:
    """Make a visit with this cookie and this form."""
    media_type = media_type or b"application/x-www-form-urlencoded"
    scope: Any = {
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "scheme": "http",
        "client": ("192.0.2.7", 4711),
        "headers": [(b"cookie", cookie), (b"content-type", media_type)],
    }
    return Visit(scope, form)


def test_what_is_said_over_https_stays_there(new_sqlite: NewDatabase) -> None:
    """The cookie of what was done keeps to https like the session's, and is said once."""
    plain, safe = visit(), visit()
    safe.is_secure = True
    with keeping(new_sqlite()) as (keeper, _):
        for here, is_safe in ((plain, False), (safe, True)):
            ((_, cookie),) = saying(keeper, here, "That is done.")
            assert cookie.endswith(b"; Secure") is is_safe
            here.headers[b"cookie"] = cookie.partition(b";")[0]
            said, ((_, gone),) = taken_up(keeper, here)
            assert (said, b"Max-Age=0" in gone) == ("That is done.", True)
            assert gone.endswith(b"; Secure") is is_safe


async def cookie_of(keeper: Keeper, key: IssuedKey) -> bytes:
    """Sign in; give the cookie as a browser sends it back."""
    ((_, value),) = begun(keeper, visit(), await key_named(keeper, key.key))
    return value.partition(b";")[0]


async def who(keeper: Keeper, cookie: bytes) -> str | None:
    """Name whoever is signed in with a cookie."""
    try:
        return (await signed_in(keeper, visit(cookie))).asker.staff
    except NotSignedIn:
        return None


class TestSession:
    def test_a_session_ends_after_twelve_hours(self, new_sqlite: NewDatabase) -> None:
        """A session is honoured for twelve hours, and not a second longer."""

        async def story(keeper: Keeper, clock: Clock) -> None:
            cookie = await cookie_of(keeper, issue(keeper.journal, staff="Steward"))
            clock.now = NOON + timedelta(seconds=SESSION_SECONDS - 1)
            assert await who(keeper, cookie) == "Steward"
            clock.now = NOON + timedelta(seconds=SESSION_SECONDS)
            assert await who(keeper, cookie) is None

        run(new_sqlite(), story)

    def test_a_cookie_that_was_touched_is_none(self, new_sqlite: NewDatabase) -> None:
        """Whoever changes any sign of a cookie is not signed in."""

        async def story(keeper: Keeper, _: Clock) -> None:
            cookie = await cookie_of(keeper, issue(keeper.journal, staff="Steward"))
            assert await who(keeper, cookie) == "Steward"
            for at in range(cookie.index(b"=") + 1, len(cookie) - 1, 7):
                other = b"A" if cookie[at : at + 1] != b"A" else b"B"
                touched = cookie[:at] + other + cookie[at + 1 :]
                assert await who(keeper, touched) is None, at

        run(new_sqlite(), story)

    def test_signing_out_everywhere_counts_for_sessions_of_before(
        self, new_database: NewDatabase
    ) -> None:
        """It ends the sessions begun before it, and none of another key."""

        async def story(keeper: Keeper, _: Clock) -> None:
            mine, yours = (issue(keeper.journal, staff=name) for name in ("Mine", "Yours"))
            before, other = await cookie_of(keeper, mine), await cookie_of(keeper, yours)
            asker = (await key_named(keeper, mine.key)).asker
            end_sessions(keeper.journal, asker)
            after = await cookie_of(keeper, mine)
            assert await who(keeper, before) is None
            assert await who(keeper, after) == "Mine"
            assert await who(keeper, other) == "Yours"

        run(new_database(), story)

    def test_a_revoked_key_is_signed_in_no_more(self, new_sqlite: NewDatabase) -> None:
        """The key is looked up at every visit."""

        async def story(keeper: Keeper, _: Clock) -> None:
            key = issue(keeper.journal, staff="Leaver")
            cookie = await cookie_of(keeper, key)
            revoke(keeper.journal, key.id)
            assert await who(keeper, cookie) is None

        run(new_sqlite(), story)

    def test_a_form_belongs_to_one_session(self, new_sqlite: NewDatabase) -> None:
        """Every page has another text for its forms, each good in its own session only."""

        async def story(keeper: Keeper, _: Clock) -> None:
            key = issue(keeper.journal, staff="Steward")
            cookies = [await cookie_of(keeper, key) for _ in range(2)]
            mine, other = [await signed_in(keeper, visit(cookie)) for cookie in cookies]
            texts = [csrf(keeper, mine) for _ in range(2)]
            assert len(set(texts)) == 2
            for text in texts:
                form = read_form(visit(form=f"csrf={text}".encode()))
                check_csrf(keeper, mine, form)
                with pytest.raises(NotYours):
                    check_csrf(keeper, other, form)

        run(new_sqlite(), story)

    def test_a_key_for_reading_reads_and_does_not_act(self, new_sqlite: NewDatabase) -> None:
        """Who signed in with a read-only key sees every page, and no form of theirs is taken."""

        async def story(keeper: Keeper, _: Clock) -> None:
            for read_only in (False, True):
                key = issue(keeper.journal, staff="Guest", read_only=read_only)
                cookie = await cookie_of(keeper, key)
                session = await signed_in(keeper, visit(cookie))
                sent = visit(cookie, f"csrf={csrf(keeper, session)}&reason=+why+".encode())
                if read_only:
                    with pytest.raises(NotYours, match="for reading only"):
                        await acting(keeper, sent)
                else:
                    session, form = await acting(keeper, sent)
                    assert form.one("reason") == "why"
                    assert form.all("nothing") == ()

        run(new_sqlite(), story)

    def test_what_is_no_form_is_refused(self) -> None:
        """Only a form of bounded size in UTF-8 is read."""
        with pytest.raises(UnsupportedMediaType):
            read_form(visit(form=b"{}", media_type=b"application/json"))
        for body in (b"a=%ff", b"\xff=1", b"&".join(b"a=1" for _ in range(1001))):
            with pytest.raises(MalformedRequest):
                read_form(visit(form=body))


def run(database: str, story: Any) -> None:
    """Have a story run over an empty log."""
    with keeping(database) as (keeper, clock):
        asyncio.run(story(keeper, clock))


class TestTries:
    def test_a_household_is_one_address(self) -> None:
        """Addresses of IPv6 that differ below the network count together; those of IPv4 do not."""
        tries, now = Tries(), 1000.0
        for number in range(TRIES_MAX):
            tries.wrong(f"2001:db8::{number}", now)
            tries.wrong(f"192.0.2.{number}", now)
        assert tries.wait("2001:db8::ffff", now) > 0
        assert tries.wait("2001:db9::1", now) == 0
        assert tries.wait("192.0.2.1", now) == 0

    def test_one_may_try_again_after_the_wait(self) -> None:
        """The wait ends when it was said to end."""
        tries = Tries()
        for _ in range(TRIES_MAX):
            tries.wrong("192.0.2.1", 1000.0)
        wait = tries.wait("192.0.2.1", 1000.0)
        assert tries.wait("192.0.2.1", 1000.0 + wait) == 0

    def test_a_right_key_makes_up_for_wrong_ones(self) -> None:
        """Who mistyped before and then signed in begins anew."""
        tries = Tries()
        for _ in range(TRIES_MAX - 1):
            tries.wrong("192.0.2.1", 1000.0)
        tries.right("192.0.2.1")
        tries.wrong("192.0.2.1", 1000.0)
        assert tries.wait("192.0.2.1", 1000.0) == 0

    def test_no_crowd_fills_the_memory(self) -> None:
        """However many addresses try, so many are remembered and no more."""
        tries = Tries()
        for number in range(ADDRESSES_MAX + 50):
            tries.wrong(f"host-{number}", 1000.0)
        assert len(tries) == ADDRESSES_MAX


def test_what_was_done_before_the_log_was_lost_is_told(new_sqlite: NewDatabase) -> None:
    """Where only the first part of many could be recorded, the rest is told apart, and why."""

    async def story(keeper: Keeper, _: Clock) -> None:
        class Parts(list[Record]):
            """Asks of which the second part comes when the log is closed."""

            def __getitem__(self, at: Any) -> Any:
                if at.start:
                    keeper.journal.stop()
                return super().__getitem__(at)

        asks = Parts([Record("key:none", lambda _known, _now: None)] * (2 * ASKED_AT_ONCE))
        outcomes = await _asked(keeper, asks)
        assert outcomes[:ASKED_AT_ONCE] == [None] * ASKED_AT_ONCE
        rest = outcomes[ASKED_AT_ONCE:]
        assert [type(one) for one in rest] == [StorageUnavailable] * ASKED_AT_ONCE
        with pytest.raises(StorageUnavailable):
            await _asked(keeper, asks[:1])

    run(new_sqlite(), story)


def test_what_may_have_been_recorded_is_looked_up_and_not_denied(
    new_sqlite: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a commit's answer is lost, the case's page tells; pressed again, it is done once."""

    async def story(keeper: Keeper, _: Clock) -> None:
        journal = keeper.journal
        cookie = await cookie_of(keeper, issue(journal, staff="Steward"))
        case = (await journal.answer(ask(Open()))).case
        session = await signed_in(keeper, visit(cookie))
        what = Correct(state="cancelled", reason="They called.")
        form = {
            "csrf": csrf(keeper, session),
            "step": "do",
            "state": what.state,
            "reason": what.reason,
            "version": case.version,
            "mark": _mark(case, what),
            "key": "one-showing",
        }
        append = journal.recorder.append

        def lost(*given: Any, **how: Any) -> Any:
            """Append, and then lose the answer."""
            append(*given, **how)
            raise StorageUnavailable("the connection broke", may_have_happened=True)

        async def pressed() -> tuple[bytes, str]:
            here = visit(cookie, urlencode(form).encode())
            here.segments = [b"", *f"{case.collection}/{case.id}/act/correct".encode().split(b"/")]
            headers = (await take(keeper, here)).headers
            (told,) = [value for name, value in headers if name == b"set-cookie"]
            here.headers[b"cookie"] = told.partition(b";")[0]
            (where,) = [value for name, value in headers if name == b"location"]
            return where, taken_up(keeper, here)[0]

        with monkeypatch.context() as patch:
            patch.setattr(journal.recorder, "append", lost)
            assert await pressed() == (b"/jobs/C-1", PERHAPS)
        form["version"] = case.version + 1
        assert await pressed() == (b"/jobs/C-1", "That is done.")
        now = (await journal.answer(ask(Look()))).case
        assert (now.state, now.version) == ("cancelled", case.version + 1)

    run(new_sqlite(), story)
