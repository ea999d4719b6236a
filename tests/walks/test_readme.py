"""The README is true: what it tells to type is typed, and what it shows is what comes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.cli import cli
from api.settings import Settings
from lifecycle.doubts import read_connector
from tests.running import DEFINITIONS, ROOT, Service, command, running_service

README = (ROOT / "README.md").read_text(encoding="utf-8")
HERE = "http://127.0.0.1:8000"
SHELL_SECONDS_MAX = 30

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MOMENT = re.compile(r"\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC")
OMITTED = re.compile(r",?\s*…")
ANY_NUMBER = ("position",)
"""Members whose value is a number that another run need not repeat."""

STAND_IN = Path(__file__).with_name("curl_stand_in.py")


def blocks(language: str) -> list[str]:
    """Every block of the README in this language."""
    return [text for name, text in BLOCK.findall(README) if name == language]


def examples() -> Iterator[tuple[str, list[Any]]]:
    """Every block of commands, with the answers that the next block shows."""
    found = BLOCK.findall(README)
    for (language, typed), (following, shown) in zip(found, [*found[1:], ("", "")], strict=True):
        if language == "sh":
            assert following == "json", f"the README shows no answer to {typed!r}"
            yield typed, list(values(OMITTED.sub("", shown)))


def values(text: str) -> Iterator[Any]:
    """Every JSON value in a text."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        text = text[end:]
        yield value


def differences(shown: Any, real: Any, path: str = "$") -> Iterator[str]:
    """Where what is shown is not in what came; members and items left out are no difference."""
    match shown, real:
        case dict(), dict():
            for name, value in shown.items():
                if name not in real:
                    yield f"{path}.{name} is not there"
                elif name in ANY_NUMBER:
                    assert isinstance(real[name], int)
                else:
                    yield from differences(value, real[name], f"{path}.{name}")
        case list(), list() if len(shown) == len(real):
            for index, pair in enumerate(zip(shown, real, strict=True)):
                yield from differences(*pair, f"{path}[{index}]")
        case _ if plain(shown) != plain(real):
            yield f"{path}: the README shows {shown!r}, the service says {real!r}"


def plain(value: Any) -> Any:
    """A value without the time of the day on which it was made."""
    if not isinstance(value, str):
        return value
    return MOMENT.sub("(moment)", TIME.sub("(time)", value))


@pytest.fixture
def walked(tmp_path: Path) -> Iterator[Service]:
    """A service at its first run, as the README begins."""
    with running_service(f"sqlite:///{tmp_path}/statekeeper.db", tmp_path) as service:
        yield service


@pytest.fixture(
    params=[
        pytest.param(
            "curl", marks=pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
        ),
        "stand-in",
    ]
)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH on which `curl` is curl; or, as a machine may have none, what speaks for it."""
    found = os.environ.get("PATH", os.defpath)
    if request.param == "curl":
        return found
    script = tmp_path / "bin" / "curl"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    script.chmod(0o755)
    return f"{script.parent}{os.pathsep}{found}"


def test_commands_give_the_answers_shown(walked: Service, path: str) -> None:
    """Typed in order into one shell, the commands of the README give the answers it shows."""
    keys = {f"{name.upper()}_KEY": key for name, key in walked.keys.items()}
    typed = "".join(
        f"{commands.replace('curl ', 'curl_line ')}\necho '(end)'\n" for commands, _ in examples()
    )
    script = f'set -eu\ncurl_line() {{ curl "$@"; echo; }}\n{typed}'.replace(HERE, walked.url)
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": path, "PYTHONPATH": str(ROOT), **keys},
        capture_output=True,
        text=True,
        timeout=SHELL_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("(end)\n")[:-1]
    for (commands, shown), text in zip(examples(), said, strict=True):
        real = list(values(text))
        # Where fewer answers are shown than commands typed, it is the last ones.
        assert list(differences(shown, real[-len(shown) :])) == [], commands


def test_walk_goes_from_quoted_to_invoiced_by_three_keys() -> None:
    """The first screen walks the job through every state on its way, by three tools' keys."""
    walk = README.partition("\n## ")[0]
    states = re.findall(r'"state": "(\w+)"', walk)
    assert list(dict.fromkeys(states)) == [
        "quoted",
        "deposit_confirmed",
        "scheduled",
        "completed",
        "invoiced",
    ]
    assert set(re.findall(r"\$(\w+)_KEY", walk)) == {"CRM", "ACCOUNTING", "PROJECTS"}


def test_first_run_prints_what_is_shown(shared_sqlite_service: Service) -> None:
    """At the first run the service says where it is and gives each tool's key, as shown."""
    (shown,) = [text for text in blocks("console") if text.startswith("$ make run\n")]
    lines = [line.strip() for line in shown.splitlines()[1:] if line.strip() not in {"", "…"}]
    said = shared_sqlite_service.said.replace(shared_sqlite_service.url, HERE)
    for line in lines:
        assert line.removesuffix("…") in said, line


def test_picture_is_the_services_own(shared_sqlite_service: Service) -> None:
    """The diagram is the one that the service draws from the definition."""
    address = "/v1/lifecycles/field_service.mermaid"
    drawn = shared_sqlite_service.by("crm").get(address).text
    assert [text.strip() for text in blocks("mermaid")] == [drawn.strip()]


def test_glossary_words_are_the_codes() -> None:
    """Every word of the glossary is a word of the code in `lifecycle/`."""
    glossary = section("The words")
    words = re.findall(r"^\| ([a-z ]+) \|", glossary, re.MULTILINE)[1:]
    code = "\n".join(file.read_text(encoding="utf-8") for file in ROOT.glob("lifecycle/*.py"))
    strange = [
        word
        for word in words
        if not re.search(rf"\b{word.replace(' ', '[ _]')}s?\b", code, re.IGNORECASE)
    ]
    assert len(words) > 10
    assert strange == []


def test_settings_are_all_there() -> None:
    """The table of settings has each one, with its flag, its variable and its default."""
    rows = {
        row[2].strip("` "): (row[1].strip("` "), row[3].strip("` "))
        for row in (line.strip("|").split("|") for line in section("Running it").splitlines())
        if len(row) == 4
    }
    help_text = command("serve", "--help").stdout
    for field in msgspec.structs.fields(Settings):
        if field.type is bool:
            flag = f"--no-{field.name}" if field.default else f"--{field.name}"
            assert flag in help_text
            assert f"`serve {flag}`" in README
            continue
        flag, default = rows.pop(f"STATEKEEPER_{field.name.upper()}")
        assert (flag in help_text) if flag else (f"--{field.name}" not in help_text), field.name
        if field.default is not None:
            assert default == str(field.default)
    assert set(rows) == {"environment", "---"}


def test_problem_shown_is_what_check_says(tmp_path: Path) -> None:
    """A slip in a definition is named as the README shows it."""
    (shown,) = [
        line for text in blocks("console") for line in text.splitlines() if ".yaml:" in line
    ]
    slipped = tmp_path / "definitions"
    shutil.copytree(DEFINITIONS, slipped)
    file = slipped / "field_service.yaml"
    file.write_text(file.read_text().replace("to: scheduled,", "to: schedulled,"))
    done = command("check", "definitions", folder=tmp_path)
    assert done.returncode == 1
    assert shown in done.stderr.splitlines()


def test_definition_shown_is_part_of_the_shipped_one() -> None:
    """What is shown of a definition says nothing that the shipped one does not say."""
    shipped = re.sub(r"\s+", " ", (DEFINITIONS / "field_service.yaml").read_text())
    shown = (block for block in blocks("yaml") if not block.startswith("connector:"))
    for line in "".join(shown).splitlines():
        said = re.sub(r"\s+", " ", line.partition("#")[0]).strip().rstrip("}")
        if said and "record_for" not in said:
            assert said in shipped, line


def test_connector_shown_is_sound() -> None:
    """Who begins with it is told of nothing wrong."""
    (shown,) = (block for block in blocks("yaml") if block.startswith("connector:"))
    connector, marks = read_connector(shown.encode(), "shop.yaml")
    assert (connector.connector, marks.problems) == ("shop", ())


def test_links_and_targets_are_there() -> None:
    """What the README links to or tells to make is there."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z]+)`|\$ make ([a-z]+)", README):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


def test_calls_are_the_services(shared_sqlite_service: Service) -> None:
    """The table of calls names every operation of the service, and no other."""
    described = shared_sqlite_service.by("nobody").get("/schema/openapi.json").json()["paths"]
    declared = {
        (method.upper(), path)
        for path, methods in described.items()
        for method in methods
        if method in {"get", "post", "patch", "put"}
    }
    called = section("What there is to call")
    named = set(re.findall(r"`(GET|POST|PATCH|PUT) (/[^`]*)`", called))
    others = [path for method, path in declared - named if path not in called]
    assert named <= declared
    # A lifecycle's own forms stand behind the list of them.
    assert all(path.startswith("/v1/lifecycles/{name}") for path in others), others


def test_every_command_and_definition_is_named() -> None:
    """The README names each command of the command line, and each lifecycle that is shipped."""
    for name in (*cli.commands, *(file.stem for file in DEFINITIONS.glob("*.yaml"))):
        assert f"`{name}`" in README, name


def section(title: str) -> str:
    """The text below a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
