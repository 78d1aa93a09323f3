"""The keys that seal tokens at rest: given, or made once and kept beside the data for a service on loopback."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from service.settings import Settings


def secret_keys(settings: Settings) -> list[str]:
    """Give the keys of the settings, else those of `DATA/secret_keys`, which is made when it is not there."""
    if settings.secret_keys:
        return [key.get_secret_value() for key in settings.secret_keys]
    path = settings.data / "secret_keys"
    if not path.exists():
        _make(path)
    return path.read_text().split()


def _make(path: Path) -> None:
    """Write it whole or not at all, and only for its owner; of two processes the first one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink()
