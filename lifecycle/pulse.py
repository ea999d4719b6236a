"""What the writer counts of itself, at a price that nobody notices; `/metrics` shows it."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
ASKS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """How many values were no larger than each of some bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Nothing was counted yet; the bounds rise."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Values by the first bound that they do not exceed; the last have exceeded all."""
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Pulse:
    """The writer's counts since it began; written by its thread, read by any."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self.asks: Counter[str] = Counter()
        """By outcome: applied, unchanged, looked, heard, replayed, refused, not-now, and so on."""
        self.heard: Counter[tuple[str, str]] = Counter()
        """Messages by tool and by what they were taken for as they came; duplicates are one too."""
        self.batch_asks = Histogram(ASKS)
        self.append_seconds = Histogram(SECONDS)
        """From the first byte to the database to its answer, with what had to be decided again."""
        self.events = 0
