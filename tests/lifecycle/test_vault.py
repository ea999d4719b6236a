"""Keys of what may be erased: one a case, kept apart, and gone for good when they are deleted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle import vault
from lifecycle.vault import CACHED_KEYS_MAX, Vault, WrongMasterKey, fingerprint

MASTER = b"m" * 32
OTHER = b"o" * 32


class Table(dict[str, bytes]):
    """The table of wrapped keys, as a database would answer."""

    asked = 0

    def opened(self, master: bytes = MASTER) -> Vault:
        """Open a vault over this table: another process, or the same after a restart."""

        def stored(streams: object) -> dict[str, bytes]:
            self.asked += 1
            return {stream: self[stream] for stream in streams if stream in self}  # type: ignore[attr-defined]  # of the kind that is meant here

        return Vault(master, stored)

    def keep(self, vault: Vault) -> None:
        """Commit what this vault made."""
        self.update(vault.made())
        vault.settle(stored=True)


@pytest.fixture
def table() -> Table:
    return Table()


@given(st.binary())
def test_what_is_sealed_can_be_read_with_its_key(plain: bytes) -> None:
    """At once, after the commit, and after a restart."""
    table = Table()
    first = table.opened()
    sealed = first.seal("a", plain)
    assert first.unseal("a", sealed) == plain
    table.keep(first)
    assert first.unseal("a", sealed) == table.opened().unseal("a", sealed) == plain


def test_sealing_twice_tells_nothing(table: Table) -> None:
    """The same value sealed again looks different: nobody sees that two are alike."""
    one = table.opened()
    assert one.seal("a", b"same") != one.seal("a", b"same")


def test_a_case_has_one_key(table: Table) -> None:
    """A key is made once a case, and each case has its own."""
    one = table.opened()
    one.seal("a", b"1")
    one.seal("a", b"2")
    one.seal("b", b"1")
    assert sorted(one.made()) == ["a", "b"]
    table.keep(one)
    one.seal("a", b"3")
    assert one.made() == {}


def test_keys_are_wrapped(table: Table) -> None:
    """What stands in the table opens nothing without the master key."""
    one = table.opened()
    sealed = one.seal("a", b"secret")
    table.keep(one)
    with pytest.raises(WrongMasterKey, match="of a was wrapped"):
        table.opened(OTHER).unseal("a", sealed)


def test_a_wrapped_key_belongs_to_its_stream(table: Table) -> None:
    """A key that was moved to another case does not open anything there."""
    one = table.opened()
    sealed = one.seal("a", b"secret")
    table.keep(one)
    table["b"] = table["a"]
    with pytest.raises(WrongMasterKey):
        table.opened().unseal("b", sealed)


def test_a_deleted_key_is_gone_for_good(table: Table) -> None:
    """What it sealed is unreadable, in this process and in every other, also under a new key."""
    one = table.opened()
    sealed = one.seal("a", b"secret")
    table.keep(one)
    one.forget("a")
    del table["a"]
    one.settle(stored=True)
    assert one.unseal("a", sealed) is None
    anew = one.seal("a", b"again")
    table.keep(one)
    for vault_of_any in (one, table.opened()):
        assert vault_of_any.unseal("a", sealed) is None
        assert vault_of_any.unseal("a", anew) == b"again"


def test_a_key_is_not_gone_until_its_deletion_is_committed(table: Table) -> None:
    """An erasing that fails has erased nothing."""
    one = table.opened()
    sealed = one.seal("a", b"secret")
    table.keep(one)
    one.forget("a")
    assert one.unseal("a", sealed) == b"secret"
    one.settle(stored=False)
    assert one.unseal("a", sealed) == b"secret"


def test_a_key_that_was_not_committed_is_not_used(table: Table) -> None:
    """After a failed commit the next sealing makes a new key, and stores it."""
    one = table.opened()
    one.seal("a", b"1")
    one.settle(stored=False)
    assert one.made() == {}
    sealed = one.seal("a", b"2")
    table.keep(one)
    assert table.opened().unseal("a", sealed) == b"2"


def test_a_key_made_and_forgotten_in_one_commit_leaves_nothing(table: Table) -> None:
    """It never reaches the table."""
    one = table.opened()
    one.seal("a", b"1")
    one.forget("a")
    table.keep(one)
    assert table == {}


def test_that_there_is_no_key_is_not_remembered(table: Table) -> None:
    """Another process may give a case a key, after an erasing say: it is found."""
    one, other = table.opened(), table.opened()
    assert one.unseal("a", bytes(40)) is None
    sealed = other.seal("a", b"later")
    table.keep(other)
    assert one.unseal("a", sealed) == b"later"


def test_what_another_process_changed_is_read_again(table: Table) -> None:
    """A mistrusted key is asked for again, and is gone if the other deleted it."""
    one = table.opened()
    sealed = one.seal("a", b"secret")
    table.keep(one)
    del table["a"]
    one.mistrust("a")
    assert one.unseal("a", sealed) is None


def test_a_key_that_cannot_be_unwrapped_is_nobody_elses_trouble(table: Table) -> None:
    """Many are read at once; only who needs that one is told that it cannot be."""
    vault = table.opened()
    sealed = {stream: vault.seal(stream, b"secret") for stream in ("case:a", "case:b", "case:c")}
    table.keep(vault)
    table["case:a"] = Vault(OTHER, lambda _: {}).wrap("case:a", b"k" * 32)
    table["case:b"] = b"short"
    vault = table.opened()
    vault.recall(sealed, unbegun=["case:d"])
    assert vault.unseal("case:c", sealed["case:c"]) == b"secret"
    for stream in ("case:a", "case:b"):
        with pytest.raises(WrongMasterKey):
            vault.unseal(stream, sealed[stream])


def test_keys_of_a_kind_are_read_again(table: Table) -> None:
    """Where somebody deleted some of them; what else is remembered stays so."""
    vault = table.opened()
    messages = [f"message:crm/{number}" for number in range(3)]
    sealed = {stream: vault.seal(stream, b"secret") for stream in [*messages, "case:jobs/J-1"]}
    table.keep(vault)
    table.clear()
    vault.mistrust_all("message:")
    assert [vault.unseal(stream, sealed[stream]) for stream in messages] == [None] * 3
    assert vault.unseal("case:jobs/J-1", sealed["case:jobs/J-1"]) == b"secret"


def test_keys_are_remembered_within_bounds(table: Table) -> None:
    """A key is asked for once; of very many, those used longest ago are asked for again."""
    one = table.opened()
    for number in range(CACHED_KEYS_MAX + 2):
        one.seal(str(number), b"")
    sealed = one.seal("0", b"still there")
    table.keep(one)
    before = table.asked
    assert one.unseal("0", sealed) == b"still there"
    assert table.asked == before
    assert one.unseal("1", bytes(40)) is None
    assert table.asked == before + 1


def test_a_fingerprint_tells_one_master_key_from_another() -> None:
    """It is the same for the same key, differs for another, and does not hold the key."""
    assert fingerprint(MASTER) == fingerprint(MASTER) != fingerprint(OTHER)
    assert MASTER not in fingerprint(MASTER)
    assert len(fingerprint(MASTER)) < vault.KEY_BYTES
