"""A process that appends to a log as fast as it can, deciding anew whenever others were faster.

Run as `racer.py DATABASE NAME COUNT`; every other append is made with the log held.
"""

import sys
from collections.abc import Sequence
from functools import partial

from eventsourcing.persistence import Notification, StoredEvent

from lifecycle.log import Batch, Recorder, open_log


def race(recorder: Recorder, name: str, count: int) -> list[int]:
    """Append `count` events of one stream, one a commit; answer their positions."""
    positions: list[int] = []
    for version in range(1, count + 1):
        event = StoredEvent(f"case:jobs/{name}", version, "raced.v1", name.encode())
        appended = None
        while appended is None:
            last = recorder.last_position()
            if version % 2:
                appended = recorder.append([event], after=last)
            else:
                appended = recorder.append_held(partial(decided, event), after=last)
        positions.extend(appended)
    return positions


def decided(event: StoredEvent, _: Sequence[Notification]) -> Batch:
    """Append it whatever the tail says."""
    return Batch([event])


if __name__ == "__main__":
    log = open_log(sys.argv[1])
    race(log, sys.argv[2], int(sys.argv[3]))
    log.close()
