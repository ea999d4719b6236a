"""Staff sign in with a key, and are signed out when they should be."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from api.pages.session import SESSION_SECONDS
from api.pages.tries import TRIES_MAX, WINDOW_SECONDS
from tests.pages.browsing import signing_in, token, visitor, window
from tests.running import Service, command, issue_key, over, running_service


class TestSigningIn:
    def test_a_staff_key_opens_the_pages(self, shared_service: Service) -> None:
        """Who signs in is led to Now, and greeted by name."""
        with visitor(shared_service, shared_service.keys["staff"]) as staff:
            now = staff.get("/")
        assert now.status_code == httpx.codes.OK
        assert "operator" in now.text

    def test_the_key_itself_is_not_kept_in_the_browser(
        self, shared_sqlite_service: Service
    ) -> None:
        """The cookie holds no part of the key, no script reads it, and it ends after 12 hours."""
        key = shared_sqlite_service.keys["staff"]
        with visitor(shared_sqlite_service) as nobody:
            cookie = signing_in(nobody, key).headers["set-cookie"]
        assert key[-20:] not in cookie
        assert {"HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={SESSION_SECONDS}"} <= {
            part.strip() for part in cookie.split(";")
        }

    def test_over_https_the_cookie_keeps_to_https(self, shared_sqlite_service: Service) -> None:
        """Behind a proxy that speaks https, the cookie is for https and for this host alone."""
        with visitor(shared_sqlite_service) as nobody:
            nobody.headers["x-forwarded-proto"] = "https"
            cookie = signing_in(nobody, shared_sqlite_service.keys["staff"]).headers["set-cookie"]
        assert cookie.startswith("__Host-statekeeper-")
        assert cookie.endswith("; Secure")

    def test_two_services_on_one_host_do_not_sign_each_other_out(
        self, shared_sqlite_service: Service, tmp_path: Path
    ) -> None:
        """Browsers do not tell ports apart: each service has a cookie of its own name."""
        with (
            running_service(f"sqlite:///{tmp_path}/other.db", tmp_path) as neighbour,
            visitor(shared_sqlite_service, shared_sqlite_service.keys["staff"]) as here,
            visitor(neighbour) as there,
        ):
            there.cookies = here.cookies
            assert signing_in(there, neighbour.keys["staff"]).status_code == httpx.codes.SEE_OTHER
            here.cookies = there.cookies
            assert there.get("/").status_code == httpx.codes.OK
            assert here.get("/").status_code == httpx.codes.OK

    def test_a_tools_key_opens_nothing_and_is_told_why(
        self, shared_sqlite_service: Service
    ) -> None:
        """Pages are for people; whoever pastes a tool's key learns what to ask for instead."""
        with visitor(shared_sqlite_service) as nobody:
            answer = signing_in(nobody, shared_sqlite_service.keys["crm"])
        assert answer.status_code == httpx.codes.FORBIDDEN
        assert "key of a tool (crm)" in answer.text
        assert "staff key" in answer.text
        assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize("key", ["", "sk_", "sk_abcdefghij_" + "x" * 43, "<script>", "é"])
    def test_a_wrong_key_is_refused_in_words(
        self, shared_sqlite_service: Service, key: str
    ) -> None:
        """What is no key, or an unknown one, opens nothing and is not shown again."""
        with visitor(shared_sqlite_service, address="192.0.2.2") as nobody:
            answer = signing_in(nobody, key)
        assert answer.status_code == httpx.codes.UNAUTHORIZED
        assert "not known here" in answer.text
        assert not key or f'value="{key}"' not in answer.text

    def test_whoever_guesses_has_to_wait(self, shared_sqlite_service: Service) -> None:
        """After ten wrong keys from one address even the right one has to wait, but only there."""
        key = shared_sqlite_service.keys["staff"]
        with visitor(shared_sqlite_service, address="192.0.2.3") as nobody:
            for _ in range(TRIES_MAX):
                assert signing_in(nobody, "sk_no").status_code == httpx.codes.UNAUTHORIZED
            answer = signing_in(nobody, key)
        with visitor(shared_sqlite_service, address="192.0.2.4") as other:
            assert signing_in(other, key).status_code == httpx.codes.SEE_OTHER
        assert answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        assert 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS + 1
        assert "minutes" in answer.text

    def test_no_other_site_signs_anybody_in(self, shared_sqlite_service: Service) -> None:
        """A form on a foreign page cannot sign a visitor in under a key of its maker's."""
        with visitor(shared_sqlite_service) as nobody:
            nobody.headers["sec-fetch-site"] = "cross-site"
            answer = signing_in(nobody, shared_sqlite_service.keys["staff"])
        assert answer.status_code == httpx.codes.FORBIDDEN
        assert "set-cookie" not in answer.headers


class TestWay:
    def test_who_is_not_signed_in_is_led_there_and_back(
        self, shared_sqlite_service: Service
    ) -> None:
        """A link to a filtered list leads by way of the door to that very list."""
        with visitor(shared_sqlite_service) as nobody:
            led = nobody.get("/jobs?q=harbour&state=quoted")
            assert led.status_code == httpx.codes.SEE_OTHER
            form = nobody.get(led.headers["location"])
            assert 'value="/jobs?q=harbour&amp;state=quoted"' in form.text
            asked = {"next": "/jobs?q=harbour&state=quoted"}
            answer = signing_in(nobody, shared_sqlite_service.keys["staff"], **asked)
        assert answer.headers["location"] == "/jobs?q=harbour&state=quoted"

    @pytest.mark.parametrize(
        "away",
        [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "jobs",
            "/\r\nx: y",
            "/sign-in",
        ],
    )
    def test_the_door_leads_nowhere_else(self, shared_sqlite_service: Service, away: str) -> None:
        """Whatever a link asks for, one goes on to an address of this service."""
        with visitor(shared_sqlite_service) as nobody:
            answer = signing_in(nobody, shared_sqlite_service.keys["staff"], next=away)
        assert answer.headers["location"] == "/"

    def test_who_does_not_ask_for_pages_gets_none(self, shared_sqlite_service: Service) -> None:
        """A program that comes without a key is told so as a problem, not led to a form."""
        with visitor(shared_sqlite_service) as nobody:
            answer = nobody.get("/jobs", headers={"accept": "application/json"})
        assert answer.status_code == httpx.codes.UNAUTHORIZED
        assert answer.json()["type"] == "/problems/not-signed-in"


class TestEnding:
    def test_signing_out_ends_this_browser_only(self, shared_service: Service) -> None:
        """Who signs out here is still signed in over there."""
        key = shared_service.keys["staff"]
        with visitor(shared_service, key) as here, visitor(shared_service, key) as there:
            out = here.post("/sign-out", data={"csrf": token(here.get("/"))})
            assert out.headers["location"] == "/sign-in"
            assert "You are signed out." in here.get("/sign-in").text
            assert here.get("/").status_code == httpx.codes.SEE_OTHER
            assert there.get("/").status_code == httpx.codes.OK

    def test_what_was_said_is_said_once(self, shared_sqlite_service: Service) -> None:
        """What one page has the next one say is not said by the page after that."""
        with visitor(shared_sqlite_service, shared_sqlite_service.keys["staff"]) as staff:
            staff.post("/sign-out", data={"csrf": token(staff.get("/"))})
            assert "You are signed out." in staff.get("/sign-in").text
            assert "You are signed out." not in staff.get("/sign-in").text

    def test_signing_out_everywhere_ends_every_session(self, shared_service: Service) -> None:
        """Every browser that was signed in with the key has to sign in again, and can."""
        key = shared_service.keys["staff"]
        with visitor(shared_service, key) as here, visitor(shared_service, key) as there:
            form = {"csrf": token(here.get("/")), "everywhere": "yes"}
            here.post("/sign-out", data=form)
            assert there.get("/").status_code == httpx.codes.SEE_OTHER
            assert shared_service.by("staff").get("/v1/jobs").status_code == httpx.codes.OK
            assert signing_in(there, key).status_code == httpx.codes.SEE_OTHER
            assert there.get("/").status_code == httpx.codes.OK

    def test_a_revoked_key_ends_its_sessions(self, shared_service: Service) -> None:
        """Revoking a key beside the service ends what it opened, at the very next page."""
        issued = issue_key(shared_service.database, staff="Leaver")
        with visitor(shared_service, issued.key) as leaver:
            assert leaver.get("/").status_code == httpx.codes.OK
            done = command("keys", "revoke", issued.id, *over(shared_service.database))
            assert done.returncode == 0, done.stderr
            assert leaver.get("/").status_code == httpx.codes.SEE_OTHER

    def test_a_session_holds_on_every_replica_and_ends_on_every_one(
        self, postgres: Any, tmp_path: Path
    ) -> None:
        """One replica takes what another signed, and honours at once what another ended."""
        database = postgres.new()
        with (
            running_service(database, tmp_path) as one,
            running_service(database, tmp_path) as two,
            visitor(one, one.keys["staff"]) as here,
            visitor(two) as there,
        ):
            there.cookies = here.cookies
            assert there.get("/").status_code == httpx.codes.OK
            form = {"csrf": token(there.get("/")), "everywhere": "yes"}
            assert here.post("/sign-out", data=form).status_code == httpx.codes.SEE_OTHER
            assert there.get("/").status_code == httpx.codes.SEE_OTHER

    @pytest.mark.parametrize("given", ["", "x", "AAAA.BBBB"])
    def test_a_form_that_is_not_of_the_session_does_nothing(
        self, shared_sqlite_service: Service, given: str
    ) -> None:
        """A form sent without the session's own text is refused, and nobody is signed out."""
        with visitor(shared_sqlite_service, shared_sqlite_service.keys["staff"]) as staff:
            answer = staff.post("/sign-out", data={"csrf": given, "everywhere": "yes"})
            assert answer.status_code == httpx.codes.FORBIDDEN
            assert "load the page again" in answer.text
            assert staff.get("/").status_code == httpx.codes.OK


class TestInABrowser:
    def test_staff_sign_in_and_out_by_keyboard(self, firm: Service, chromium: Browser) -> None:
        """Without a mouse: the key, Enter, and out again by the menu of one's name."""
        with window(chromium, firm) as shown:
            shown.go("/sign-in")
            expect(shown.page.get_by_label("Staff key")).to_be_focused()
            shown.page.keyboard.type(firm.keys["staff"])
            shown.page.keyboard.press("Enter")
            expect(shown.page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
            shown.page.locator("summary", has_text="operator").focus()
            shown.page.keyboard.press("Enter")
            shown.page.get_by_role("button", name="Sign out", exact=True).press("Enter")
            shown.page.get_by_text("You are signed out.").wait_for()

    def test_a_page_left_open_notices_that_it_was_signed_out(
        self, firm: Service, chromium: Browser
    ) -> None:
        """Who is signed out everywhere sees no more of what happens, on any screen."""
        key = issue_key(firm.database, staff="Two screens").key
        with (
            window(chromium, firm) as shown,
            visitor(firm, key) as elsewhere,
        ):
            shown.expected.add(401)
            shown.go("/sign-in")
            shown.page.get_by_label("Staff key").fill(key)
            shown.page.get_by_role("button", name="Sign in").click()
            expect(shown.page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
            form = {"csrf": token(elsewhere.get("/")), "everywhere": "yes"}
            elsewhere.post("/sign-out", data=form)
            shown.page.get_by_role("heading", name="Sign in").wait_for()
