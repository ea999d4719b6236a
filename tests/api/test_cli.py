"""The command line: an example each, data as JSON, exit codes, one clear line where it fails."""

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from api.cli import cli
from tests.databases import NewDatabase
from tests.running import DEFINITIONS, Service, command, issue_key, over, running_service

WITH_JSON = {("check",), ("keys", "issue"), ("keys", "list"), ("why",), ("history",)}
"""What prints data."""


def leaves(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    """Every command, by the words that call it."""
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from leaves(one, *above, name)
        else:
            yield (*above, name)


def said(*words: str, **more: Any) -> str:
    """What a command that succeeds prints, and nothing beside it."""
    done = command(*words, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def failed(*words: str, code: int = 1, **more: Any) -> str:
    """What a command that fails prints, on standard error only."""
    done = command(*words, **more)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    return done.stderr


def line(text: str) -> str:
    """Hold a text to be one line, and no trace of a stack."""
    (only,) = text.splitlines()
    assert "Traceback" not in only
    return only


@pytest.fixture(scope="module")
def job(shared_service: Service) -> str:
    """A job that was refused something and then moved, by name."""
    name = f"L-{shared_service.port}"
    crm, accounting = shared_service.by("crm"), shared_service.by("accounting")
    crm.post("/v1/jobs", json={"id": name, "fields": {"email": "orders@harbour-bakery.example"}})
    crm.post(f"/v1/jobs/{name}/transitions", json={"transition": "confirm_deposit"})
    paid = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}
    assert accounting.patch(f"/v1/jobs/{name}/fields", json=paid).status_code == 200
    return f"jobs/{name}"


# --- help and usage -------------------------------------------------------------------------------


@pytest.mark.parametrize("words", list(leaves(cli)), ids=" ".join)
def test_help_has_an_example(words: tuple[str, ...]) -> None:
    """Every command explains itself with an example of its own use."""
    text = " ".join(said(*words, "--help").split())
    assert f"Usage: statekeeper {' '.join(words)}" in text
    assert f"Example: statekeeper {' '.join(words)}" in text
    assert "--json" in text or words not in WITH_JSON


def test_commands_of_this_issue_are_there() -> None:
    """The command line serves, checks, keeps keys, and explains; `--help` lists it."""
    named = {"check", "history", "keys", "serve", "why"}
    assert named <= set(re.findall(r"^  ([a-z]+)  ", said("--help"), re.MULTILINE))


@pytest.mark.parametrize(
    "words",
    [
        ("fly",),
        ("check", "--colour", "red"),
        ("serve", "--port", "many"),
        ("serve", "--port", "65536"),
        ("why",),
        ("why", "J-1042"),
        ("history", "J-1042"),
        ("keys", "revoke"),
        ("keys", "issue"),
        ("keys", "issue", "--tool", "crm", "--staff", "operator"),
        ("keys", "issue", "--tool", "crm", "--read-only"),
        ("keys", "issue", "--staff", ""),
        ("keys", "issue", "--staff", "a\nb"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_two(words: tuple[str, ...], new_sqlite: NewDatabase) -> None:
    """What cannot be meant is refused with what would do, before anything is opened."""
    database = new_sqlite()
    text = failed(*words, code=2, environment={"STATEKEEPER_DATABASE": database})
    assert "Traceback" not in text
    assert "Error: " in text


# --- check ----------------------------------------------------------------------------------------


def test_check_finds_the_shipped_definitions_sound() -> None:
    """Sound definitions exit with 0 and are named; warnings do not count."""
    text = said("check", str(DEFINITIONS))
    assert text.splitlines()[-1].startswith("sound: ")
    assert "field_service 1" in text
    found = json.loads(said("check", str(DEFINITIONS), "--json"))
    assert list(found)[:2] == ["ok", "problems"]
    assert found["ok"] is True
    assert all(problem["warning"] for problem in found["problems"])
    assert said("check", str(DEFINITIONS / "client.yaml")).splitlines()[-1] == "sound: client 1"


def test_check_takes_a_connector_alone() -> None:
    """Who writes one for a product checks it before any lifecycle names it."""
    stripe = DEFINITIONS / "connectors" / "stripe.yaml"
    assert said("check", str(stripe)) == "sound: stripe\n"
    assert said("check", str(stripe.parent)).startswith("sound: docusign, hubspot, jobber")


def test_check_names_every_problem_with_file_and_line(tmp_path: Path) -> None:
    """All problems of all files come at once, each with file, line, path and what would do."""
    folder = tmp_path / "definitions"
    shutil.copytree(DEFINITIONS, folder)
    slips = {
        "field_service.yaml": ("to: scheduled,", "to: schedulled,"),
        "client.yaml": ("record_for: [paperwork]", "record_for: [paperwerk]"),
    }
    lines = {}
    for name, (right, wrong) in slips.items():
        text = (folder / name).read_text(encoding="utf-8")
        lines[name] = text[: text.index(right)].count("\n") + 1
        (folder / name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    done = command("check", "definitions", folder=tmp_path)
    problems = done.stderr.splitlines()
    assert done.returncode == 1
    assert "sound" not in done.stdout
    assert all(re.match(r"definitions/\w+\.yaml:\d+: [\w.*\[\]]+: .+", one) for one in problems)
    slip = f"definitions/field_service.yaml:{lines['field_service.yaml']}: transitions[1].to: "
    assert f"{slip}no state 'schedulled' (did you mean 'scheduled'?)" in problems
    assert [one for one in problems if one.startswith("definitions/client.yaml:")]
    as_json = command("check", "definitions", "--json", folder=tmp_path)
    assert as_json.returncode == 1
    found = json.loads(as_json.stdout)
    assert found["ok"] is False
    errors = [one for one in found["problems"] if not one["warning"]]
    assert len(errors) == len(problems)
    assert list(errors[0]) == ["file", "line", "path", "message", "warning"]


def test_check_says_that_a_folder_is_empty_or_missing(tmp_path: Path) -> None:
    """A folder without a definition is a problem, said in one line."""
    assert str(tmp_path) in line(failed("check", str(tmp_path)))
    assert "nowhere" in line(failed("check", str(tmp_path / "nowhere")))


# --- keys -----------------------------------------------------------------------------------------


def test_key_is_issued_shown_once_listed_and_revoked(shared_service: Service) -> None:
    """A key is shown when it is issued and never again; revoked, it stays listed and is refused."""
    stored = over(shared_service.database)
    issued = json.loads(said("keys", "issue", "--tool", "crm", "--json", *stored))
    assert list(issued) == ["id", "key"]
    listed = said("keys", "list", *stored)
    assert re.search(
        rf"^{issued['id']}  tool crm  since [-0-9]+ [0-9:]+ UTC$", listed, re.MULTILINE
    )
    assert issued["key"] not in listed
    secret = issued["key"].split("_", 2)[2]  # which may itself hold a `_`
    assert secret not in said("keys", "list", "--json", *stored)
    with shared_service.with_key(issued["key"]) as crm:
        assert crm.get("/v1/lifecycles").status_code == 200
        assert line(said("keys", "revoke", issued["id"], *stored)) == f"revoked {issued['id']}"
        assert crm.get("/v1/lifecycles").status_code == 401
    assert re.search(rf"^{issued['id']}  .*, revoked$", said("keys", "list", *stored), re.MULTILINE)
    again = line(failed("keys", "revoke", issued["id"], *stored))
    assert issued["id"] in again
    assert "keys list" in again


def test_key_of_a_person_may_be_for_reading(shared_service: Service) -> None:
    """Members of staff are named; whether they may only read is listed."""
    stored = over(shared_service.database)
    text = said("keys", "issue", "--staff", "night shift", "--read-only", *stored)
    assert re.fullmatch(r"id:  \w{10}\nkey: sk_\S+\nIt is not shown again\.\n", text)
    listed = json.loads(said("keys", "list", "--json", *stored))
    (found,) = [one for one in listed if one["staff"] == "night shift" and one["read_only"]]
    assert list(found) == ["id", "tool", "staff", "read_only", "issued_at", "revoked"]
    assert (found["tool"], found["revoked"]) == (None, False)


def test_key_for_a_tool_that_nobody_declares_is_refused(new_sqlite: NewDatabase) -> None:
    """A key is for a tool of some definition; the refusal lists those that there are."""
    text = line(failed("keys", "issue", "--tool", "fax", *over(new_sqlite())))
    assert "'fax'" in text
    assert "accounting" in text


# --- why and history ------------------------------------------------------------------------------


def test_why_answers_in_plain_words(shared_service: Service, job: str) -> None:
    """Why prints the answer and the chain; as JSON it is what staff get over HTTP."""
    stored = over(shared_service.database)
    text = said("why", job, *stored)
    assert text.startswith(f"The job {job.partition('/')[2]} has been Deposit confirmed since ")
    assert "QuickBooks Online confirmed the deposit automatically" in text
    found = json.loads(said("why", job, "--json", *stored))
    assert found == shared_service.by("staff").get(f"/v1/{job}/why").json()


def test_history_lists_what_happened_and_what_was_refused(
    shared_service: Service, job: str
) -> None:
    """History prints a line an event, oldest first; as JSON it is what staff get over HTTP."""
    stored = over(shared_service.database)
    lines = said("history", job, *stored).splitlines()
    marks = [re.fullmatch(r"\S+Z +(v\d|refused)  .+\.", one) for one in lines]
    assert [mark[1] for mark in marks if mark] == ["v1", "refused", "v2", "v3"]
    found = json.loads(said("history", job, "--json", *stored))
    assert found == shared_service.by("staff").get(f"/v1/{job}/history").json()


@pytest.mark.parametrize("name", ["why", "history"])
def test_case_that_is_not_there_is_said_in_a_line(shared_service: Service, name: str) -> None:
    """What is not there is refused with what was asked for."""
    stored = over(shared_service.database)
    assert "'J-nobody'" in line(failed(name, "jobs/J-nobody", *stored))
    assert "'ships'" in line(failed(name, "ships/S-1", *stored))
    assert "no case" in line(failed(name, "jobs/a\nb", *stored))


# --- databases and settings -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("serve", "--port", "0"), ("keys", "list"), ("why", "jobs/J-1")], ids=" ".join
)
def test_database_that_cannot_be_used_is_said_in_a_line(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """A file that is no database, an address that is none, a server that is away: one line each."""
    file = tmp_path / "letter.db"
    file.write_text("Dear customer, " * 500)
    before = file.read_bytes()
    for database in (
        f"sqlite:///{file}",
        "mysql://localhost/statekeeper",
        "postgresql://statekeeper:secret@127.0.0.1:1/statekeeper",
    ):
        text = failed(*words, *over(database), environment={"STATEKEEPER_LOG_LEVEL": "error"})
        assert "secret" not in line(text)
    assert file.read_bytes() == before


def test_serve_refuses_definitions_that_are_not_sound(
    new_sqlite: NewDatabase, tmp_path: Path
) -> None:
    """A start names every problem, as check does, and makes no database."""
    database = new_sqlite()
    (tmp_path / "broken.yaml").write_text("lifecycle: broken\nversion: one\n")
    text = failed("serve", "--port", "0", *over(database, tmp_path))
    assert len(text.splitlines()) > 1
    assert all("broken.yaml" in one for one in text.splitlines())
    assert not Path(database.removeprefix("sqlite:///")).exists()


def test_serve_keeps_a_second_one_out_of_its_file(new_sqlite: NewDatabase, tmp_path: Path) -> None:
    """One service holds a SQLite file; another is refused, commands beside it are not."""
    database = new_sqlite()
    with running_service(database, tmp_path):
        text = failed(
            *("serve", "--port", "0", *over(database)),
            environment={"STATEKEEPER_LOG_LEVEL": "error"},
        )
        assert line(text)
        assert issue_key(database, tool="crm").key.startswith("sk_")


def test_serve_says_that_its_port_is_taken(new_sqlite: NewDatabase) -> None:
    """A port that somebody else has is named, and the service ends."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = command(
            *("serve", "--port", port, *over(new_sqlite())),
            environment={"STATEKEEPER_LOG_LEVEL": "error"},
        )
    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_come_from_flags_then_the_environment(new_sqlite: NewDatabase) -> None:
    """A flag goes before a variable; a variable before the default."""
    first, second = new_sqlite(), new_sqlite()
    environment = {"STATEKEEPER_DATABASE": first, "STATEKEEPER_DEFINITIONS": str(DEFINITIONS)}
    said("keys", "issue", "--tool", "crm", environment=environment)
    assert "crm" in said("keys", "list", environment=environment)
    said("keys", "issue", "--staff", "Ann", "--database", second, environment=environment)
    assert "crm" not in said("keys", "list", "--database", second, environment=environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STATEKEEPER_PORT", "many"),
        ("STATEKEEPER_PORT", "0000000000065536"),
        ("STATEKEEPER_LOG_LEVEL", "loud"),
        ("STATEKEEPER_MASTER_KEY", "c2hvcnQ="),
        ("STATEKEEPER_MASTER_KEY", "no base64"),
    ],
)
def test_setting_that_cannot_be_is_named(new_sqlite: NewDatabase, name: str, value: str) -> None:
    """A variable that cannot mean anything ends the start in one line that names it."""
    words = ("serve", *over(new_sqlite()), *(("--port", "0") if name != "STATEKEEPER_PORT" else ()))
    environment = {"STATEKEEPER_LOG_LEVEL": "error", name: value}
    assert name in line(failed(*words, environment=environment))


def test_other_master_key_is_refused(new_sqlite: NewDatabase) -> None:
    """A database opens only with the master key that it was made with."""
    database = new_sqlite()
    first, second = ("A" * 43 + "=", "B" * 42 + "A=")
    given = {"STATEKEEPER_MASTER_KEY": first}
    said("keys", "issue", "--tool", "crm", *over(database), environment=given)
    text = failed("keys", "list", *over(database), environment={"STATEKEEPER_MASTER_KEY": second})
    assert "master key" in line(text)


@pytest.mark.parametrize(
    "words",
    [
        ("why", "jobs/J-1"),
        ("history", "jobs/J-1"),
        ("keys", "list"),
        ("keys", "revoke", "k7m2q9x4ab"),
        ("rebuild",),
        ("verify",),
        ("demo",),
    ],
    ids=" ".join,
)
def test_what_looks_at_a_database_makes_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A mistyped address is told in one line; no database, and no master key, comes of it."""
    missing = tmp_path / "typo.db"
    assert line(failed(*words, *over(f"sqlite:///{missing}"))) == (
        f"Error: there is no database {missing}"
    )
    assert list(tmp_path.iterdir()) == []
