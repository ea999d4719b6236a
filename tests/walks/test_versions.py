"""A definition grows while its cases live: told beforehand, adopted at a start, never half."""

from pathlib import Path

import msgspec
import pytest

from tests.databases import NewDatabase, Postgres
from tests.running import DEFINITIONS, Service, command, issue_key, running_service


def changed(folder: Path, *edits: tuple[str, str]) -> Path:
    """A copy of the field-service definition with some texts replaced."""
    text = (DEFINITIONS / "field_service.yaml").read_text()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    folder.mkdir()
    (folder / "field_service.yaml").write_text(text)
    (folder / "connectors").symlink_to(DEFINITIONS / "connectors")
    return folder


VERSION_2 = ("version: 1", "version: 2")
BOOKED = [
    VERSION_2,
    ("  scheduled:         {title: Scheduled", "  booked:            {title: Booked"),
    ("to: scheduled,", "to: booked,"),
    ("from: scheduled,", "from: booked,"),
    ("deposit_confirmed, scheduled]", "deposit_confirmed, booked]"),
    ("scheduled: closedwon", "booked: closedwon"),
    ("scheduled: Scheduled", "booked: Booked"),
    ("scheduled: [upcoming", "booked: [upcoming"),
    ("scheduled: Deposit paid", "booked: Deposit paid"),
]
"""The state `scheduled` is called `booked` from version 2 on."""
RENAMED = ("collection: jobs", "collection: jobs\nrenamed: {scheduled: booked}")


def told(database: str, definitions: Path) -> tuple[int, dict[str, object]]:
    """What `check --database` says beforehand."""
    said = command("check", str(definitions), "--database", database, "--json")
    (adoption,) = msgspec.json.decode(said.stdout)["adoptions"]
    return said.returncode, adoption


def scheduled_job(database: str, folder: Path, definitions: Path) -> None:
    """Have one job scheduled under version 1, and end the service."""
    with running_service(database, folder, definitions=definitions) as service:
        opened = service.by("crm").post("/v1/jobs", json={"id": "J-1"})
        assert opened.is_success, opened.text
        deposit = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}
        service.by("accounting").patch("/v1/jobs/J-1/fields", json=deposit).raise_for_status()
        ask = {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}}
        service.by("projects").post("/v1/jobs/J-1/transitions", json=ask).raise_for_status()


def test_a_changed_meaning_needs_a_raised_version(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Another meaning under the same version is refused at the start, with what would do."""
    database = new_database()
    scheduled_job(database, tmp_path, changed(tmp_path / "v1"))
    sneaky = changed(tmp_path / "sneaky", ("within: 3 days", "within: 4 days"))

    with (
        pytest.raises(AssertionError, match="raise `version` to 2"),
        running_service(database, tmp_path, definitions=sneaky),
    ):
        pass
    code, adoption = told(database, sneaky)
    assert code == 1
    assert "raise `version`" in str(adoption["refused"])


def test_open_cases_that_have_no_place_are_named(new_database: NewDatabase, tmp_path: Path) -> None:
    """A version in which an open case cannot stand is not adopted; the case is named."""
    database = new_database()
    scheduled_job(database, tmp_path, changed(tmp_path / "v1"))
    version_2 = changed(tmp_path / "v2", *BOOKED)

    code, adoption = told(database, version_2)
    assert code == 1
    assert "jobs/J-1 (scheduled)" in str(adoption["refused"])
    with (
        pytest.raises(AssertionError, match=r"jobs/J-1 \(scheduled\)"),
        running_service(database, tmp_path, definitions=version_2),
    ):
        pass


def test_renamed_states_are_carried_over(new_database: NewDatabase, tmp_path: Path) -> None:
    """`renamed` carries open cases into the new words, as an event that history shows."""
    database = new_database()
    scheduled_job(database, tmp_path, changed(tmp_path / "v1"))
    version_2 = changed(tmp_path / "v2", *BOOKED, RENAMED)

    code, adoption = told(database, version_2)
    assert code == 0, adoption
    assert adoption["carried"] == {"jobs/J-1": ["booked"]}
    assert adoption["reworded"] == 1
    with running_service(database, tmp_path, definitions=version_2) as service:
        key = issue_key(database, staff="deployer", definitions=version_2).key
        with service.with_key(key) as staff:
            case = staff.get("/v1/jobs/J-1").json()
            history = staff.get("/v1/jobs/J-1/history").json()["items"]
            was = staff.get("/v1/jobs/J-1", params={"version": 4}).json()
    assert (case["state"], case["version"], case["lifecycle_version"]) == ("booked", 5, 2)
    assert case["since"] == was["since"]
    assert was["state"] == "scheduled"
    assert history[-1]["type"] == "CarriedOver"
    assert "Booked" in history[-1]["sentence"]


def test_tools_are_told_new_words_on_request(new_database: NewDatabase, tmp_path: Path) -> None:
    """`--tell` makes due the words that a new version changes; `check --tell` says so before."""
    database = new_database()
    scheduled_job(database, tmp_path, changed(tmp_path / "v1"))
    version_2 = changed(tmp_path / "v2", *BOOKED, RENAMED)
    for flags, said in (([], "told only by `serve --tell`"), (["--tell"], "told to crm of 1")):
        done = command("check", str(version_2), "--database", database, *flags)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout

    def due(service: Service, key: str) -> list[tuple[str, str]]:
        with service.with_key(key) as staff:
            last = staff.get("/v1/events?limit=1").headers["statekeeper-position"]
            seen = {"Statekeeper-Position": last}
            items = staff.get("/v1/notices", params={"state": "waiting"}, headers=seen).json()
        return [(one["tool"], one["word"]) for one in items["items"] if one["word"] == "Booked"]

    key = issue_key(database, staff="deployer", definitions=version_2).key
    with running_service(database, tmp_path, definitions=version_2) as service:
        assert due(service, key) == []
    options = ("--tell",)
    with running_service(database, tmp_path, definitions=version_2, options=options) as service:
        assert due(service, key) == [("crm", "Booked")]


def test_two_replicas_roll_over_to_a_new_version(postgres: Postgres, tmp_path: Path) -> None:
    """While a new replica starts, the old one stops deciding and says so; it goes on reading."""
    database = postgres.new()
    version_1 = changed(tmp_path / "v1")
    scheduled_job(database, tmp_path, version_1)
    version_2 = changed(tmp_path / "v2", *BOOKED, RENAMED)
    key = issue_key(database, staff="deployer", definitions=version_1).key

    with running_service(database, tmp_path, definitions=version_1) as old:
        with old.with_key(key) as staff:
            assert staff.get("/v1/jobs/J-1").json()["state"] == "scheduled"
        with running_service(database, tmp_path, definitions=version_2) as new:
            ask = {"transition": "complete", "reason": "done on site"}
            with old.with_key(key) as staff:
                refused = staff.post("/v1/jobs/J-1/transitions", json=ask)
                shown = staff.get("/v1/jobs/J-1")
            with new.with_key(key) as staff:
                made = staff.post("/v1/jobs/J-1/transitions", json=ask)
            assert refused.status_code == 503
            assert refused.json()["type"] == "/problems/definition-not-adopted"
            assert refused.headers["retry-after"]
            assert shown.status_code == 200
            assert not old.ready
            assert made.json()["case"]["state"] == "completed"
