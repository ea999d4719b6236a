"""Whole numbers that come as text: in queries, in variables."""

from typing import Final

DIGITS_MAX: Final = 18
"""What is longer is no number for us, whatever it says: leading zeros are digits too."""


def whole(text: str, least: int, most: int) -> int | None:
    """The number that a text of ASCII digits is; None where it is none, or out of bounds."""
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        return None
    number = int(text)
    return number if least <= number <= most else None
