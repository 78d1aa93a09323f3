"""Reads the secret keys from the settings, or generates them once in the data folder of a service on loopback."""

import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from identity.sessions.key_pairs import SigningKey, new_signing_key, signing_keys
from service.config.settings import Settings


def secret_keys(settings: Settings) -> list[str]:
    """Return the keys that encrypt tokens: from the settings, otherwise from `DATA/secret_keys`, generated if absent."""
    if settings.secret_keys:
        return [key.get_secret_value() for key in settings.secret_keys]
    return _read_or_generate(settings.data / "secret_keys", lambda: secrets.token_hex(32)).split()


def known_secret_keys(settings: Settings) -> list[str]:
    """Return the keys as `secret_keys` does, but generate none: empty if there are none yet."""
    made = settings.data / "secret_keys"
    return secret_keys(settings) if settings.secret_keys or made.exists() else []


def oauth_keys(settings: Settings) -> tuple[SigningKey, ...]:
    """Return the OAuth client's signing keys: from the settings, otherwise from `DATA/oauth_keys`; none over http."""
    if not settings.base_url.startswith("https:"):
        return ()
    if settings.oauth_keys is not None:
        return signing_keys(settings.oauth_keys.get_secret_value())
    return signing_keys(_read_or_generate(settings.data / "oauth_keys", new_oauth_keys))


def new_oauth_keys() -> str:
    return json.dumps([new_signing_key()])


def _read_or_generate(path: Path, generate: Callable[[], str]) -> str:
    """Return what the file holds. It is written atomically, readable by its owner only; of two processes the first one wins."""
    if path.exists():
        return path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(generate() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink()
    return path.read_text()
