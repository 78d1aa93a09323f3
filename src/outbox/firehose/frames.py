"""Messages of a host's firehose (com.atproto.sync.subscribeRepos), as far as we use them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import libipld

from aggregates.states import State
from eventstore.untrusted import clean
from outbox.record.dag_cbor import cid_text, require_few_values

MESSAGE: Final = 1
MAX_VALUES: Final = 4000
"""Of a frame, which takes four milliseconds then: a commit of MAX_WRITES has 2,500."""
MAX_WRITES: Final = 200
"""The protocol's limit for a commit."""
MAX_ERROR_LENGTH: Final = 200
MAX_REVISION_LENGTH: Final = 100
"""Of a revision, which has 13 characters: it is stored."""
OUTDATED_CURSOR: Final = "OutdatedCursor"
FUTURE_CURSOR: Final = "FutureCursor"


class FirehoseEffect(State):
    """What a message about our accounts led to, or one about what people without an account here say of tracks."""

    KNOWN = "known", "our own write, or nothing newer than what is known"
    FOREIGN = "foreign", "another client wrote our records: they are verified"
    COMMIT = "commit", "a commit without its changes: the repo is scanned"
    SYNC = "sync", "the repo was replaced: it is scanned"
    ACCOUNT = "account", "the account's status changed: it is probed"
    IDENTITY = "identity", "the account's identity changed: it is probed"
    OUTSIDER = "outsider", "a person without an account here likes or comments: the record is read"
    DROPPED = "dropped", "the same, while too many of these records wait: it is not read, and does not count"
    OUTDATED_CURSOR = "OutdatedCursor", "the host has dropped messages: all its repos are scanned"


class FirehoseError(Exception):
    """The host ended the stream; `error` is the name of the reason."""

    def __init__(self, error: str, message: str = "") -> None:
        super().__init__(f"{error}: {message}")
        self.error = error


@dataclass(frozen=True)
class Commit:
    """What a commit changed: the new CID of each record, or None if it was deleted, by collection and key."""

    rev: str
    writes: Mapping[tuple[str, str], str | None]


@dataclass(frozen=True)
class Message:
    """A message: its kind, as `commit`, and what it says."""

    kind: str
    body: Mapping[str, Any]

    @property
    def place(self) -> dict[str, Any] | None:
        """The place in the stream after it, as columns of the stream's row: the cursor, when it was sent, and how late it came."""
        seq = self.body.get("seq")
        if not isinstance(seq, int):
            return None
        place: dict[str, Any] = {"seq": seq, "heard_at": None, "lag_seconds": 0.0}
        with suppress(ValueError):
            sent_at = datetime.fromisoformat(_text(self.body, "time") or "")
            if sent_at.tzinfo is not None:
                lag = (datetime.now(UTC) - sent_at).total_seconds()
                place |= {"heard_at": sent_at, "lag_seconds": max(0.0, lag)}
        return place

    @property
    def did(self) -> str:
        return _text(self.body, "repo") or _text(self.body, "did") or ""

    @property
    def commit(self) -> Commit | None:
        """What a commit changed; None of another message, or if it does not say all of it: a scan finds that."""
        if self.kind != FirehoseEffect.COMMIT:
            return None
        rev, ops = _text(self.body, "rev"), self.body.get("ops")
        if rev is None or not isinstance(ops, list) or len(ops) > MAX_WRITES or self.body.get("tooBig"):
            return None
        try:
            return Commit(clean(rev, MAX_REVISION_LENGTH), dict(map(_write, ops)))
        except (AttributeError, KeyError, TypeError):
            return None


def message_in(data: bytes) -> Message | None:
    """Parse a frame; None if it is no message, or one of very many values: a scan finds what it says. Raises FirehoseError."""
    try:
        require_few_values(data, max_values=MAX_VALUES)
        header, body = libipld.decode_dag_cbor_multi(data)
    except Exception:  # noqa: BLE001 - an unreadable frame is skipped
        return None
    if not isinstance(header, dict) or not isinstance(body, dict):
        return None
    if header.get("op") != MESSAGE:
        raise FirehoseError(_text(body, "error") or "", _text(body, "message") or "")
    kind = _text(header, "t")
    return Message(kind.removeprefix("#"), body) if kind is not None else None


def _write(op: Any) -> tuple[tuple[str, str], str | None]:
    collection, _, rkey = clean(op["path"]).partition("/")
    cid = op.get("cid")
    return (collection, rkey), cid_text(cid) if cid is not None else None


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None
