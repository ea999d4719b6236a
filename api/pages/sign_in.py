"""The door of the pages: a staff key opens it, and closes every session that it opened."""

import asyncio
from time import monotonic
from typing import Final
from urllib.parse import quote

from api.door import Answer, Keeper, Visit
from api.keys import end_sessions, key_named
from api.pages.render import page, page_at, wants_page
from api.pages.session import (
    begun,
    check_csrf,
    ended,
    read_form,
    saying,
    see_other,
    signed_in,
)
from api.problems import TooManyRequests
from lifecycle.refusals import NotSignedIn, NotYours
from lifecycle.streams import key_stream

KEY_LENGTH_MAX: Final = 200
NEXT_LENGTH_MAX: Final = 1000
UNKNOWN: Final = "That key is not known here, or it was revoked. Check that all of it was pasted."


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """The form; who is signed in already goes on."""
    query = visit.query("next")
    way = _way(query.get("next", ""))
    try:
        await signed_in(keeper, visit)
    except NotSignedIn:
        return _form(keeper, visit, way)
    return see_other(way)


async def sign_in(keeper: Keeper, visit: Visit) -> Answer:
    """Take a staff key, and go on to where the visitor wanted to."""
    if visit.headers.get(b"sec-fetch-site", b"same-origin") not in {b"same-origin", b"none"}:
        raise NotYours("this form was sent from another site; sign in on this one")
    form = read_form(visit)
    way = _way(form.one("next"))
    if seconds := keeper.tries.wait(visit.address, monotonic()):
        said = f"Too many wrong keys came from your address. Try again in {_minutes(seconds)}."
        if not wants_page(visit.headers.get(b"accept", b"")):
            raise TooManyRequests(said, retry_after=seconds)
        return _form(keeper, visit, way, said, status=429, retry_after=seconds)
    try:
        key = await key_named(keeper, form.one("key")[:KEY_LENGTH_MAX])
        # What other processes wrote is read first: the key may have been revoked there.
        await asyncio.to_thread(keeper.journal.known_now, key_stream(key.id))
        key = await key_named(keeper, form.one("key")[:KEY_LENGTH_MAX])
    except NotSignedIn:
        keeper.tries.wrong(visit.address, monotonic())
        return _form(keeper, visit, way, UNKNOWN, status=401)
    if key.asker.staff is None:
        said = (
            f"That is the key of a tool ({key.asker.tool}). These pages are for people:"
            " ask the operator for a staff key."
        )
        return _form(keeper, visit, way, said, status=403)
    keeper.tries.right(visit.address)
    return see_other(way, begun(keeper, visit, key))


async def sign_out(keeper: Keeper, visit: Visit) -> Answer:
    """End the session of this browser, or every session of the key."""
    try:
        session = await signed_in(keeper, visit)
    except NotSignedIn:
        return see_other("/sign-in", ended(keeper, visit))
    form = read_form(visit)
    check_csrf(keeper, session, form)
    if form.one("everywhere") != "yes":
        return see_other(
            "/sign-in", [*ended(keeper, visit), *saying(keeper, visit, "You are signed out.")]
        )
    await asyncio.to_thread(end_sessions, keeper.journal, session.asker)
    said = "You are signed out, on every device where this key was used."
    return see_other("/sign-in", [*ended(keeper, visit), *saying(keeper, visit, said)])


def _form(
    keeper: Keeper,
    visit: Visit,
    way: str,
    wrong: str = "",
    *,
    status: int = 200,
    retry_after: int = 0,
) -> Answer:
    headers = [(b"retry-after", b"%d" % retry_after)] if retry_after else []
    context = {"next": way, "wrong": wrong, "waits": bool(retry_after)}
    return page(keeper, visit, "sign-in.html", context, status=status, headers=headers)


def _way(given: str) -> str:
    """Where to go on to: an address of this service, else Now."""
    is_ours = given.startswith("/") and not given.startswith(("//", "/\\", "/sign-"))
    if not is_ours or len(given) > NEXT_LENGTH_MAX or not given.isprintable():
        return "/"
    return quote(given, safe="/?&=%+:,._-~!$'()*;@")


def _minutes(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"


PAGES: Final = (
    page_at("GET", "/sign-in", show, "Sign in with a staff key"),
    page_at("POST", "/sign-in", sign_in, "Sign in"),
    page_at("POST", "/sign-out", sign_out, "Sign out, here or everywhere"),
)
