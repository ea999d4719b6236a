"""A process whose second append cannot be synchronised, and which then dies at once.

Run as `unsynchronised.py DATABASE FLAG` with `failing_fsync` preloaded; prints whether the second
append may have happened.
"""

import os
import signal
import sys
from pathlib import Path

from eventsourcing.persistence import StoredEvent

from lifecycle.log import open_log
from lifecycle.refusals import StorageUnavailable

if __name__ == "__main__":
    log = open_log(sys.argv[1])
    log.append([StoredEvent("a", 1, "t.v1", b"")], after=0)
    log.tail(0)  # a reader stays connected, as in a service, and so the write-ahead log stays
    Path(sys.argv[2]).touch()
    try:
        log.append([StoredEvent("b", 1, "t.v1", b"")], after=1)
    except StorageUnavailable as refused:
        sys.stdout.write(f"{refused.facts['may_have_happened']}\n")
        sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
