"""Reading a case with a long history against reading one with a short one.

In memory the two should cost the same; cold, after a restart, the long one costs its replay.
"""

import statistics
from itertools import cycle
from pathlib import Path

import httpx
import msgspec
import uvloop

from tests.benchmarks.jobs import ASKS, Keys, accepted, bearer, open_on_statekeeper
from tests.benchmarks.load import load, request
from tests.benchmarks.servers import Server, statekeeper

EVENTS_SHORT = 10
EVENTS_LONG = 1000
WARM_TURNS = 3
WARM_SECONDS = 1.0
RESTARTS = 3
"""A restart gives one cold figure a case; the median of three is shown."""

SHORT, LONG, OTHER = "LONG-CASE-10", "LONG-CASE-1000", "LONG-CASE-other"


class LongCase(msgspec.Struct, frozen=True):
    """What reading took, as medians, with one client."""

    name: str
    events_short: int
    events_long: int
    warm_short_ms: float
    warm_long_ms: float
    cold_short_ms: float
    cold_long_ms: float

    @property
    def warm_ratio(self) -> float:
        """How many times longer the long case takes once it is in memory."""
        return self.warm_long_ms / self.warm_short_ms


def measure_long_case(name: str, folder: Path, database: str) -> LongCase:
    """Make the two cases on a Statekeeper of their own, and read them warm, then cold."""
    with statekeeper(folder, database) as server:
        keys = Keys.issued(database)
        open_on_statekeeper(server, keys, [SHORT, LONG, OTHER])
        lengthen(server, keys, SHORT, EVENTS_SHORT)
        lengthen(server, keys, LONG, EVENTS_LONG)
        warm = [
            (read_ms(server, keys, SHORT, WARM_SECONDS), read_ms(server, keys, LONG, WARM_SECONDS))
            for _ in range(WARM_TURNS)
        ]
    cold = [read_cold(folder, database, keys) for _ in range(RESTARTS)]
    return LongCase(
        name,
        EVENTS_SHORT,
        EVENTS_LONG,
        *(statistics.median(took) for took in zip(*warm, strict=True)),
        *(statistics.median(took) for took in zip(*cold, strict=True)),
    )


def read_cold(folder: Path, database: str, keys: Keys) -> tuple[float, float]:
    """Start again and read each case for the first time, after another has warmed the way there."""
    with statekeeper(folder, database) as server:
        read_ms(server, keys, OTHER, WARM_SECONDS / 4)
        return read_ms(server, keys, SHORT, 0), read_ms(server, keys, LONG, 0)


def read_ms(server: Server, keys: Keys, name: str, seconds: float) -> float:
    """Read a case again and again for so long, or once; give the median in milliseconds."""
    ask = request("GET", f"/v1/jobs/{name}", key=keys.projects)
    return uvloop.run(load(server.port, [lambda: ask], seconds=seconds)).p50_ms


def lengthen(server: Server, keys: Keys, name: str, events: int) -> None:
    """Schedule and unschedule a job until so many changes stand in its history."""
    path = f"/v1/jobs/{name}"
    with httpx.Client(base_url=server.url, headers=bearer(keys.projects)) as http:
        version = msgspec.json.decode(accepted(http.get(path)))["version"]
        for _, ask in zip(range(version, events), cycle(ASKS), strict=False):
            accepted(http.post(f"{path}/transitions", json=ask))
