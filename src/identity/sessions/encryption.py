"""Secrets at rest: sealed with the first of SECRET_KEYS, opened with any of them."""

import base64
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from identity.errors import SealBrokenError

MIN_KEY_LENGTH: Final = 32


class Seal:
    """Seals bytes for one account and one purpose, so that a row copied to another account does not open."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("SECRET_KEYS is empty: give at least one secret")
        for number, key in enumerate(keys, start=1):
            if len(key) < MIN_KEY_LENGTH:
                raise ValueError(f"SECRET_KEYS: key {number} has fewer than {MIN_KEY_LENGTH} characters")
        ciphers = [Fernet(_derive(key)) for key in keys]
        self._newest: Final = ciphers[0]
        self._all: Final = MultiFernet(ciphers)

    def seal(self, plain: bytes, *, purpose: str, did: str) -> bytes:
        """Encrypt with the newest key, bound to `purpose` and `did`."""
        return self._newest.encrypt(_binding(purpose, did) + plain)

    def open(self, sealed: bytes, *, purpose: str, did: str) -> bytes:
        """Decrypt what was sealed with any of the keys for the same `purpose` and `did`."""
        try:
            bound = self._all.decrypt(sealed)
        except InvalidToken:
            raise SealBrokenError("none of SECRET_KEYS opens it") from None
        binding = _binding(purpose, did)
        if not bound.startswith(binding):
            raise SealBrokenError("it was sealed for something else")
        return bound[len(binding) :]

    def is_current(self, sealed: bytes) -> bool:
        """Whether the newest key sealed it; if not, seal it again before the old key is taken away."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True


def _derive(key: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"mastertape seal v1").derive(key.encode())
    return base64.urlsafe_b64encode(derived)


def _binding(purpose: str, did: str) -> bytes:
    # a DID holds no NUL, so no two pairs share a binding and none is the beginning of another
    return f"{purpose}\0{did}\0".encode()
