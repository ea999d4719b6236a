"""The real program, as its operator runs it: the service as a process, and the command line.

Whatever is started here is ended here, by its process id, also when a test fails. Before it ends,
what it says that was heard and told has to be what its log adds up to.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from api.cli import main
from tests import conserving
from tests.databases import NewDatabase, Postgres
from tests.forking import Fork

ROOT = Path(__file__).resolve().parents[1]
DEFINITIONS = ROOT / "definitions"
PROGRAM = (sys.executable, "-c", "from api.cli import main; main()")
"""The command line, whether or not the project is installed, started from nothing."""

WAIT_SECONDS_MAX = 20.0
"""How long anything that must happen may take, on a machine that is busy with other things."""
PAUSE_SECONDS = 0.02

_ISSUED = re.compile(r"^  ([A-Z_]+)_KEY=(sk_\S+)$", re.MULTILINE)


class Service:
    """A service process over a database; it can be ended in every way there is, and start again."""

    def __init__(
        self,
        database: str,
        log: Path,
        *,
        definitions: Path = DEFINITIONS,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        before: Callable[[], None] | None = None,
        program: Callable[[], None] = main,
        damages: str = "",
    ) -> None:
        """Start nothing yet; what it says goes to `log`, and `before` runs in the new process.

        It is a fork of `program`; or, with `before`, a start of the program from nothing.
        `damages` says why what it has heard and told does not have to add up.
        """
        self.database = database
        self.log = log
        self.port = free_port()
        self._definitions = definitions
        self._environment = {"STATEKEEPER_LOG_LEVEL": "warning", **(environment or {})}
        self._options = options
        self._before = before
        self._program = program
        self._damages = damages
        self._log = conserving.Reading(database)
        self._process: Fork | subprocess.Popen[bytes] | None = None
        self._clients: dict[str, httpx.Client] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._running.pid

    @property
    def said(self) -> str:
        """Everything it has written so far, in all its lives."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def keys(self) -> dict[str, str]:
        """Tool (or `staff`) → the key that it printed at the first run over its database."""
        return {name.lower(): key for name, key in _ISSUED.findall(self.said)}

    def by(self, who: str) -> httpx.Client:
        """Speak with the key of a tool, of `staff`, or of `nobody`, until the service ends."""
        if who not in self._clients:
            self._clients[who] = self.with_key(None if who == "nobody" else self.keys[who])
        return self._clients[who]

    def with_key(self, key: str | None) -> httpx.Client:
        """Speak with this key, or without one; the client is the caller's to close."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=WAIT_SECONDS_MAX, trust_env=False
        )

    @property
    def ready(self) -> bool:
        """Whether it says that it can take asks; False also where it says nothing."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    @property
    def died(self) -> bool:
        """Whether it was started, and is no more."""
        return self._running.poll() is not None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        words = ["serve", *over(self.database, self._definitions), f"--port={self.port}"]
        self._process = self._started([*words, *self._options])
        try:
            until(lambda: self.ready or self._running.poll() is not None, "the service is ready")
        except AssertionError as exc:
            raise AssertionError(f"{exc}; it said:\n{self.said}") from None
        assert self._running.poll() is None, f"it ended while starting; it said:\n{self.said}"

    def _started(self, words: Sequence[str]) -> "Fork | subprocess.Popen[bytes]":
        environment = os.environ | self._environment
        if self._before is None:
            return Fork(
                words,
                folder=ROOT,
                environment=environment,
                stdout=self.log,
                stderr=self.log,
                program=self._program,
            )
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*PROGRAM, *words],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=self._before,  # noqa: PLW1509 - no threads of ours run at that moment
            )

    def kill(self) -> None:
        """End it as a loss of power would."""
        self._running.kill()
        self._running.wait(WAIT_SECONDS_MAX)

    def signal(self, what: signal.Signals) -> None:
        """Tell it something, such as to end."""
        assert not self.died, "its number may be another's by now"
        os.kill(self.pid, what)

    def ended(self) -> int:
        """Wait for its end; answers its exit code."""
        return self._running.wait(WAIT_SECONDS_MAX)

    def freeze(self) -> None:
        """Stop it where it stands."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def conserved(self) -> None:
        """Assert that its log adds up, and that it says the same of it, where it still speaks."""
        differs = [""]

        def agrees() -> bool:
            try:
                says = self.by("nobody").get("/metrics").text
            except httpx.TransportError:
                says = ""  # it is no more, or was never there
            differs[0] = conserving.differing(says, self._log.on())
            return not differs[0]

        if self._damages:
            return
        try:
            until(agrees, "it says what its log adds up to")
        except AssertionError as exc:
            raise AssertionError(f"{exc}; {differs[0]}") from None

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        while self._clients:
            self._clients.popitem()[1].close()
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def _running(self) -> "Fork | subprocess.Popen[bytes]":
        assert self._process is not None, "it was never started"
        return self._process


@contextmanager
def running_service(
    database: str,
    folder: Path,
    *,
    definitions: Path = DEFINITIONS,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    before: Callable[[], None] | None = None,
    program: Callable[[], None] = main,
    damages: str = "",
) -> Iterator[Service]:
    """Run the service over a database, on a port of its own; its log goes into the folder.

    `damages` says why what it has heard and told is not to be asserted at the end.
    """
    log = folder / f"service-{os.urandom(3).hex()}.log"
    service = Service(
        database,
        log,
        definitions=definitions,
        environment=environment,
        options=options,
        before=before,
        program=program,
        damages=damages,
    )
    try:
        service.start()
        yield service
        service.conserved()
    finally:
        service.end()


@pytest.fixture(autouse=True)
def services_add_up(request: pytest.FixtureRequest) -> Iterator[None]:
    """A service that outlives a test says what its log adds up to; others did at their end."""
    yield
    for given in request.node.funcargs.values():
        if isinstance(given, Service) and not given.died:
            given.conserved()


@pytest.fixture
def service(new_database: NewDatabase, tmp_path: Path) -> Iterator[Service]:
    """Run the service over an empty database, on SQLite and on PostgreSQL."""
    with running_service(new_database(), tmp_path) as service:
        yield service


@pytest.fixture
def sqlite_service(new_sqlite: NewDatabase, tmp_path: Path) -> Iterator[Service]:
    """Run the service over an empty file, where the database makes no difference."""
    with running_service(new_sqlite(), tmp_path) as service:
        yield service


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def shared_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Run one service over each database for the whole session; tests take cases of their own."""
    folder = tmp_path_factory.mktemp(f"shared-{request.param}")
    database = f"sqlite:///{folder}/log.db"
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.new()
    with running_service(database, folder) as service:
        yield service


@pytest.fixture(scope="session")
def shared_sqlite_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run one service for the whole session, where the database makes no difference."""
    folder = tmp_path_factory.mktemp("shared")
    with running_service(f"sqlite:///{folder}/log.db", folder) as service:
        yield service


def command(
    *words: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; its output is text, its exit code is not judged."""
    with tempfile.TemporaryDirectory(prefix="statekeeper-") as said:
        stdout, stderr = Path(said, "stdout"), Path(said, "stderr")
        given = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        fork = Fork(words, folder=folder, environment=given, stdout=stdout, stderr=stderr)
        try:
            code = fork.wait(WAIT_SECONDS_MAX)
        finally:
            fork.kill()
        return subprocess.CompletedProcess(fork.args, code, stdout.read_text(), stderr.read_text())


class IssuedKey(msgspec.Struct, frozen=True):
    """A key as `keys issue` shows it."""

    id: str
    key: str


def issue_key(
    database: str,
    *,
    tool: str | None = None,
    staff: str | None = None,
    read_only: bool = False,
    definitions: Path = DEFINITIONS,
) -> IssuedKey:
    """Have the command line issue a key to a tool or to a member of staff."""
    whose = ["--tool", tool] if tool else ["--staff", str(staff)]
    whose += ["--read-only"] if read_only else []
    done = command("keys", "issue", *whose, "--json", *over(database, definitions))
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=IssuedKey)


def over(database: str, definitions: Path = DEFINITIONS) -> list[str]:
    """Name the database and the definitions to the command line."""
    return ["--database", database, "--definitions", str(definitions)]


def until(happened: Callable[[], bool], what: str) -> float:
    """Wait for something that must happen; answers how many seconds it took."""
    started = time.monotonic()
    while not happened():
        took = time.monotonic() - started
        assert took < WAIT_SECONDS_MAX, f"not after {took:.0f} s: {what}"
        time.sleep(PAUSE_SECONDS)
    return time.monotonic() - started


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
