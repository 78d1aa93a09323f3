"""Reads the firehose of a PDS: every commit of its repositories, once and in order."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atproto import CAR, models, parse_subscribe_repos_message
from atproto_subscription.frames import Frame
from websockets.sync.client import connect

from devpds.server import DevPds

MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Write:
    """One record written or deleted by a commit."""

    path: str
    action: str
    cid: str | None
    record: Mapping[str, Any] | None
    """None when it was deleted."""


def writes_of(pds: DevPds, dids: Iterable[str]) -> dict[str, list[Write]]:
    """Return all writes to these repositories so far."""
    ends = {did: pds.query("com.atproto.sync.getLatestCommit", did=did)["rev"] for did in dids}
    found: dict[str, list[Write]] = defaultdict(list)
    address = f"ws://127.0.0.1:{pds.port}/xrpc/com.atproto.sync.subscribeRepos?cursor=0"
    with connect(address, max_size=MOST_BYTES) as socket:
        while ends:
            frame = Frame.from_bytes(bytes(socket.recv(timeout=30)))
            message = parse_subscribe_repos_message(frame)
            if (
                not isinstance(message, models.ComAtprotoSyncSubscribeRepos.Commit)
                or message.repo not in ends
            ):
                continue
            found[message.repo] += _writes(message)
            if message.rev == ends[message.repo]:
                del ends[message.repo]
    return found


def _writes(commit: models.ComAtprotoSyncSubscribeRepos.Commit) -> list[Write]:
    blocks = CAR.from_bytes(bytes(commit.blocks)).blocks
    return [
        Write(op.path, op.action, str(op.cid) if op.cid else None, blocks[op.cid] if op.cid else None)
        for op in commit.ops
    ]
