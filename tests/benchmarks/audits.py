"""How long an audit of a million rows takes, and how much memory.

``python -m tests.benchmarks.audits --help``. The exports are made first; then the real command
reads them, with its progress on a terminal, and writes its report.
"""

import contextlib
import os
import pty
import resource
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import click
import msgspec
import psutil

from tests.audit.exports import generate
from tests.running import DEFINITIONS, PROGRAM, ROOT

ROWS_OF_A_JOB = 2.87
"""Rows that the three tools together hold of one job, on average."""
SECONDS_MAX = 600
LOOK_SECONDS = 0.25


class Measured(msgspec.Struct, frozen=True):
    """What one audit came to."""

    rows: int
    jobs: int
    form: str
    seconds: float
    processor_seconds: float
    """What it would take with a core of its own: others may work on the same machine."""
    rows_per_second: int
    memory_peak_mib: int
    """Of all its processes together; what they share counts once."""
    progress_bytes: int
    """What was written to the terminal meanwhile."""
    report_kib: int


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(100, 10_000_000))
@click.option(
    "--form", default="html", show_default=True, type=click.Choice(["html", "csv", "xlsx"])
)
@click.option("--accounting", default="xlsx", show_default=True, type=click.Choice(["xlsx", "csv"]))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(rows: int, form: str, accounting: str, *, as_json: bool) -> None:
    """Audit so many rows, and print time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), round(rows / ROWS_OF_A_JOB), form, accounting)
    if as_json:
        print(msgspec.json.encode(measured).decode())
        return
    print(
        f"{measured.rows:,} rows of {measured.jobs:,} jobs to {measured.form}:"
        f" {measured.seconds:.1f} s ({measured.rows_per_second:,} rows/s;"
        f" {measured.processor_seconds:.1f} s of one core),"
        f" at most {measured.memory_peak_mib:,} MiB of memory, a report of"
        f" {measured.report_kib:,} KiB, {measured.progress_bytes:,} bytes of progress"
    )


def measure(folder: Path, jobs: int, form: str, accounting: str) -> Measured:
    """Make the exports, run the command over them, and look at what it took."""
    made = generate(folder, jobs, accounting=accounting)
    report = folder / f"audit.{form}"
    words = ["audit", "--lifecycle", "field_service", "--definitions", str(DEFINITIONS)]
    for tool, file in made.files.items():
        words += ["--export", f"{tool}={file}"]
    words += ["--output", str(report)]
    began = time.perf_counter()
    progress, peak = _on_a_terminal(words)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(
        rows=made.rows,
        jobs=made.jobs,
        form=form,
        seconds=seconds,
        processor_seconds=used.ru_utime + used.ru_stime,
        rows_per_second=round(made.rows / seconds),
        memory_peak_mib=peak,
        progress_bytes=progress,
        report_kib=report.stat().st_size // 1024,
    )


def _on_a_terminal(words: list[str]) -> tuple[int, int]:
    """Run the command with a terminal to show its progress on.

    The answer is how many bytes it wrote there, and the most memory that it took, in MiB.
    """
    ours, theirs = pty.openpty()
    written: list[int] = []

    def drain() -> None:
        try:
            while piece := os.read(ours, 65536):
                written.append(len(piece))
        except OSError:  # the other end is closed: the command has ended
            return

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    peak = 0
    try:
        running = subprocess.Popen(
            [*PROGRAM, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs
        )
        until = time.monotonic() + SECONDS_MAX
        while running.poll() is None and time.monotonic() < until:
            peak = max(peak, _memory(running.pid))
            time.sleep(LOOK_SECONDS)
        running.kill()
        if code := running.wait():
            raise click.ClickException(f"the audit ended with {code}")
    finally:
        os.close(theirs)
        reader.join(timeout=5)
        os.close(ours)
    return sum(written), peak // 2**20


def _memory(pid: int) -> int:
    """The bytes of memory of a process and its children, what they share counted once."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total


if __name__ == "__main__":
    main()
