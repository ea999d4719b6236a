"""Schemathesis over all of `/v1`, as its own command line does it: every operation, every check.

`SCHEMATHESIS_EXAMPLES` sets how many examples each operation gets.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.api.walk import ASKERS, SECRETS, walk
from tests.running import Service, issue_key, running_service

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "15")
SECONDS_MAX = 540
WHO = ("crm", "staff")

SETTINGS = """
# A description of shapes cannot say which transition is open, whose it is, or which version a case
# has reached: what fits the shape may still be refused for that, by 412 or 422. It may not be
# unreadable (400), nor too large, nor of the wrong type; and no check is switched off.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422"]

# An ask for another version is refused as such (412) before its values are looked at.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "412", "415", "422"]

# Nor can it say that two parameters go together, or which words the tools of a lifecycle have.
[[operations]]
include-name = "GET /v1/{collection}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]

[[operations]]
include-name = ["GET /v1/messages", "GET /v1/drift", "GET /v1/notices"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]

[[operations]]
include-name = [
  "POST /v1/messages/retry", "POST /v1/notices/recover", "POST /v1/drift/resolve",
  "POST /v1/drift/{drift}/resolve",
]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409", "422"]

# A stream does not end; this is how many seconds of it are heard each time.
[[operations]]
include-name = "GET /v1/events/stream"
request-timeout = 0.3
"""


class Run:
    """Schemathesis at work on a service of its own, with one key."""

    def __init__(self, by: str, service: Service, folder: Path) -> None:
        """Start it, on a service where the addresses of the document's examples mean something."""
        keys = {tool: issue_key(service.database, tool=tool).key for tool in ASKERS}
        keys["staff"] = issue_key(service.database, staff="Office").key
        assert all(exchange.status for exchange in walk(service.url, keys))
        settings = folder / "schemathesis.toml"
        settings.write_text(SETTINGS)
        self.service = service
        self.said = folder / f"{by}.txt"
        with self.said.open("wb") as said:
            # One worker: where two threads read source code at once, Python 3.11 may fail.
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "schemathesis.cli"),
                    *("--config-file", str(settings)),
                    *("run", f"{service.url}/schema/openapi.json"),
                    *("--checks", "all"),
                    *("--max-examples", EXAMPLES),
                    *("--workers", "1"),
                    *("--header", f"Authorization: Bearer {keys[by]}"),
                    *("--continue-on-failure", "--no-color"),
                ],
                cwd=folder,
                stdout=said,
                stderr=subprocess.STDOUT,
            )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Run]]:
    """Both at once: there are two cores."""
    with ExitStack() as stack:
        found = {}
        for by in WHO:
            folder = tmp_path_factory.mktemp(by)
            service = stack.enter_context(
                running_service(f"sqlite:///{folder}/log.db", folder, environment=SECRETS)
            )
            found[by] = Run(by, service, folder)
            stack.callback(found[by].process.kill)
        yield found


@pytest.mark.parametrize("by", WHO)
def test_the_service_is_what_its_document_says(runs: Mapping[str, Run], by: str) -> None:
    """Whatever a tool or staff send is answered as the document says, never by a fault."""
    run = runs[by]
    assert run.process.wait(SECONDS_MAX) == 0, run.said.read_text()[-20_000:]
    assert '"event":"fault"' not in run.service.said
