"""What Prometheus scrapes: counts that are kept anyway, put into its words when it asks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from litestar import Response, get
from litestar.datastructures import State
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from api.door import Keeper
from lifecycle.pulse import Histogram
from lifecycle.refusals import StorageUnavailable
from projections import drift
from projections.follower import lag
from projections.records import counts

TEXT = CONTENT_TYPE_PLAIN_0_0_4


@get("/metrics", sync_to_thread=True, include_in_schema=False, media_type=TEXT)
def metrics(state: State) -> Response[bytes]:
    """Show everything that is counted; open to all, and nothing in it is personal."""
    keeper: Keeper = state.keeper
    return Response(scraped(keeper), media_type=TEXT)


def scraped(keeper: Keeper) -> bytes:
    """All metrics of this process as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Kept(keeper))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class Kept(Collector):
    """The counts of one process."""

    def __init__(self, keeper: Keeper) -> None:
        """Take what counts."""
        self._keeper = keeper

    def collect(self) -> Iterator[Metric]:
        """Every metric of ours, as it is at this moment."""
        journal, door = self._keeper.journal, self._keeper.tally
        pulse = journal.pulse
        yield _counted("statekeeper_asks", "Asks that the journal answered.", "outcome", pulse.asks)
        yield _heard(pulse.heard)
        yield _counted(
            "statekeeper_bad_signatures",
            "Webhooks that nothing proved to be a tool's.",
            "tool",
            door.unproven,
        )
        yield _counted("statekeeper_refusals", "Refusals that were told.", "code", door.refusals)
        yield _counted("statekeeper_answers", "Answers over HTTP.", "status", door.answers)
        yield _counted("statekeeper_import_lines", "Lines of imports.", "outcome", door.lines)
        yield _histogram(
            "statekeeper_append_seconds",
            "How long it took to make a batch durable.",
            pulse.append_seconds,
        )
        yield _histogram(
            "statekeeper_batch_asks", "Asks that were answered together.", pulse.batch_asks
        )
        yield CounterMetricFamily(
            "statekeeper_events", "Events that this process appended.", value=pulse.events
        )
        yield _gauge("statekeeper_queue", "Asks that wait for the journal.", journal.queued)
        yield _gauge(
            "statekeeper_memory_streams", "Streams that are remembered.", len(journal.memory)
        )
        yield _gauge(
            "statekeeper_position", "The last position that answers know of.", journal.position
        )
        yield _gauge(
            "statekeeper_ready", "1 where the log can be used.", int(journal.unavailable is None)
        )
        yield from self._followed()
        yield from self._recorded()
        yield from self._told()

    def _recorded(self) -> Iterator[Metric]:
        """What the lists count: all that was ever heard, and where tools differ."""
        store = self._keeper.views
        if store is None:
            return
        try:
            with store.reading() as session:
                heard = counts(session, "messages")
                differ = drift.counts(session, self._keeper.journal.clock())
        except StorageUnavailable:
            return
        yield _sorted(
            "statekeeper_messages_kept",
            "Messages that were ever heard, by what they are taken for by now.",
            ("tool", "outcome"),
            heard,
        )
        yield _sorted(
            "statekeeper_drift",
            "Where tools and the shared state were found to differ, and what came of it.",
            ("tool", "state"),
            differ,
        )

    def _followed(self) -> Iterator[Metric]:
        """How far the read models are behind the log; nothing where a database does not say."""
        journal, store = self._keeper.journal, self._keeper.views
        if store is None:
            return
        try:
            behind = lag(journal.recorder, store, journal.clock())
        except StorageUnavailable:
            return
        yield _gauge(
            "statekeeper_follower_lag_events",
            "Positions that the read models are behind the log.",
            behind.events,
        )
        yield _gauge(
            "statekeeper_follower_lag_seconds",
            "How long ago the first event that they do not have was recorded.",
            behind.seconds,
        )

    def _told(self) -> Iterator[Metric]:
        """What every tool was due, and what became of it: the first is the sum of the others."""
        book = self._keeper.book
        if book is None:
            return
        try:
            tallies = book.tallies()
        except StorageUnavailable:
            return
        family = GaugeMetricFamily(
            "statekeeper_notices",
            "Notices by tool: those that were ever due, and what became of them.",
            labels=["tool", "state"],
        )
        for tool, states in sorted(tallies.items()):
            for state, number in states.items():
                family.add_metric([tool, state], number)
        yield family


def _counted(name: str, what: str, label: str, counts: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, what, labels=[label])
    for value, count in sorted(dict(counts).items()):
        family.add_metric([str(value)], count)
    return family


def _heard(counts: Mapping[tuple[str, str], int]) -> Metric:
    """What is heard is the sum of its outcomes."""
    family = CounterMetricFamily(
        "statekeeper_messages",
        "Messages that were heard, by what they were taken for as they came.",
        labels=["tool", "outcome"],
    )
    for (tool, outcome), count in sorted(dict(counts).items()):
        family.add_metric([tool, outcome], count)
    return family


def _sorted(
    name: str, what: str, labels: Sequence[str], counted: Mapping[tuple[str, str], int]
) -> Metric:
    family = GaugeMetricFamily(name, what, labels=labels)
    for sort, number in counted.items():
        family.add_metric(sort, number)
    return family


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)


def _histogram(name: str, what: str, values: Histogram) -> Metric:
    """Prometheus adds up: each bucket holds all that the smaller ones hold."""
    buckets, below = [], 0
    for bound, count in zip((*map(str, values.bounds), "+Inf"), list(values.counts), strict=True):
        below += count
        buckets.append((bound, float(below)))
    return HistogramMetricFamily(name, what, buckets=buckets, sum_value=values.sum)
