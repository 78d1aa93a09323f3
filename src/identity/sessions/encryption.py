"""Encrypts secrets at rest with the first of SECRET_KEYS; decrypts with any of them."""

import base64
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from identity.errors import DecryptionError

MIN_KEY_LENGTH: Final = 32


class Cipher:
    """Binds each ciphertext to one account and one purpose: a row copied to another account does not decrypt."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("SECRET_KEYS is empty: give at least one secret")
        for number, key in enumerate(keys, start=1):
            if len(key) < MIN_KEY_LENGTH:
                raise ValueError(f"SECRET_KEYS: key {number} has fewer than {MIN_KEY_LENGTH} characters")
        ciphers = []
        for key in keys:
            derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"mastertape seal v1")
            ciphers.append(Fernet(base64.urlsafe_b64encode(derived.derive(key.encode()))))
        self._newest: Final = ciphers[0]
        self._all: Final = MultiFernet(ciphers)

    def encrypt(self, plaintext: bytes, *, purpose: str, did: str) -> bytes:
        return self._newest.encrypt(_binding(purpose, did) + plaintext)

    def decrypt(self, ciphertext: bytes, *, purpose: str, did: str) -> bytes:
        """Decrypt with any of the keys; raises DecryptionError unless `purpose` and `did` are those it was bound to."""
        try:
            bound = self._all.decrypt(ciphertext)
        except InvalidToken:
            raise DecryptionError("none of SECRET_KEYS decrypts it") from None
        binding = _binding(purpose, did)
        if not bound.startswith(binding):
            raise DecryptionError("it was encrypted for another account or purpose")
        return bound[len(binding) :]

    def is_current(self, ciphertext: bytes) -> bool:
        """Whether the newest key encrypted it; if not, re-encrypt it before the old key is removed."""
        try:
            self._newest.decrypt(ciphertext)
        except InvalidToken:
            return False
        return True


def _binding(purpose: str, did: str) -> bytes:
    # a DID contains no NUL, so no two pairs share a binding and none is a prefix of another
    return f"{purpose}\0{did}\0".encode()
