"""A PDS in memory, as an httpx transport: what the relay meets of the real one, without its process.

test_memory_pds.py holds it to the real one.
"""

import hashlib
import json
from base64 import b32encode
from dataclasses import dataclass, field
from typing import Any

import httpx

from outbox.dag_cbor import record_cid

Key = tuple[str, str, str]


class XrpcError(Exception):
    """The PDS says no."""

    def __init__(self, error: str, message: str = "", status: int = 400) -> None:
        super().__init__(error)
        self.reply = httpx.Response(status, json={"error": error, "message": message})


@dataclass
class MemoryPds:
    """Records and blobs of any account."""

    url: str = "http://pds.test"
    records: dict[Key, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    uploaded: dict[tuple[str, str], bytes] = field(default_factory=dict)
    commits: int = 0
    blob_limit: int | None = None
    statuses: dict[str, str] = field(default_factory=dict)
    """Of the accounts that are not active: deactivated, takendown or deleted."""
    lacks: set[str] = field(default_factory=set)
    """Methods that this PDS is too old to know."""

    def transport(self) -> httpx.MockTransport:
        """What an httpx client speaks to."""
        return httpx.MockTransport(self._answer)

    def get_record(self, did: str, collection: str, rkey: str) -> dict[str, Any] | None:
        """As devpds has it."""
        value = self.records.get((did, collection, rkey))
        return {"cid": record_cid(value), "value": value} if value is not None else None

    def put_record(self, did: str, collection: str, rkey: str, record: dict[str, Any]) -> None:
        """As another client would."""
        self._keep((did, collection, rkey), record)

    def delete_record(self, did: str, collection: str, rkey: str) -> None:
        """As another client would."""
        self._keep((did, collection, rkey), None)

    def get_blob(self, did: str, cid: str) -> bytes | None:
        """As devpds has it: only what a record names."""
        return self.blobs.get((did, cid))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        nsid = request.url.path.rsplit(".", 1)[1]
        try:
            self._require_known(nsid)
            if nsid == "uploadBlob":
                return httpx.Response(200, json=self._upload(request))
            body = dict(request.url.params) if request.method == "GET" else json.loads(request.content)
            return httpx.Response(200, json=getattr(self, f"_{nsid}")(body))
        except XrpcError as error:
            return error.reply

    def _putRecord(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        key, record = _key(body), body["record"]
        self._require_active(body["repo"])
        if self.records.get(key) != record:
            self._swap(key, body)
            self._keep(key, record)
            return {"cid": record_cid(record), "uri": "at://", "commit": {"rev": f"rev{self.commits}"}}
        return {"cid": record_cid(record), "uri": "at://"}

    def _deleteRecord(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        key = _key(body)
        self._require_active(body["repo"])
        if key not in self.records:
            return {}
        self._swap(key, body)
        self._keep(key, None)
        return {"commit": {"rev": f"rev{self.commits}"}}

    def _getRecord(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if body["repo"] in self.statuses:
            raise XrpcError("InvalidRequest", "Could not locate record")
        record = self.get_record(*_key(body))
        if record is None:
            raise XrpcError("RecordNotFound")
        return {"uri": "at://", **record}

    def _getRepoStatus(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        status = self.statuses.get(body["did"])
        if status == "deleted":
            raise XrpcError("RepoNotFound")
        return {
            "did": body["did"],
            "active": status is None,
            **({} if status is None else {"status": status}),
        }

    def _getLatestCommit(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if body["did"] in self.statuses:
            raise XrpcError(_OF_READS[self.statuses[body["did"]]])
        return {"cid": "bafyrei", "rev": f"rev{self.commits}"}

    def _require_known(self, nsid: str) -> None:
        if nsid in self.lacks:
            raise XrpcError("MethodNotImplemented", status=501)

    def _require_active(self, did: str, *, upload: bool = False) -> None:
        status = self.statuses.get(did)
        if status is not None and not (upload and status == "deactivated"):
            error = _OF_WRITES[status]
            raise XrpcError(error, status=403 if error == "AccountNotFound" else 401)

    def _describeServer(self, _body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {} if self.blob_limit is None else {"blobUploadLimit": self.blob_limit}

    def _upload(self, request: httpx.Request) -> dict[str, Any]:
        data, did = request.content, request.headers["x-did"]
        self._require_active(did, upload=True)
        cid = "b" + b32encode(b"\x01\x55\x12\x20" + hashlib.sha256(data).digest()).decode().lower().rstrip(
            "="
        )
        self.uploaded[did, cid] = data
        mime = request.headers["content-type"]
        return {"blob": {"$type": "blob", "ref": {"$link": cid}, "mimeType": mime, "size": len(data)}}

    def _swap(self, key: Key, body: dict[str, Any]) -> None:
        held = self.get_record(*key)
        cid = held["cid"] if held is not None else None
        if "swapRecord" in body and body["swapRecord"] != cid:
            raise XrpcError("InvalidSwap", f"Record was at {cid}")

    def _keep(self, key: Key, record: dict[str, Any] | None) -> None:
        """Keep it, and of the account's blobs those that records name."""
        did = key[0]
        named = [
            _blob_cid(value) for other, value in self.records.items() if other[0] == did and other != key
        ]
        wanted = _blob_cid(record)
        known = {**self.uploaded, **self.blobs}
        if wanted is not None and (did, wanted) not in known:
            raise XrpcError("BlobNotFound")
        self.commits += 1
        if record is None:
            self.records.pop(key, None)
        else:
            self.records[key] = record
        kept = {(did, cid) for cid in (*named, wanted)}
        others = {at: data for at, data in self.blobs.items() if at[0] != did}
        self.blobs = others | {at: data for at, data in known.items() if at in kept}
        if wanted is not None:
            self.uploaded.pop((did, wanted), None)


_OF_WRITES = {
    "deactivated": "AccountDeactivated",
    "takendown": "AccountTakedown",
    "deleted": "AccountNotFound",
}
_OF_READS = {"deactivated": "RepoDeactivated", "takendown": "RepoTakendown", "deleted": "RepoNotFound"}


def _key(body: dict[str, Any]) -> Key:
    return body["repo"], body["collection"], body["rkey"]


def _blob_cid(record: dict[str, Any] | None) -> str | None:
    blob = (record or {}).get("audioBlob")
    return blob["ref"]["$link"] if blob is not None else None
