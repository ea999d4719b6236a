"""`statekeeper copy`: a whole log from one database into another, empty one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter

from eventsourcing.persistence import Notification
from msgspec import Struct

from lifecycle.log import BadDatabase, Recorder, open_log
from lifecycle.opening import open_vault
from lifecycle.vault import Vault

Tell = Callable[[int, int], None]
"""How far it is, and how far it goes."""


class Copied(Struct, frozen=True):
    """What was copied, and found to be the same on the other side."""

    events: int
    keys: int
    """Of the vault, wrapped by the other side's master key."""
    position: int
    """The last one; every event kept its own."""
    seconds: float


def copy(source: str, target: str, master_key: str | None, tell: Tell) -> Copied:
    """Copy the log and the vault, all or nothing, and compare both sides.

    Nobody may write to the source meanwhile: an SQLite file that is being served is refused, and a
    log that grew meanwhile too. The master key goes with the side it fits; the other one has its
    own, beside it. Read models are not copied: whoever follows the target makes them anew. Raises
    `BadDatabase`, also where the target is not empty, and `StorageUnavailable`.
    """
    started = perf_counter()
    if source.startswith("sqlite:///") and not Path(source.removeprefix("sqlite:///")).exists():
        raise BadDatabase(f"there is no database {source.removeprefix('sqlite:///')}")
    with closing(open_log(source)) as old, closing(open_log(target)) as new:
        old.hold_for_service()
        end = old.last_position()
        if not end:
            raise BadDatabase("there is nothing to copy: the log is empty")
        unwraps = _vault_of(source, old, master_key)
        wraps = open_vault(target, new, master_key)
        new.fill(
            _told(_pages(old, end), 0, 2 * end, tell),
            (
                [(name, _over(name, key, unwraps, wraps)) for name, key in page]
                for page in _keys(old)
            ),
        )
        events = _same_events(old, new, end, tell)
        keys = _same_keys(old, new, unwraps, wraps)
        if old.last_position() != end:
            raise BadDatabase("the log grew while it was copied: stop what writes to it, and again")
    return Copied(events, keys, end, perf_counter() - started)


def _vault_of(database: str, recorder: Recorder, master_key: str | None) -> Vault:
    """The source's vault, by the key given or by its own."""
    try:
        return open_vault(database, recorder, master_key)
    except BadDatabase:
        return open_vault(database, recorder, None)


def _pages(recorder: Recorder, end: int) -> Iterator[Sequence[Notification]]:
    position = 0
    while position < end and (page := recorder.tail(position)):
        yield page
        position = page[-1].id


def _keys(recorder: Recorder) -> Iterator[Sequence[tuple[str, bytes]]]:
    stream = ""
    while page := recorder.vault_page(stream):
        yield page
        stream = page[-1][0]


def _over(stream: str, wrapped: bytes, unwraps: Vault, wraps: Vault) -> bytes:
    return wraps.wrap(stream, unwraps.unwrap(stream, wrapped))


def _told(
    pages: Iterator[Sequence[Notification]], before: int, total: int, tell: Tell
) -> Iterator[Sequence[Notification]]:
    for page in pages:
        yield page
        tell(before + page[-1].id, total)


def _same_events(old: Recorder, new: Recorder, end: int, tell: Tell) -> int:
    """How many events both have, each at the same place and saying the same."""
    count = 0
    ours = _told(_pages(old, end), end, 2 * end, tell)
    for one, other in zip(ours, _pages(new, end), strict=True):
        for mine, theirs in zip(one, other, strict=True):
            if (mine.id, mine.originator_id, mine.originator_version, mine.topic) != (
                theirs.id, theirs.originator_id, theirs.originator_version, theirs.topic
            ) or bytes(mine.state) != bytes(theirs.state):  # fmt: skip
                raise BadDatabase(f"the copy differs at position {mine.id}; do not use it")
        count += len(one)
    return count


def _same_keys(old: Recorder, new: Recorder, unwraps: Vault, wraps: Vault) -> int:
    """How many keys both have, each the same once it is unwrapped."""
    count = 0
    for one, other in zip(_keys(old), _keys(new), strict=True):
        for (mine, key), (theirs, copied) in zip(one, other, strict=True):
            if mine != theirs or unwraps.unwrap(mine, key) != wraps.unwrap(theirs, copied):
                raise BadDatabase(f"the copy differs in the key of {mine}; do not use it")
        count += len(one)
    return count
