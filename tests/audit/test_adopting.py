"""From the audit to the service: the first day ends with the jobs in flight in place."""

import json
from pathlib import Path

from api.audit.adopting import write_import
from api.audit.auditing import audit
from api.audit.exports import Given
from tests.audit import firm
from tests.audit.exports import NOW, generate
from tests.databases import NewDatabase
from tests.running import command


def test_every_agreed_job_is_taken_in_by_the_service(
    tmp_path: Path, new_sqlite: NewDatabase
) -> None:
    """Each line opens one job, in its state, and no id or reference stands twice."""
    exports = generate(tmp_path, 300, wrong=0.5)
    given = [Given(tool, path, firm.mapping(tool)) for tool, path in exports.files.items()]
    result = audit(firm.lifecycle(), given, at=NOW)
    file = tmp_path / "adopt.ndjson"
    written = write_import(result, firm.lifecycle(), file)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert written == len(lines) == result.summary.jobs_agreed < result.summary.jobs
    assert len({line["id"] for line in lines}) == written
    database = new_sqlite()
    issued = command("keys", "issue", "--staff", "Operator", "--database", database)
    assert issued.returncode == 0, issued.stderr
    done = command("import", "jobs", str(file), "--as", "Operator", "--database", database)
    assert done.returncode == 0, done.stderr
    shown = command("history", f"jobs/{lines[0]['id']}", "--database", database)
    assert shown.returncode == 0, shown.stderr
