"""Structs put away in a file, packed: a million of them take a few bytes of memory each.

An audit of a million rows must fit into a small machine, so what is looked at one by one (rows,
jobs, findings) is kept here and unpacked when somebody looks. One process fills a shelf, any
number may read it.
"""

import mmap
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Self, TypeVar, overload

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

FORGOTTEN_EVERY: Final = 50_000


class Filling(Generic[T]):
    """Puts structs into a new file, one behind the other; then it can be read as a `Shelf`."""

    def __init__(self, path: Path) -> None:
        """Begin the file; one that is there already is an error."""
        self._path = path
        self._file = path.open("xb", buffering=2**20)
        self._ends = array("Q", [0])
        self._encode = msgspec.msgpack.Encoder().encode

    def put(self, thing: T) -> None:
        """Add one."""
        packed = self._encode(thing)
        self._file.write(packed)
        self._ends.append(self._ends[-1] + len(packed))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write where each one ends behind them all."""
        self._file.write(b"\0" * (-self._ends[-1] % self._ends.itemsize))
        self._ends.append(len(self._ends))
        self._file.write(self._ends)
        self._file.close()


class Shelf(Sequence[T]):
    """The structs of one or several files, in their order."""

    def __init__(self, kind: type[T], paths: Sequence[Path]) -> None:
        """Open what `Filling` has written; the files may be deleted then, and stay readable."""
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._maps = [_mapped(path) for path in paths]
        opened = [_opened(whole) for whole in self._maps]
        self._texts = [text for text, _ in opened]
        self._ends = [ends for _, ends in opened]
        self._starts = [0, *accumulate(len(ends) - 1 for ends in self._ends)]

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        """Unpack one, or several."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        file = bisect_right(self._starts, place) - 1
        ends = self._ends[file]
        at = place - self._starts[file]
        return self._decode(self._texts[file][ends[at] : ends[at + 1]])

    def __iter__(self) -> Iterator[T]:
        """Unpack all, one after the other."""
        for text, ends in zip(self._texts, self._ends, strict=True):
            start = 0
            for at, end in enumerate(ends[1:], 1):
                yield self._decode(text[start:end])
                start = end
                if at % FORGOTTEN_EVERY == 0:
                    self.forget()
        self.forget()

    def forget(self) -> None:
        """Give back the memory of what was looked at; whoever looks again reads the file again."""
        for whole in self._maps:
            whole.madvise(mmap.MADV_DONTNEED)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _opened(mapped: mmap.mmap) -> tuple[memoryview, memoryview]:
    """What a file holds, and where each struct ends, neither of them read yet."""
    whole = memoryview(mapped)
    word = array("Q").itemsize
    (count,) = whole[-word:].cast("Q")
    return whole, whole[-word * (count + 1) : -word].cast("Q")
