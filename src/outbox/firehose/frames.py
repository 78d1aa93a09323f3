"""Messages of a host's firehose (com.atproto.sync.subscribeRepos), as far as we use them.

The SDK parses frames and is imported with the first one, since that takes as long as all other imports of a process. The
connection is our own and goes only to a checked address.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect

from eventstore.foreign_text import clean
from outbox.firehose.connection import BoundedConnection
from outbox.ports import Addresses
from outbox.record.foreign_cbor import require_few_values

if TYPE_CHECKING:
    from atproto_subscription.frames import MessageFrame

SUBSCRIBE_REPOS: Final = "com.atproto.sync.subscribeRepos"
MAX_MESSAGE_BYTES: Final = 5 * 1024 * 1024
"""The protocol's limit."""
MAX_QUEUED_FRAMES: Final = 4
"""Of one stream: those of a hostile host have MAX_MESSAGE_BYTES each, and are read without a pause in between."""
OPEN_TIMEOUT_SECONDS: Final = 15.0
COMMIT, SYNC, ACCOUNT, IDENTITY, INFO = "#commit", "#sync", "#account", "#identity", "#info"
MAX_REVISION_LENGTH: Final = 100
"""Of a revision, which has 13 characters: it is stored."""
OUTDATED_CURSOR: Final = "OutdatedCursor"
FUTURE_CURSOR: Final = "FutureCursor"


class FirehoseError(Exception):
    """The host ended the stream; `error` is the name of the reason."""

    def __init__(self, error: str, message: str | None) -> None:
        super().__init__(f"{error}: {message or ''}")
        self.error = error


@dataclass(frozen=True)
class Write:
    """A record that a commit wrote; its CID is None if the commit deleted it."""

    collection: str
    rkey: str
    cid: str | None


@dataclass(frozen=True)
class Commit:
    """What a commit changed."""

    rev: str
    writes: tuple[Write, ...]


@dataclass(frozen=True)
class Message:
    """A message: its kind, its sequence number, the account that it is about, and the time that it names."""

    kind: str
    seq: int | None
    did: str | None
    sent_at: datetime | None
    frame: "MessageFrame"

    @property
    def name(self) -> str | None:
        """The name of an #info message."""
        return _text(self.frame.body, "name")

    @property
    def commit(self) -> Commit | None:
        """What a #commit changed; None if the message does not say all of it."""
        from atproto import models, parse_subscribe_repos_message  # noqa: PLC0415

        try:
            message = parse_subscribe_repos_message(self.frame)
        except Exception:  # noqa: BLE001 - a scan finds what an unreadable commit changed
            return None
        if not isinstance(message, models.ComAtprotoSyncSubscribeRepos.Commit) or message.too_big:
            return None
        return Commit(clean(message.rev, MAX_REVISION_LENGTH), tuple(_write(op) for op in message.ops))


class Stream:
    """An open connection to a host."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def next(self, seconds: float) -> Message | None:
        """Return the next message; None on a timeout. Raises FirehoseError, and what sockets raise."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(0)  # messages that are here already are received without a pause
                data = await self._socket.recv(decode=False)
        except TimeoutError:
            return None
        return message_in(data)


@asynccontextmanager
async def subscribed(host: str, cursor: int | None, addresses: Addresses) -> AsyncGenerator[Stream]:
    """Subscribe to a host from after `cursor`; without one, from the newest message."""
    query = f"?{urlencode({'cursor': cursor})}" if cursor is not None else ""
    async with connect(
        f"{host.replace('http', 'ws', 1)}/xrpc/{SUBSCRIBE_REPOS}{query}",
        host=await addresses.of(host),  # with a fixed address, a redirect cannot lead elsewhere
        proxy=None,
        compression=None,  # a few bytes could expand to many before the size check
        open_timeout=OPEN_TIMEOUT_SECONDS,
        close_timeout=1,
        max_size=MAX_MESSAGE_BYTES,
        max_queue=MAX_QUEUED_FRAMES,
        user_agent_header="mastertape",
        create_connection=BoundedConnection,
    ) as socket:
        yield Stream(socket)


def message_in(data: bytes) -> Message | None:
    """Parse a frame; None if it is no message, or one of very many values. Raises FirehoseError."""
    from atproto_subscription.frames import ErrorFrame, Frame, MessageFrame  # noqa: PLC0415

    try:
        require_few_values(data)
        frame = Frame.from_bytes(data)
    except Exception:  # noqa: BLE001 - an unreadable frame is skipped: a scan finds what it says
        return None
    if isinstance(frame, ErrorFrame):
        raise FirehoseError(frame.body.error, frame.body.message)
    body: Any = frame.body
    if not isinstance(frame, MessageFrame) or not isinstance(body, dict) or frame.type is None:
        return None
    seq = body.get("seq")
    return Message(
        frame.type,
        seq if isinstance(seq, int) else None,
        _text(body, "repo") or _text(body, "did"),
        _time(_text(body, "time")),
        frame,
    )


def _write(op: Any) -> Write:
    collection, _, rkey = op.path.partition("/")
    return Write(collection, rkey, str(op.cid) if op.cid is not None else None)


def _text(body: Any, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) else None


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
