"""How soon a product's webhook is answered, beside a no-op that is sent as much.

``python -m tests.benchmarks.webhooks --help``. HubSpot's deliveries arrive at a steady rate,
whether or not the ones before are answered; each is counted from the moment at which it was due.
Every second one is of a new deal and opens a job, the others agree with what is known. All servers
run at once and are measured in turns: compare within one run.
"""

import asyncio
import os
import statistics
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from hmac import digest
from itertools import count
from pathlib import Path

import click
import msgspec
import uvloop
from rich.console import Console

from tests.benchmarks.load import UnexpectedAnswer, percentile, request, said, whole_answer
from tests.benchmarks.servers import Server, noop, postgres, statekeeper
from tests.benchmarks.service import machine, table

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONNECTIONS = 16
WARM_UP_SECONDS = 2.0
ANSWER_SECONDS_MAX = 10.0
PATH = "/v1/tools/crm/webhook"

TITLES = {
    "noop": "Litestar, no-op",
    "sqlite": "Statekeeper, SQLite FULL",
    "postgres": "Statekeeper, PostgreSQL 18",
}

Next = Callable[[], bytes]
"""Gives the bytes of the next request."""


class Row(msgspec.Struct, frozen=True):
    """What one server's rounds came to; medians of the rounds, in milliseconds."""

    name: str
    p50_ms: float
    p99_ms: float
    slowest_ms: float


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(TITLES)), help="May be repeated.")
@click.option("--rate", default=100, show_default=True, type=click.IntRange(1, 5000))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(0.5, 60))
@click.option("--messages", default=1, show_default=True, help="In each body.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, no table.")
def main(
    *, only: Sequence[str], rate: int, rounds: int, seconds: float, messages: int, as_json: bool
) -> None:
    """Measure how soon webhooks are answered.

    Example: python -m tests.benchmarks.webhooks --only noop --only sqlite --seconds 2
    """
    os.environ["STATEKEEPER_CRM_SECRET"] = SECRET
    names = [name for name in TITLES if not only or name in only]
    with (
        tempfile.TemporaryDirectory(prefix="statekeeper-bench-") as temporary,
        ExitStack() as stack,
    ):
        folder = Path(temporary)
        folder.chmod(0o755)  # PostgreSQL runs as another user where this one is root
        servers = dict(started(names, folder, stack, messages))
        for server, following in servers.values():
            uvloop.run(steadily(server.port, following, rate, WARM_UP_SECONDS))
        took: dict[str, list[list[float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, (server, following) in servers.items():
                took[name].append(uvloop.run(steadily(server.port, following, rate, seconds)))
    rows = [row(name, took[name]) for name in names]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({**machine(), "rows": rows}), indent=2))
        return
    title = f"Webhooks, {rate}/s of {messages}, {rounds} rounds of {seconds:g} s in turns"
    lines = [
        [TITLES[one.name], *(f"{ms:.1f}" for ms in (one.p50_ms, one.p99_ms, one.slowest_ms))]
        for one in rows
    ]
    Console().print(table(title, ["", "p50 ms", "p99 ms", "slowest ms"], lines))


def started(
    names: Sequence[str], folder: Path, stack: ExitStack, messages: int
) -> Iterator[tuple[str, tuple[Server, Next]]]:
    """Start what is named, each with what it is sent."""
    for name in names:
        if name == "noop":
            server = stack.enter_context(noop(folder, 0))
            body = {"transition": "x", "reason": "x" * 300}
            plain = request("POST", "/v1/jobs/J-1/transitions", body)
            yield name, (server, lambda plain=plain: plain)  # type: ignore[misc]  # mypy does not infer a lambda with a default
            continue
        database = f"sqlite:///{folder}/log.db"
        if name == "postgres":
            database = stack.enter_context(postgres(folder, ["webhooks"]))["webhooks"]
        server = stack.enter_context(statekeeper(folder, database))
        yield name, (server, deliveries(server, messages).__next__)


def deliveries(server: Server, messages: int) -> Iterator[bytes]:
    """Sign what HubSpot sends, for ever: a new deal, then the same deal once more."""
    for number in count(1):
        event = {
            "objectId": 5_000_000 + number // 2,
            "propertyName": "dealstage",
            "propertyValue": "presentationscheduled",
            "subscriptionId": 25,
            "portalId": 33,
            "appId": 1_160_452,
            "subscriptionType": "deal.propertyChange",
            "attemptNumber": 0,
        }
        at = int(time.time() * 1000)
        several = [{**event, "eventId": number + one, "occurredAt": at} for one in range(messages)]
        body, host = msgspec.json.encode(several), f"127.0.0.1:{server.port}"
        signed = f"POSThttp://{host}{PATH}".encode() + body + str(at).encode()
        written = b64encode(digest(SECRET.encode(), signed, "sha256")).decode()
        yield (
            f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"X-HubSpot-Signature-v3: {written}\r\nX-HubSpot-Request-Timestamp: {at}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


async def steadily(port: int, following: Next, rate: int, seconds: float) -> list[float]:
    """Send at a steady rate; give how many seconds each took from when it was due, in order.

    Raises:
        UnexpectedAnswer: with the first answer that is not 2xx.
        TimeoutError: where one does not come.
    """
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    writers = []
    for _ in range(CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        free.put_nowait((reader, writer))
    start = time.perf_counter()

    async def one(number: int) -> float:
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        reader, writer = await free.get()
        writer.write(following())
        await answered(reader)
        free.put_nowait((reader, writer))
        return time.perf_counter() - due

    try:
        return sorted(await asyncio.gather(*(one(number) for number in range(int(rate * seconds)))))
    finally:
        for writer in writers:
            writer.close()


async def answered(reader: asyncio.StreamReader) -> None:
    """Read one whole answer, which has to be 2xx."""
    heard = b""
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while whole_answer(heard) is None:
            part = await reader.read(1 << 16)
            if not part:
                raise UnexpectedAnswer(f"hung up: {said(heard)}")
            heard += part


def row(name: str, rounds: Sequence[Sequence[float]]) -> Row:
    """Sum up the rounds of one server."""

    def median(figure: Callable[[Sequence[float]], float]) -> float:
        return statistics.median(figure(took) for took in rounds) * 1000

    return Row(
        name,
        median(lambda took: percentile(took, 50)),
        median(lambda took: percentile(took, 99)),
        median(lambda took: took[-1]),
    )


if __name__ == "__main__":
    main()
