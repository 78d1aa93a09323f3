"""The only client of repo XRPC (https://docs.bsky.app/docs/api).

The behaviour of PDSes was measured against @atproto/pds 0.4.217 and 0.5.35.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

import httpx

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from eventstore.untrusted import clean, read_within
from outbox.pds.verdict import (
    LOGIN_UNUSABLE,
    MAX_MESSAGE_LENGTH,
    OK,
    REPLY_TOO_LARGE,
    SESSION_UNAVAILABLE,
    SIGN_IN_REQUIRED,
    UNREADABLE,
    Kind,
    Phase,
    Verdict,
    budget_of,
    out_of_time,
    verdict_of,
    verdict_of_exception,
    verdict_of_reply,
)
from outbox.ports import BodyFactory, Sessions
from outbox.record.dag_cbor import Record, cid_bytes, is_record_cid

PUT_RECORD: Final = "com.atproto.repo.putRecord"
DELETE_RECORD: Final = "com.atproto.repo.deleteRecord"
APPLY_WRITES: Final = "com.atproto.repo.applyWrites"
GET_RECORD: Final = "com.atproto.repo.getRecord"
UPLOAD_BLOB: Final = "com.atproto.repo.uploadBlob"
DESCRIBE_SERVER: Final = "com.atproto.server.describeServer"
GET_REPO_STATUS: Final = "com.atproto.sync.getRepoStatus"
GET_LATEST_COMMIT: Final = "com.atproto.sync.getLatestCommit"
GET_PROOF: Final = "com.atproto.sync.getRecord"
LIST_RECORDS: Final = "com.atproto.repo.listRecords"
LIST_BLOBS: Final = "com.atproto.sync.listBlobs"
REPO_NOT_FOUND: Final = "RepoNotFound"
READ_TIMEOUT_SECONDS: Final = 15.0
WRITE_TIMEOUT_SECONDS: Final = 30.0
MAX_RECORD_BYTES: Final = 2 * 2**20
"""@atproto/pds 0.5.35 takes records of 1,000,000 bytes; in an answer, escapes can make them longer."""
MAX_REPLY_BYTES: Final = {
    GET_RECORD: MAX_RECORD_BYTES,
    GET_PROOF: 2 * MAX_RECORD_BYTES,
    LIST_RECORDS: 4 * MAX_RECORD_BYTES,
    LIST_BLOBS: 256 * 1024,  # 1000 CIDs
    DESCRIBE_SERVER: 64 * 1024,
    GET_REPO_STATUS: 16 * 1024,
    GET_LATEST_COMMIT: 16 * 1024,
}
"""By method, of an answer without a login; identity limits those with one. The rest of a longer answer is left unread."""
MAX_ERROR_BYTES: Final = 16 * 1024
"""Of the body of an error: without it, the status and the headers are judged."""


@dataclass(frozen=True)
class RecordKey:
    did: str
    collection: str
    rkey: str

    @classmethod
    def of_uri(cls, uri: str) -> "RecordKey":
        return cls(*uri.removeprefix("at://").split("/"))

    @property
    def uri(self) -> str:
        return f"at://{self.did}/{self.place}"

    @property
    def place(self) -> str:
        return f"{self.collection}/{self.rkey}"


@dataclass(frozen=True)
class Remote:
    """A record as the PDS has it; both None when it is absent."""

    cid: str | None
    body: Record | None


class AccountStatus(Enum):
    ACTIVE = "active"
    INACTIVE = "deactivated, suspended or taken down"
    ABSENT = "not there"
    UNKNOWN = "no host or directory says"
    MOVED = "at another host, as its directory says"


class RemoteUnknownError(Exception):
    """The PDS did not say what it holds."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"{verdict.error}: {verdict.message}")
        self.verdict = verdict


class Pds:
    """Writes with an account's login, reads without a login."""

    def __init__(self, sessions: Sessions, http: httpx.AsyncClient) -> None:
        self._sessions = sessions
        self._http = http

    async def put(
        self, host: str, key: RecordKey, record: Record, *, swap: str | None, timeout: float
    ) -> Verdict:
        """Write the record if the PDS still holds `swap`; None means that it must hold nothing."""
        body = {**_repo(key), "record": record, "validate": False, "swapRecord": swap}
        verdict = await self._send(key.did, PUT_RECORD, timeout, host=host, json=body)
        if verdict.kind is Kind.DONE and not is_record_cid(verdict.cid):
            return replace(verdict, kind=Kind.AMBIGUOUS, error=UNREADABLE)
        return verdict

    async def delete(self, host: str, key: RecordKey, *, swap: str | None, timeout: float) -> Verdict:
        """Delete the record if the PDS still holds `swap`; an absent record is done."""
        body = _repo(key) if swap is None else {**_repo(key), "swapRecord": swap}
        return await self._send(key.did, DELETE_RECORD, timeout, host=host, json=body)

    async def apply(
        self, host: str, did: str, writes: Sequence[Record], *, swap_commit: str, timeout: float
    ) -> Verdict:
        """Do all these writes of one account, or none, if the repo's newest commit is still `swap_commit`.

        A create of a record that exists, or an update of one that does not, is a 500, which does none either.
        """
        body = {"repo": did, "validate": False, "swapCommit": swap_commit, "writes": [*writes]}
        return await self._send(did, APPLY_WRITES, timeout, host=host, json=body)

    async def newest_commit(self, host: str, did: str, *, timeout: float) -> Verdict:
        return await self.read(host, GET_LATEST_COMMIT, timeout, {"did": did})

    async def upload(
        self, host: str, did: str, body: BodyFactory, *, size: int, mime: str, timeout: float
    ) -> Verdict:
        """Upload a blob; `size` is sent, since a chunked body over the limit hangs the next request."""
        headers = {"content-type": mime, "content-length": str(size)}
        return await self._send(did, UPLOAD_BLOB, timeout, host=host, body=body, headers=headers)

    async def get(self, host: str, key: RecordKey, *, timeout: float = READ_TIMEOUT_SECONDS) -> Remote:
        """Read the record, without a login; raises RemoteUnknownError when the PDS does not say what it holds."""
        return remote_of(await self.read_record(host, key, timeout=timeout))

    async def read_record(self, host: str, key: RecordKey, *, timeout: float) -> Verdict:
        """Read the record and return the whole verdict; `remote_of` extracts the record."""
        return await self.read(host, GET_RECORD, timeout, _repo(key))

    async def proof_of(self, host: str, key: RecordKey, *, timeout: float) -> Verdict:
        """Read the part of the repo that says which version of the record it has, as CAR; `is_proven_absent` judges it."""
        params = {"did": key.did, "collection": key.collection, "rkey": key.rkey}
        return await self.read(host, GET_PROOF, timeout, params)

    async def blob_limit(self, host: str) -> int | None:
        """Return the largest blob in bytes that the host takes, if it says."""
        body = (await self.read(host, DESCRIBE_SERVER, READ_TIMEOUT_SECONDS)).body
        limit = body.get("blobUploadLimit") if isinstance(body, dict) else None
        return limit if isinstance(limit, int) and limit > 0 else None

    async def account_status(self, host: str, did: str) -> AccountStatus:
        """Read, without a login, whether the account is active there."""
        status = await self.read(host, GET_REPO_STATUS, READ_TIMEOUT_SECONDS, {"did": did})
        match status.body:
            case {"active": bool(active)} if status.kind is Kind.DONE:
                return AccountStatus.ACTIVE if active else AccountStatus.INACTIVE
        return AccountStatus.ABSENT if status.error == REPO_NOT_FOUND else AccountStatus.UNKNOWN

    async def read(
        self, host: str, nsid: str, timeout: float, params: dict[str, str] | None = None
    ) -> Verdict:
        """Read from a server that we did not choose, without a login, within time and size limits.

        The body of a page of records, or of a proof, is returned as it came: a small text can make many objects.
        """
        if timeout <= 0:
            return out_of_time(Phase.READ)
        try:
            async with (
                asyncio.timeout(timeout),
                self._http.stream(
                    "GET", f"{host}/xrpc/{nsid}", params=params, timeout=timeout, follow_redirects=False
                ) as reply,
            ):
                return await _verdict_of(reply, nsid)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return verdict_of_exception(error, Phase.READ)

    async def _send(self, did: str, nsid: str, timeout: float, **request: Any) -> Verdict:
        phase = Phase.UPLOAD if nsid == UPLOAD_BLOB else Phase.WRITE
        if timeout <= 0:
            return out_of_time(phase)
        try:
            async with asyncio.timeout(timeout):  # httpx bounds each wait, not their sum
                reply = await self._sessions.request(did, "POST", nsid, timeout=timeout, **request)
        except SignInRequiredError:
            return Verdict(Kind.SIGN_IN, error=SIGN_IN_REQUIRED, phase=phase)
        except SessionUnavailableError as error:
            name = SESSION_UNAVAILABLE if error.was_sent else LOGIN_UNUSABLE
            return Verdict(Kind.NOT_SENT, error=name, message=clean(error, MAX_MESSAGE_LENGTH), phase=phase)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return verdict_of_exception(error, phase)
        return verdict_of_reply(reply, phase)


def remote_of(verdict: Verdict) -> Remote:
    """Return the record in a response; raises RemoteUnknownError when it does not say what the PDS holds."""
    match verdict.body:
        case {"cid": str(cid), "value": dict(value)} if verdict.kind is Kind.DONE and is_record_cid(cid):
            return Remote(cid, value)
    if verdict.error == "RecordNotFound":
        return Remote(None, None)
    if verdict.kind is Kind.DONE:
        verdict = replace(verdict, kind=Kind.AMBIGUOUS, error=UNREADABLE)
    raise RemoteUnknownError(verdict)


def is_proven_absent(key: RecordKey, cid: str, proof: Verdict) -> bool:
    """Return whether the repo itself lacks this version of the record; a takedown only hides one. False if the PDS does not say."""
    if proof.kind is not Kind.DONE or not isinstance(proof.body, bytes):
        return False
    is_of_repo = key.did.encode() in proof.body  # its commit names the account
    return is_of_repo and cid_bytes(cid) not in proof.body


async def _verdict_of(reply: httpx.Response, nsid: str) -> Verdict:
    is_success = reply.status_code == OK
    limit = MAX_REPLY_BYTES.get(nsid, MAX_ERROR_BYTES) if is_success else MAX_ERROR_BYTES
    content = await read_within(limit, reply.aiter_bytes(), reply.headers.get("content-length", ""))
    budget = budget_of(reply.headers)
    if content is None and is_success:
        message = f"more than {limit} bytes"
        return Verdict(
            Kind.AMBIGUOUS, REPLY_TOO_LARGE, OK, message, phase=Phase.READ, budget=budget, size=limit
        )
    if content is not None and is_success and nsid in {LIST_RECORDS, GET_PROOF}:
        return Verdict(Kind.DONE, status=OK, body=content, phase=Phase.READ, budget=budget, size=len(content))
    return verdict_of(reply.status_code, reply.headers, content or b"", Phase.READ)


def write_of(key: RecordKey, record: Record, *, creates: bool) -> Record:
    """Return the write of a batch that creates this record, or replaces it."""
    action = "create" if creates else "update"
    return {
        "$type": f"{APPLY_WRITES}#{action}",
        "collection": key.collection,
        "rkey": key.rkey,
        "value": record,
    }


def _repo(key: RecordKey) -> Record:
    return {"repo": key.did, "collection": key.collection, "rkey": key.rkey}
