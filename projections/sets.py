"""The tables of sets of cases: those in a state, those that hold a word, block by block."""

from collections.abc import Iterable

from projections.blocks import bit_of, packed, unpacked
from projections.store import Row, Session, as_json
from projections.tables import board as tables


class Sets:
    """What changes in one of these tables."""

    def __init__(self, select: str, upsert: str, delete: str) -> None:
        """Take the statements of the table, whose rows are a set and its key."""
        self._select, self._upsert, self._delete = select, upsert, delete
        self._lost: dict[Row, int] = {}
        self._gained: dict[Row, int] = {}

    @classmethod
    def of_states(cls) -> "Sets":
        """Which cases are in a state: by collection, state and block."""
        return cls(tables.SELECT_STATES, tables.UPSERT_STATES, tables.DELETE_STATES)

    @classmethod
    def of_words(cls) -> "Sets":
        """Which cases hold a word: by collection, field, word and block."""
        return cls(tables.SELECT_WORDS, tables.UPSERT_WORDS, tables.DELETE_WORDS)

    def move(self, number: int, lost: Iterable[Row], gained: Iterable[Row]) -> None:
        """Take a case out of some sets, and put it into others."""
        bit = bit_of(number)
        for key in lost:
            self._lost[key] = self._lost.get(key, 0) | bit
        for key in gained:
            self._gained[key] = self._gained.get(key, 0) | bit

    def write(self, session: Session) -> None:
        """Write the sets as they are by that; one that is empty is no more."""
        keys = list({**self._lost, **self._gained})
        if not keys:
            return
        rows = session.rows(self._select, keys=as_json(keys))
        known = {tuple(key): unpacked(cases) for cases, *key in rows}
        now = {
            key: known.get(key, 0) & ~self._lost.get(key, 0) | self._gained.get(key, 0)
            for key in keys
        }
        session.write(self._upsert, [(packed(bits), *key) for key, bits in now.items() if bits])
        if empty := [key for key, bits in now.items() if not bits]:
            session.run(self._delete, keys=as_json(empty))
