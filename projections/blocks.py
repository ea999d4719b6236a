"""Sets of cases as the board keeps them: 4096 numbers are a block, and a case is a bit of it.

So the cases that hold two words, each of which a hundred thousand hold, are found block by block,
newest first: a million cases are 245 blocks, and to cut two of them is one operation.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator
from typing import Final

BLOCK: Final = 4096
WHOLE: Final = (1 << BLOCK) - 1
"""Every case of a block."""
LISTED_MAX: Final = 128
"""So few cases are written as a list; more, as their bits."""


def block_of(number: int) -> int:
    """Say which block a case is in."""
    return number // BLOCK


def bit_of(number: int) -> int:
    """Say which bit of its block a case is."""
    return 1 << number % BLOCK


def numbers(block: int, bits: int) -> Iterator[int]:
    """Name the cases of a block, newest first."""
    while bits:
        highest = bits.bit_length() - 1
        yield block * BLOCK + highest
        bits ^= 1 << highest


def packed(bits: int) -> str:
    """Write a set as a text; always the same for the same set."""
    if bits.bit_count() <= LISTED_MAX:
        return " ".join(str(place) for place in numbers(0, bits))
    return "=" + b2a_base64(bits.to_bytes(BLOCK // 8, "little"), newline=False).decode()


def unpacked(text: str) -> int:
    """Read what `packed` wrote."""
    if text[0] == "=":
        return int.from_bytes(a2b_base64(text[1:]), "little")
    bits = 0
    for place in text.split():
        bits |= 1 << int(place)
    return bits
