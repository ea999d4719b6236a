"""The keys of what may be erased, and the sealing of what they protect.

Each case has a key of its own, kept in a table beside the log and wrapped by a master key that is
not in the log. Values are sealed with AES-256-GCM (NIST SP 800-38D), bound to the stream they
stand in. Deleting the key is the only deletion there is: what it sealed can never be read again.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12
CACHED_KEYS_MAX = 10_000


class WrongMasterKey(Exception):
    """The master key given is not the one that this database's keys are wrapped with."""


class Vault:
    """Seals and unseals; remembers keys, bounded, and what is not yet certain about them.

    That a stream has no key is never remembered: another process may give it one.
    """

    def __init__(
        self, master: bytes, stored: Callable[[Collection[str]], Mapping[str, bytes]]
    ) -> None:
        """Take the master key (32 bytes) and how to read wrapped keys by stream."""
        self._master_key = master
        self._master = AESGCM(master)
        self._stored = stored
        self._keys: OrderedDict[str, bytes] = OrderedDict()
        self._made: dict[str, bytes] = {}
        self._forgotten: set[str] = set()
        self._keyless: set[str] = set()
        self._one_at_a_time = Lock()  # the writer seals while others read

    def seal(self, stream: str, plain: bytes) -> bytes:
        """The bytes, sealed with the stream's key; a stream without one is given one."""
        with self._one_at_a_time:
            key = None if stream in self._keyless else self._key(stream)
            if key is None:
                key = AESGCM.generate_key(KEY_BYTES * 8)
                self._made[stream] = self.wrap(stream, key)
                self._keys[stream] = key
                self._keyless.discard(stream)
        return self._encrypt(AESGCM(key), stream, plain)

    def unseal(self, stream: str, sealed: bytes) -> bytes | None:
        """What was sealed, or None where its key is gone; `WrongMasterKey` where ours is wrong."""
        with self._one_at_a_time:
            key = self._key(stream)
        if key is None:
            return None
        try:
            return self._decrypt(AESGCM(key), stream, sealed)
        except InvalidTag:  # sealed with a key that was deleted before this one was made
            return None

    def recall(self, streams: Iterable[str], unbegun: Iterable[str] = ()) -> None:
        """Read the keys of these streams, all in one query; what has not begun has none.

        Which of them have none is known to `seal` until `settle`: an append on top of it counts
        only if nobody else wrote meanwhile.
        """
        with self._one_at_a_time:
            unknown = [stream for stream in streams if stream not in self._keys]
            wrapped = self._stored(unknown) if unknown else {}
            for stream in unknown:
                if stream not in wrapped:
                    self._keyless.add(stream)
                    continue
                with suppress(WrongMasterKey):  # who needs it is told so; nobody else is hurt
                    self._keys[stream] = self.unwrap(stream, wrapped[stream])
            self._keyless.update(stream for stream in unbegun if stream not in self._keys)

    def made(self) -> Mapping[str, bytes]:
        """The keys made since the last `settle`, wrapped: to be stored with what they seal."""
        return self._made

    def forget(self, stream: str) -> None:
        """The key of this stream is to be deleted; until `settle` it is still there."""
        with self._one_at_a_time:
            self._forgotten.add(stream)
            if self._made.pop(stream, None):
                self._keys.pop(stream, None)

    def settle(self, *, stored: bool) -> None:
        """What was made and forgotten since stands in the database now, or none of it does."""
        with self._one_at_a_time:
            for stream in self._forgotten if stored else self._made:
                self._keys.pop(stream, None)
            self._made, self._forgotten, self._keyless = {}, set(), set()
            while len(self._keys) > CACHED_KEYS_MAX:
                self._keys.popitem(last=False)

    def mistrust(self, stream: str) -> None:
        """Somebody else changed this stream's key: read it again when it is wanted."""
        with self._one_at_a_time:
            self._keys.pop(stream, None)

    def mistrust_all(self, prefix: str) -> None:
        """Somebody else deleted keys of streams that begin so: read them again when wanted."""
        with self._one_at_a_time:
            for stream in [one for one in self._keys if one.startswith(prefix)]:
                del self._keys[stream]

    def apart(self) -> "Vault":
        """Another one over the same keys, that remembers by itself: for who only reads."""
        return Vault(self._master_key, self._stored)

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose, the same wherever the master key is the same."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(self._master_key)

    def _key(self, stream: str) -> bytes | None:
        if stream not in self._keys:
            wrapped = self._stored([stream]).get(stream)
            if wrapped is None:
                return None
            self._keys[stream] = self.unwrap(stream, wrapped)
        self._keys.move_to_end(stream)
        return self._keys[stream]

    def wrap(self, stream: str, key: bytes) -> bytes:
        """The key of a stream, as it is stored."""
        return self._encrypt(self._master, stream, key)

    def unwrap(self, stream: str, wrapped: bytes) -> bytes:
        """The key of a stream that is stored so; `WrongMasterKey` where ours is another."""
        try:
            return self._decrypt(self._master, stream, wrapped)
        except (InvalidTag, ValueError) as exc:  # ValueError: too short to be one
            raise WrongMasterKey(f"the key of {stream} was wrapped by another key") from exc

    @staticmethod
    def _encrypt(cipher: AESGCM, stream: str, plain: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, plain, stream.encode())

    @staticmethod
    def _decrypt(cipher: AESGCM, stream: str, sealed: bytes) -> bytes:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], stream.encode())


def fingerprint(master: bytes) -> bytes:
    """Tells one master key from another without telling what it is."""
    return AESGCM(master).encrypt(bytes(NONCE_BYTES), b"statekeeper", b"fingerprint")
