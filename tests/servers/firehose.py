"""What a PDS tells the network: every commit of its repositories, each once and in order."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from atproto import models, parse_subscribe_repos_message
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


def writes_of(pds: DevPds, dids: Iterable[str]) -> dict[str, list[Write]]:
    """Give all writes to these repositories from their beginning to now."""
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
            found[message.repo] += [
                Write(op.path, op.action, str(op.cid) if op.cid is not None else None) for op in message.ops
            ]
            if message.rev == ends[message.repo]:
                del ends[message.repo]
    return found
