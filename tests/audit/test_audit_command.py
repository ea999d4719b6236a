"""The audit as its owner runs it: three exports in, a report out, everything planted in it."""

import csv
import io
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import python_calamine
import yaml

from api.audit.decisions import keep_decision
from api.audit.findings import Audit, Finding, Kind
from lifecycle.catalogue import load
from tests.audit.exports import NOW, Exports, Planted, generate
from tests.databases import NewDatabase
from tests.running import DEFINITIONS, PROGRAM, ROOT, command, over

JOBS = 1500
AT = f"{NOW:%Y-%m-%dT%H:%M:%S}"


@dataclass(frozen=True)
class Audited:
    """The exports, what the command said of them, and what a person has decided."""

    exports: Exports
    audit: Audit
    decisions: Path

    def words(self, *more: str) -> list[str]:
        """The command over these exports, with the answers that were given."""
        return [*words_for(self.exports), "--confirm", str(self.decisions), *more]


def words_for(exports: Exports, *more: str) -> list[str]:
    words = ["audit", "--lifecycle", "field_service", "--definitions", str(DEFINITIONS)]
    for tool, file in exports.files.items():
        words += ["--export", f"{tool}={file}"]
    return [*words, "--at", AT, *more]


def audit_of(words: Sequence[str]) -> Audit:
    done = command(*words, "--format", "json")
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=Audit)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """An audit whose doubtful pairs were decided by somebody who knows the truth."""
    folder = tmp_path_factory.mktemp("exports")
    exports = generate(folder, JOBS, seed=5)
    decisions = folder / "decisions.ndjson"
    for link in audit_of(words_for(exports)).to_confirm:
        left, right = link.left, link.right
        same = exports.job_of[left.tool, left.row] == exports.job_of[right.tool, right.row]
        keep_decision(decisions, link.key, same=same)
    words = words_for(exports, "--confirm", str(decisions))
    return Audited(exports, audit_of(words), decisions)


def is_about(finding: Finding, planted: Planted) -> bool:
    rows = {(source.tool, source.row) for source in finding.sources}
    return finding.kind is planted.kind and planted.rows <= rows


def run_with_answers(words: Sequence[str], answers: str) -> subprocess.CompletedProcess[str]:
    """The command with somebody typing."""
    return subprocess.run(
        [*PROGRAM, *words],
        cwd=ROOT,
        input=answers,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- what is found --------------------------------------------------------------------------------


def test_every_planted_finding_is_found(audited: Audited) -> None:
    """What is wrong in the exports is found, under its kind, with every file and row."""
    found: dict[Kind, list[Finding]] = defaultdict(list)
    for finding in audited.audit.findings:
        found[finding.kind].append(finding)
    assert {planted.kind for planted in audited.exports.planted} == set(Kind)
    missed = [
        planted
        for planted in audited.exports.planted
        if not any(is_about(finding, planted) for finding in found[planted.kind])
    ]
    assert missed == []


def test_no_finding_is_invented(audited: Audited) -> None:
    """Where nothing was planted nothing is found: noise in names and ids is no disagreement."""
    planted = defaultdict(list)
    for one in audited.exports.planted:
        for row in one.rows:
            planted[row].append(one)
    invented = [
        finding.summary
        for finding in audited.audit.findings
        if not any(
            is_about(finding, one)
            for source in finding.sources
            for one in planted[source.tool, source.row]
        )
    ]
    assert invented == []


def test_a_finding_names_the_tool_that_is_wrong_and_whom_to_believe(audited: Audited) -> None:
    """Of a job that was billed before it was done, the crew's tool is believed."""
    for finding in audited.audit.findings:
        assert finding.sources
        if finding.kind is Kind.CONTRADICTED:
            assert finding.believe.tool == "projects"
        if finding.kind is Kind.DISAGREE_STATE:
            assert finding.believe.tool in {"projects", "accounting"}
        if finding.kind is Kind.DISAGREE_FIELD:
            assert (finding.believe.tool, finding.values[0].owner) == ("crm", True)
    lacking = {one.missing_from for one in audited.audit.findings if one.kind is Kind.MISSING}
    assert lacking == {"crm", "projects"}


def test_two_rows_are_one_job_only_if_they_are(
    audited: Audited, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nearly every automatic link is right (0.999), and nearly none is missed (0.95)."""
    fresh = audit_of(words_for(audited.exports))
    truth: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for row, job in audited.exports.job_of.items():
        truth[job].add(row)
    right = {pair for rows in truth.values() for pair in across(rows)}
    made = {
        pair
        for job in fresh.jobs
        for pair in across({(said.source.tool, said.source.row) for said in job.said})
    }
    precision, recall = len(made & right) / len(made), len(made & right) / len(right)
    with capsys.disabled():
        sys.stdout.write(
            f"\nof {len(made):,} links {precision:.5f} are right, and {recall:.5f} of all made\n"
        )
    assert precision >= 0.999
    assert recall >= 0.95


def across(rows: set[tuple[str, int]]) -> set[frozenset[tuple[str, int]]]:
    """The pairs of rows of different tools."""
    return {frozenset({one, other}) for one in rows for other in rows if one[0] != other[0]}


def test_the_plan_ends_in_a_definition_that_is_sound(audited: Audited, tmp_path: Path) -> None:
    """The words and flows of the plan, put into the definition, pass what `check` checks."""
    shutil.copytree(DEFINITIONS / "connectors", tmp_path / "connectors")
    shutil.copy(DEFINITIONS / "field_service.yaml", tmp_path)
    declared = [
        part
        for step in audited.audit.plan
        for part in yaml.safe_load_all(step.declare)
        if isinstance(part, dict)
    ]
    assert {key for part in declared for key in part} >= {"hears", "flows", "vocabulary"}
    for part in declared:
        place = f"connectors/{part['connector']}" if "connector" in part else "field_service"
        put_into(tmp_path / f"{place}.yaml", part)
    done = command("check", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lifecycle = load(tmp_path, {}).named("field_service")
    assert lifecycle is not None
    assert "On Ice" in lifecycle.declaration.hears["crm"]["dealstage"]
    heard = {flow.tool for flow in lifecycle.declaration.flows if flow.direction == "in"}
    assert heard == {"crm", "accounting", "projects"}


def put_into(file: Path, part: dict[str, object]) -> None:
    """Put a part into a definition, as somebody would who has its file open."""
    definition = yaml.safe_load(file.read_text())
    merge(definition, part)
    file.write_text(yaml.safe_dump(definition, sort_keys=False).replace(": null", ": ~"))


def merge(into: dict[str, object], more: dict[str, object]) -> None:
    """Put a part of a definition where it belongs; lists grow."""
    for key, value in more.items():
        there = into.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            merge(there, value)
        elif isinstance(there, list) and isinstance(value, list):
            there += [one for one in value if one not in there]
        else:
            into[key] = value


# --- how it is written ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["html", "md", "csv", "xlsx", "json", "txt"])
def test_the_ending_of_the_file_tells_the_format(
    audited: Audited, tmp_path: Path, ending: str
) -> None:
    """One file is written, whole; what is said of it stands on one line beside."""
    file = tmp_path / f"audit.{ending}"
    done = command(*audited.words("--output", str(file)))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.endswith(f"Read {file}.\n")
    assert [one.name for one in tmp_path.iterdir()] == [file.name]
    begins = {
        "html": b"<!doctype html>",
        "md": b"# Field-service job",
        "csv": b"\xef\xbb\xbfNo.,",
        "xlsx": b"PK",
        "json": b'{"lifecycle":"field_service"',
        "txt": b"Field-service job",
    }
    assert file.read_bytes().startswith(begins[ending])


def test_a_word_that_is_a_formula_is_quoted_in_the_tables(audited: Audited, tmp_path: Path) -> None:
    """Somebody called a status `=Permit pending`: no table hands that to a spreadsheet."""
    done = command(*audited.words("--format", "csv"))
    cells = [cell for row in csv.reader(io.StringIO(done.stdout)) for cell in row]
    assert "'=Permit pending" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    command(*audited.words("--output", str(tmp_path / "audit.xlsx")))
    sheet = python_calamine.load_workbook(tmp_path / "audit.xlsx").get_sheet_by_name("Findings")
    texts = [cell for row in sheet.to_python() for cell in row if isinstance(cell, str)]
    assert "'=Permit pending" in texts
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@"))]


def test_the_terminal_answers_the_three_questions_first(audited: Audited) -> None:
    """How bad, which job, whom to believe: before the plan, and before any list."""
    text = command(*audited.words()).stdout
    places = [
        text.index(said)
        for said in ("How bad is it?", "Which job first?", "Whom to believe?", "What to mend")
    ]
    assert places == sorted(places)


# --- doubtful pairs, and the way into the service -------------------------------------------------


def test_doubtful_pairs_are_asked_about_once(audited: Audited, tmp_path: Path) -> None:
    """Answers are kept in the file: what was answered is not asked again, what was not is."""
    kept = tmp_path / "answers"
    words = words_for(audited.exports, "--confirm", str(kept), "--output", str(tmp_path / "a.json"))
    doubtful = len(audit_of(words_for(audited.exports)).to_confirm)
    assert doubtful >= 2
    first = run_with_answers(words, "what?\ny\nl\nq\n")
    assert first.returncode == 0, first.stderr
    assert "1 the same job, 0 apart" in first.stderr
    assert len(kept.read_text().splitlines()) == 1
    rest = run_with_answers(words, "n\n" * doubtful)
    assert rest.returncode == 0, rest.stderr
    assert "0 left open" in rest.stderr
    pairs = [msgspec.json.decode(one)["pair"] for one in kept.read_text().splitlines()]
    assert len(pairs) == len(set(pairs))
    last = command(*words)
    assert last.returncode == 0
    assert "No pair of rows is in doubt." in last.stderr


def test_the_agreed_jobs_can_be_taken_into_the_service(
    audited: Audited, tmp_path: Path, new_sqlite: NewDatabase
) -> None:
    """The first day ends with the jobs in place: `import` takes all that `--open` writes."""
    file, database = tmp_path / "open.ndjson", new_sqlite()
    done = command(*audited.words("--format", "json", "--open", str(file)))
    assert done.returncode == 0, done.stderr
    lines = file.read_bytes().splitlines()
    assert len(lines) == audited.audit.summary.jobs_agreed
    told = command("import", "jobs", str(file), "--as", "Operator", "--json", *over(database))
    assert told.returncode == 0, told.stderr
    report = msgspec.json.decode(told.stdout)
    assert (report["applied"], report["refused"]) == (len(lines), {})


# --- where it cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--lifecycle", "field_service"),
        ("--lifecycle", "field_service", "--export", "deals.csv"),
        ("--lifecycle", "field_service", "--export", "crm=no-such-file.csv"),
        ("--lifecycle", "nothing", "--export", "crm=README.md", "--export", "projects=LICENSE"),
        ("--lifecycle", "field_service", "--export", "fax=README.md"),
        ("--lifecycle", "field_service", "--export", "crm=LICENSE", "--export", "crm=README.md"),
        ("--lifecycle", "field_service", "--export", "crm=README.md", "--format", "xlsx"),
        ("--lifecycle", "field_service", "--export", "crm=README.md", "--output", "audit.doc"),
        ("--lifecycle", "field_service", "--export", "crm=README.md", "--mapping", "fax=LICENSE"),
        ("--lifecycle", "field_service", "--export", "crm=README.md", "--output", "no/folder.csv"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_two(words: tuple[str, ...]) -> None:
    """What cannot be meant is refused before any export is read."""
    done = command("audit", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_read_is_one_line_and_exit_one(audited: Audited, tmp_path: Path) -> None:
    """An export that is none is refused by name, and no report is written."""
    broken = tmp_path / "jobs.xlsx"
    broken.write_bytes(b"PK\x03\x04 this is no workbook")
    report = tmp_path / "audit.html"
    words = audited.words("--output", str(report))
    words[words.index(f"projects={audited.exports.files['projects']}")] = f"projects={broken}"
    done = command(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: jobs\.xlsx[^\n]*\n", done.stderr)
    assert not report.exists()


def test_answers_that_cannot_be_read_are_one_line(audited: Audited, tmp_path: Path) -> None:
    """A file of answers that is none is refused with its line, and left as it is."""
    answers = tmp_path / "answers"
    answers.write_text("yes, all of them\n")
    done = command(*words_for(audited.exports, "--confirm", str(answers)))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: answers, line 1[^\n]*\n", done.stderr)
    assert answers.read_text() == "yes, all of them\n"


def test_where_columns_are_missing_a_mapping_is_made_ready(
    audited: Audited, tmp_path: Path
) -> None:
    """The mapping names every heading of the file; filled in, the same export is read with it."""
    strange = tmp_path / "work.csv"
    strange.write_text(
        "Auftrag,Zustand,Kunde,E-Mail\n10001,Upcoming,Mill Dental,mill@dental.example\n"
    )
    words = audited.words("--format", "json")
    words[words.index(f"projects={audited.exports.files['projects']}")] = f"projects={strange}"
    done = command(*words, folder=tmp_path)
    assert done.returncode == 1
    assert "mapping-projects.yaml" in done.stderr
    ready = tmp_path / "mapping-projects.yaml"
    for heading in ("Auftrag", "Zustand", "Kunde", "E-Mail"):
        assert heading in ready.read_text()
    ready.write_text("ref: Auftrag\nstatus: {status: Zustand}\nname: Kunde\nemail: E-Mail\n")
    again = command(*words, "--mapping", f"projects={ready}", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert msgspec.json.decode(again.stdout, type=Audit).exports[2].rows == 1
