"""One repository: records under their swaps, rising revisions, and blobs that live as long as a record names them."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from aggregates.values import tid_of
from outbox.record.dag_cbor import record_cid
from tests.fake_pds.values import as_stored, blobs_in
from tests.fake_pds.xrpc import RefusedError, broken

Key = tuple[str, str]
ANY = object()
"""No swapRecord was sent: whatever is there is overwritten."""


@dataclass(frozen=True)
class Commit:
    """One change. `client` is the name of the app password that made it, or "elsewhere"."""

    rev: str
    cid: str
    at: float
    action: str
    key: Key
    record_cid: str | None
    value: dict[str, Any] | None
    client: str

    @property
    def reply(self) -> dict[str, str]:
        return {"cid": self.cid, "rev": self.rev}


@dataclass(frozen=True)
class Stored:
    cid: str
    value: dict[str, Any]


@dataclass
class Blob:
    """Bytes; temporary until a record names them."""

    content: bytes
    mime: str
    temporary: bool = True

    def ref(self, cid: str) -> dict[str, Any]:
        return {"$type": "blob", "ref": {"$link": cid}, "mimeType": self.mime, "size": len(self.content)}


@dataclass
class Repo:
    """The records and blobs of one account; moves with it from host to host."""

    did: str
    clock: Callable[[], float]
    records: dict[Key, Stored] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    taken_down: set[Key] = field(default_factory=set)
    _micros: int = 0

    def __post_init__(self) -> None:
        self._commit("init", ("", ""), None, "elsewhere")

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def put(
        self,
        key: Key,
        record: Any,
        *,
        swap: Any = ANY,
        client: str = "elsewhere",
    ) -> tuple[str, Commit | None]:
        """Write; no commit when it is there already, whatever the swap says."""
        value, cid = as_stored(record, key[0])
        blobs = list(blobs_in(value))
        current = self.records.get(key)
        if current is not None and current.cid == cid:
            return cid, None
        _check_swap(current, swap)
        self._check_blobs(blobs)
        for blob in blobs:
            self.blobs[blob["ref"]["$link"]].temporary = False
        self.records[key] = Stored(cid, value)
        if current is not None:
            self._drop_blobs_of(current)
        return cid, self._commit("create" if current is None else "update", key, self.records[key], client)

    def delete(self, key: Key, *, swap: str | None = None, client: str = "elsewhere") -> Commit | None:
        """Delete; what is absent is fine, whatever the swap says."""
        current = self.records.get(key)
        if current is None:
            return None
        _check_swap(current, ANY if swap is None else swap)
        del self.records[key]
        self._drop_blobs_of(current)
        return self._commit("delete", key, None, client)

    def apply(
        self, writes: Sequence[tuple[str, Key, Any]], *, swap_commit: str | None, client: str
    ) -> tuple[list[str | None], Commit]:
        """Do all of these (action, key, record) in one commit, or none of them; gives the CIDs of the records."""
        if swap_commit is not None and swap_commit != self.head.cid:
            raise RefusedError(400, "InvalidSwap", f"Commit was at {self.head.cid}")
        before = dict(self.records), deepcopy(self.blobs)
        written: list[tuple[str, Key, Stored | None]] = []
        try:
            for action, key, record in writes:
                written.append((action, key, self._apply_one(action, key, record)))
        except RefusedError:
            self.records, self.blobs = before
            raise
        head = self._commit("apply", ("", ""), None, client)
        self.commits[-1:] = [
            replace(
                head, action=action, key=key, record_cid=stored and stored.cid, value=stored and stored.value
            )
            for action, key, stored in written
        ] or [head]
        return [stored and stored.cid for _, _, stored in written], head

    def _apply_one(self, action: str, key: Key, record: Any) -> Stored | None:
        current = self.records.get(key)
        if (current is None) != (action == "create"):
            raise broken()
        stored = None
        if action != "delete":
            stored = Stored(*reversed(as_stored(record, key[0])))
            refs = list(blobs_in(stored.value))
            self._check_blobs(refs)
            for ref in refs:
                self.blobs[ref["ref"]["$link"]].temporary = False
            self.records[key] = stored
        else:
            del self.records[key]
        if current is not None:
            self._drop_blobs_of(current)
        return stored

    def upload(self, cid: str, content: bytes, mime: str) -> dict[str, Any]:
        """Keep bytes; those that a record names already stay what they are."""
        self.blobs.setdefault(cid, Blob(content, mime))
        return Blob(content, mime).ref(cid)

    def visible(self, key: Key) -> Stored | None:
        return None if key in self.taken_down else self.records.get(key)

    def _check_blobs(self, blobs: list[dict[str, Any]]) -> None:
        for ref in blobs:
            cid = ref["ref"]["$link"]
            blob = self.blobs.get(cid)
            if blob is None:
                raise RefusedError(400, "BlobNotFound", f"Could not find blob: {cid}")
            if blob.temporary and ref["mimeType"] != blob.mime:
                raise RefusedError(400, "InvalidMimeType", "Referenced Mimetype does not match stored blob")
            if blob.temporary and ref["size"] != len(blob.content):
                raise RefusedError(400, "InvalidSize", "Referenced Size does not match stored blob")

    def _drop_blobs_of(self, old: Stored) -> None:
        named = {ref["ref"]["$link"] for stored in self.records.values() for ref in blobs_in(stored.value)}
        for ref in blobs_in(old.value):
            if ref["ref"]["$link"] not in named:
                self.blobs.pop(ref["ref"]["$link"], None)

    def _commit(self, action: str, key: Key, stored: Stored | None, client: str) -> Commit:
        self._micros = max(self._micros + 1, round(self.clock() * 1_000_000))
        rev = tid_of(
            datetime.fromtimestamp(self._micros // 1_000_000, UTC).replace(
                microsecond=self._micros % 1_000_000
            )
        )
        found = (stored.cid, stored.value) if stored is not None else (None, None)
        commit = Commit(
            rev, record_cid({"did": self.did, "rev": rev}), self.clock(), action, key, *found, client
        )
        self.commits.append(commit)
        return commit


def _check_swap(current: Stored | None, swap: Any) -> None:
    found = current.cid if current is not None else None
    if swap is not ANY and swap != found:
        raise RefusedError(400, "InvalidSwap", f"Record was at {found or 'null'}")
