"""Opens the whole of what is true: the log, the vault, the journal, the definitions adopted."""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from lifecycle.journal import Journal
from lifecycle.log import BadDatabase, Recorder, open_log
from lifecycle.mapper import EntryMapper
from lifecycle.model import Lifecycle
from lifecycle.vault import KEY_BYTES, Vault, fingerprint

log = structlog.get_logger("statekeeper.opening")


def open_journal(
    database: str, lifecycles: Mapping[str, Lifecycle], master_key: str | None
) -> Journal:
    """Open the log of this database and start its writer.

    Raises `BadDatabase` (also for a master key that is not this database's) and
    `StorageUnavailable`.
    """
    if database.startswith("sqlite:///"):
        Path(database.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    recorder = open_log(database)
    try:
        vault = open_vault(database, recorder, master_key)
    except BaseException:
        recorder.close()
        raise
    journal = Journal(recorder, EntryMapper(vault), lifecycles)
    journal.start()
    return journal


def open_vault(database: str, recorder: Recorder, master_key: str | None) -> Vault:
    """Open the vault beside a log; a log without one is given the master key that is found.

    Raises `BadDatabase` for a master key that is not this database's.
    """
    known = recorder.setting("master-key")
    master = _master(database, recorder, master_key, new=known is None)
    known = known or recorder.keep_setting("master-key", fingerprint(master))
    if known != fingerprint(master):
        raise BadDatabase(
            f"the master key is not the one that {_shown(database)} was written with"
            " (STATEKEEPER_MASTER_KEY, or the .key file beside the database)"
        )
    return Vault(master, recorder.wrapped_keys)


def _master(database: str, recorder: Recorder, given: str | None, *, new: bool) -> bytes:
    if given:
        return _decoded(given, "STATEKEEPER_MASTER_KEY")
    if database.startswith("sqlite:///"):
        return _in_file(Path(database.removeprefix("sqlite:///") + ".key"), new=new)
    kept = recorder.setting("master-key-beside")
    if kept is None and not new:
        raise BadDatabase(
            f"the master key that {_shown(database)} was written with is not in it:"
            " set STATEKEEPER_MASTER_KEY"
        )
    if kept is None:
        kept = recorder.keep_setting("master-key-beside", b64encode(os.urandom(KEY_BYTES)))
    log.warning(
        "the master key stands in the database itself; set STATEKEEPER_MASTER_KEY to keep it apart"
    )
    return _decoded(kept.decode(), "the master key in the database")


def _in_file(file: Path, *, new: bool) -> bytes:
    """The key in this file, made with a new log, readable by its owner only."""
    if not new and not file.exists():
        raise BadDatabase(
            f"there is no {file}, the master key that this database was written with:"
            " put it back beside the database, or set STATEKEEPER_MASTER_KEY"
        )
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as made:
            made.write(b64encode(os.urandom(KEY_BYTES)) + b"\n")
            made.flush()
            os.fsync(made.fileno())
    return _decoded(file.read_text(encoding="ascii"), str(file))


def _decoded(text: str, where: str) -> bytes:
    try:
        master = b64decode(text.strip(), validate=True)
    except ValueError:
        master = b""
    if len(master) != KEY_BYTES:
        raise BadDatabase(f"{where} holds no master key: {KEY_BYTES} bytes in base64")
    return master


def _shown(database: str) -> str:
    """A database's address without what is secret in it."""
    scheme, _, rest = database.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}".partition("?")[0]
