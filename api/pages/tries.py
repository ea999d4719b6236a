"""Wrong keys at the door, counted by where they come from: after some, one has to wait.

A key is too long to be guessed (256 random bits); this keeps the service quiet and the guesser
slow. Counted in this process only, and bounded: what was tried longest ago is forgotten first. So n
replicas allow n times as many tries, which brings nobody nearer to a key. A count that all of them
see would be a write to the database for each wrong key: strangers, who may write nothing here,
could then make as many writes as they send requests, and make the signing in of staff wait on them.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

TRIES_MAX: Final = 10
"""Wrong keys that may come from one address in a window."""
WINDOW_SECONDS: Final = 300.0
ADDRESSES_MAX: Final = 10_000
IPV6_SHARED_BITS: Final = 64
"""What lies below is one household's or one machine's to choose from."""


class Tries:
    """Who tried how often."""

    def __init__(self) -> None:
        """Nobody has tried yet."""
        self._tried: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> int:
        """How many seconds whoever comes from here has to wait; 0 where it may try."""
        tried, since = self._tried.get(_origin(address), (0, now))
        left = since + WINDOW_SECONDS - now
        return int(left) + 1 if tried >= TRIES_MAX and left > 0 else 0

    def wrong(self, address: str, now: float) -> None:
        """One more wrong key came from here, at this time in seconds."""
        origin = _origin(address)
        tried, since = self._tried.pop(origin, (0, now))
        if now - since >= WINDOW_SECONDS:
            tried, since = 0, now
        self._tried[origin] = (tried + 1, since)
        while len(self._tried) > ADDRESSES_MAX:
            self._tried.popitem(last=False)

    def right(self, address: str) -> None:
        """Whoever comes from here knows a key."""
        self._tried.pop(_origin(address), None)

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._tried)


def _origin(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(int(parsed) >> (128 - IPV6_SHARED_BITS))
    return str(parsed)
