"""Reads the firehose of a PDS: every commit of its repositories, once and in order."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import libipld
from websockets.sync.client import connect

from devpds.server import DevPds
from outbox.record.dag_cbor import cid_text

MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Write:
    rev: str
    """Of its commit."""
    path: str
    action: str
    cid: str | None
    record: Mapping[str, Any] | None
    """None when it was deleted."""


def writes_of(pds: DevPds, dids: Iterable[str]) -> dict[str, list[Write]]:
    ends = {did: pds.query("com.atproto.sync.getLatestCommit", did=did)["rev"] for did in dids}
    found: dict[str, list[Write]] = defaultdict(list)
    address = f"ws://127.0.0.1:{pds.port}/xrpc/com.atproto.sync.subscribeRepos?cursor=0"
    with connect(address, max_size=MOST_BYTES) as socket:
        while ends:
            header, body = libipld.decode_dag_cbor_multi(bytes(socket.recv(timeout=30)))
            if header.get("t") != "#commit" or (did := body["repo"]) not in ends:
                continue
            _, blocks = libipld.decode_car(body["blocks"])
            for op in body["ops"]:
                cid = op["cid"]
                written = (cid_text(cid), blocks[cid]) if cid else (None, None)
                found[did].append(Write(body["rev"], op["path"], op["action"], *written))
            if body["rev"] == ends[did]:
                del ends[did]
    return found
