import shutil
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from api.pages.lifecycle import workarounds
from lifecycle.definition import read
from lifecycle.model import Lifecycle
from tests.databases import NewDatabase
from tests.pages.browsing import Window, window
from tests.running import DEFINITIONS, Service, running_service

NASTY = "<img src=x onerror=alert(1)>&{{7*7}}"


def section(opened: Window, title: str) -> str:
    """Everything that stands under a heading."""
    page = opened.page
    found = page.locator("section", has=page.get_by_role("heading", name=title, exact=True))
    return " ".join(found.last.inner_text().split())


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_every_lifecycle_is_listed_and_leads_to_its_page(
    shared_sqlite_service: Service, chromium: Browser, screen: str
) -> None:
    """All lifecycles of the business stand on one page, each with its warnings and a link."""
    with window(chromium, shared_sqlite_service, screen) as opened:
        page = opened.sign_in().go("/lifecycles").page
        opened.assert_sound()
        page.get_by_role("link", name="Field-service job").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Field-service job")
        opened.assert_sound()


def test_a_lifecycle_tells_owners_words_and_connections(
    shared_sqlite_service: Service, chromium: Browser
) -> None:
    """Whose word counts, what each tool calls a state, and who answers: all on one page."""
    with window(chromium, shared_sqlite_service, scheme="dark") as opened:
        page = opened.sign_in().go("/lifecycles/field_service").page
        assert "QuickBooks Online connector quickbooks payment billing" in section(
            opened, "Whose word counts"
        )
        row = page.locator("table.words tr", has=page.get_by_role("rowheader", name="Scheduled"))
        expect(row.locator("td")).to_have_text(
            ["closedwon", "Scheduled", "upcoming today, late", "Deposit paid"]
        )
        quoted = page.locator("table.words tr", has=page.get_by_role("rowheader", name="Quoted"))
        expect(quoted.locator("td").nth(1)).to_have_text("not told")
        assert "HubSpot is told by hand sales@example.com" in section(opened, "Connections")
        assert "qualifiedtobuy without an end" in section(opened, "Workarounds still standing")
        assert "HubSpot while Quoted · Jobber elsewhere" in section(
            opened, "Facts, and whose they are to say"
        )
        assert "may be ambiguous" in section(opened, "Checks")
        opened.assert_sound()


def test_a_lifecycle_tells_what_each_version_changed(
    new_sqlite: NewDatabase, chromium: Browser, tmp_path: Path
) -> None:
    """The next version stands above the first, with what was added, removed and changed."""
    definitions = tmp_path / "definitions"
    shutil.copytree(DEFINITIONS, definitions)
    file, database = definitions / "field_service.yaml", new_sqlite()
    with running_service(database, tmp_path, definitions=definitions) as service:
        keys = service.keys
    text = file.read_text().replace("version: 1", "version: 2").replace("3 days", "2 days")
    line = "  - {name: complete, from: scheduled, to: completed}\n"
    more = f"{line}  - {{name: redo, title: Do <b>it</b> again, from: completed, to: scheduled}}\n"
    file.write_text(text.replace(line, more).replace("HubSpot,", f'"{NASTY}",'))
    for other in definitions.glob("*.yaml"):
        other.write_text(other.read_text().replace("HubSpot,", f'"{NASTY}",'))
    with (
        running_service(database, tmp_path, definitions=definitions) as service,
        window(chromium, service) as opened,
    ):
        opened.go("/sign-in")
        opened.page.get_by_label("Staff key").fill(keys["staff"])
        opened.page.get_by_role("button", name="Sign in").click()
        opened.go("/lifecycles/field_service")
        versions = section(opened, "Versions")
        assert versions.index("Version 2") < versions.index("Version 1")
        assert "added Transitions: redo" in versions
        assert "changed States: deposit_confirmed within: 3 days → 2 days" in versions
        assert "The first that was adopted." in versions
        assert NASTY in section(opened, "Whose word counts")
        assert opened.page.locator("main img").count() == 0
        opened.assert_sound()


def test_a_workaround_says_when_it_ends() -> None:
    """A word that is passed over until a day is over after it, and stands until then."""
    text = (DEFINITIONS / "field_service.yaml").read_text()
    text = text.replace(
        "qualifiedtobuy: ignore", "qualifiedtobuy: {ignore: true, until: 2027-01-01}"
    )
    lifecycle = Lifecycle(read(text.encode(), "test.yaml")[0])
    (before,) = workarounds(lifecycle, date(2027, 1, 1))
    (after,) = workarounds(lifecycle, date(2027, 1, 2))
    assert (before.word, before.until, before.over) == ("qualifiedtobuy", date(2027, 1, 1), False)
    assert after.over


def test_a_lifecycle_that_is_not_there_says_which_are(
    shared_sqlite_service: Service, chromium: Browser
) -> None:
    """An unknown name is answered with the names that there are."""
    with window(chromium, shared_sqlite_service) as opened:
        opened.expected = {404}
        page = opened.sign_in().go("/lifecycles/nothing").page
        expect(page.locator(".lead")).to_contain_text("field_service")
