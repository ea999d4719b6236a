"""Opening the log with its keys: the master key is made once, and no other one will do."""

import os
import stat
from base64 import b64encode
from pathlib import Path

import pytest

from lifecycle.asks import Look
from lifecycle.changes import Open
from lifecycle.journal import Journal
from lifecycle.log import BadDatabase
from lifecycle.opening import open_journal
from projections.store import open_store
from tests.databases import NewDatabase
from tests.lifecycle.given import shipped
from tests.lifecycle.journals import ask

SECRET = Open(fields={"email": "a@example.com"})


def opened(database: str, master_key: str | None = None) -> Journal:
    return open_journal(database, {"jobs": shipped()["field_service"]}, master_key)


def closed(journal: Journal) -> None:
    journal.stop()
    journal.recorder.close()


def new_key() -> str:
    return b64encode(os.urandom(32)).decode()


@pytest.mark.parametrize("master_key", [None, new_key()], ids=["its own", "given"])
def test_what_was_sealed_is_read_after_a_restart(
    new_database: NewDatabase, master_key: str | None
) -> None:
    """The master key is the same at every start, whether it is given or made at the first."""
    database = new_database()
    first = opened(database, master_key)
    first.answer_now(ask(SECRET))
    closed(first)
    again = opened(database, master_key)
    assert again.answer_now(ask(Look())).case.fields == SECRET.fields
    closed(again)


def test_another_master_key_is_refused(new_database: NewDatabase) -> None:
    """A key that the database was not written with opens nothing, and is told so at the start."""
    database = new_database()
    closed(opened(database, new_key()))
    with pytest.raises(BadDatabase, match="STATEKEEPER_MASTER_KEY") as refused:
        opened(database, new_key())
    assert "?" not in str(refused.value)


def test_a_key_that_is_gone_is_not_made_again(new_sqlite: NewDatabase) -> None:
    """Only a new log is given a key: beside an old one another would open nothing."""
    database = new_sqlite()
    closed(opened(database))
    key = Path(database.removeprefix("sqlite:///") + ".key")
    key.rename(key.with_suffix(".moved"))
    with pytest.raises(BadDatabase, match="put it back"):
        opened(database)
    assert not key.exists()


def test_a_log_with_a_key_of_the_operators_is_given_no_other(new_database: NewDatabase) -> None:
    """Opened without the master key that it was written with, it names what to set."""
    database = new_database()
    closed(opened(database, new_key()))
    with pytest.raises(BadDatabase, match="STATEKEEPER_MASTER_KEY"):
        opened(database)


def test_nobody_else_reads_the_files_of_a_log(new_sqlite: NewDatabase) -> None:
    """What is made beside the log and the log itself are their owner's alone."""
    database = new_sqlite()
    journal = opened(database)
    store = open_store(database, {"jobs": shipped()["field_service"]})
    journal.answer_now(ask(SECRET))
    file = Path(database.removeprefix("sqlite:///"))
    files = [one for one in file.parent.glob(f"{file.name}*") if one.is_file()]
    assert {one.name.removeprefix(file.name)[:4] for one in files} >= {"", "-wal", "-shm", ".key"}
    assert any("-views-" in one.name for one in file.parent.iterdir())
    assert [one.name for one in files if stat.S_IMODE(one.stat().st_mode) & 0o077] == []
    store.close()
    closed(journal)


@pytest.mark.parametrize("text", ["", "short", "MzEgYnl0ZXMgYXJlIG9uZSB0b28gZmV3IHNvIG5v"])
def test_what_is_no_master_key_is_refused(new_sqlite: NewDatabase, text: str) -> None:
    """A master key is 32 bytes in base64; anything else is named as what it is not."""
    database = new_sqlite()
    Path(database.removeprefix("sqlite:///") + ".key").write_text(text, encoding="ascii")
    with pytest.raises(BadDatabase, match="holds no master key: 32 bytes in base64"):
        opened(database)


def test_the_file_with_the_key_is_its_owners_alone(new_sqlite: NewDatabase) -> None:
    """Beside a SQLite database the key is made once, in a folder that is made too."""
    database = new_sqlite().replace("log-", "var/log-")
    closed(opened(database))
    file = Path(database.removeprefix("sqlite:///") + ".key")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = file.read_bytes()
    closed(opened(database))
    assert file.read_bytes() == key
