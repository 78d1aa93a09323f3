"""Validators of single settings. Their messages never repeat a value that could be secret."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from identity.sessions.key_pairs import signing_keys

MIN_KEY_LENGTH: Final = 32


def matching(is_valid: Callable[[str], object], said: str) -> AfterValidator:
    """Return a validator that says what a value must be, or contain."""

    def check(value: str | None) -> str | None:
        if value is not None and not is_valid(value):
            raise ValueError(said)
        return value

    return AfterValidator(check)


def is_host_and_port(value: str) -> bool:
    """Whether it is HOST:PORT, where the host is a name or an IPv4 address."""
    name, _, port = value.rpartition(":")
    return bool(name) and ":" not in name and port.isascii() and port.isdecimal() and 0 < int(port) < 65536  # noqa: PLR2004


NSID_PATTERN: Final = re.compile(
    r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+\.[a-zA-Z][a-zA-Z0-9]{0,62}"
)
"""https://atproto.com/specs/nsid"""
DID_PATTERN: Final = re.compile(r"did:(?:plc:[a-z2-7]{24}|web:[a-z0-9.-]+(?:%3A[0-9]{1,5})?)")
MEDIA_PATTERN: Final = re.compile(r"disk:.+|s3:[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
NSID: Final = matching(NSID_PATTERN.fullmatch, "must be an NSID such as fm.plyr.track")
DID: Final = matching(DID_PATTERN.fullmatch, "must be DIDs: did:plc:... or did:web:...")
MEDIA: Final = matching(MEDIA_PATTERN.fullmatch, "must be disk:FOLDER or s3:BUCKET")
HOST_AND_PORT: Final = matching(is_host_and_port, "must be HOST:PORT, such as 127.0.0.1:9464")
SCOPE: Final = matching(
    lambda value: "atproto" in value.split(), "must contain atproto, which every sign-in needs"
)


def split(value: Any) -> Any:
    """Split a comma-separated text; a list stays unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def web_url(value: str) -> str:
    """Check an http or https URL, and return it without a trailing slash."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 (raises)
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL that begins with http:// or https://")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("must be a URL without user name and fragment")
    return value.rstrip("/")


def origin(value: str) -> str:
    """Check an origin: scheme, host and port without a path."""
    parts = urlsplit(web_url(value))
    if parts.path or parts.query:
        raise ValueError("must be an origin such as https://tape.example, without a path")
    return value.rstrip("/").lower()


def loopback_origin(value: str) -> str:
    if not is_loopback(origin(value)):
        raise ValueError("must be origins of this machine, such as http://localhost:2583")
    return origin(value)


def secret_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_KEY_LENGTH:
        raise ValueError(f"each key must have at least {MIN_KEY_LENGTH} characters")
    return value


def private_jwks(value: SecretStr | None) -> SecretStr | None:
    """Check that these are private P-256 keys, which every ATProto authorization server supports."""
    if value is None:
        return None
    try:
        signing_keys(value.get_secret_value())
    except ValueError:
        raise ValueError(
            "must be a JSON list of private P-256 keys, each with kty, crv, kid, x, y and d"
        ) from None
    return value
