"""The only place that speaks repo XRPC (https://docs.bsky.app/docs/api, facts measured against @atproto/pds)."""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from outbox.dag_cbor import Record
from outbox.ports import BodyFactory, Sessions, SessionUnavailableError, SignInRequiredError
from outbox.verdict import Kind, Verdict, verdict_of_exception, verdict_of_reply

PUT_RECORD: Final = "com.atproto.repo.putRecord"
DELETE_RECORD: Final = "com.atproto.repo.deleteRecord"
GET_RECORD: Final = "com.atproto.repo.getRecord"
UPLOAD_BLOB: Final = "com.atproto.repo.uploadBlob"
DESCRIBE_SERVER: Final = "com.atproto.server.describeServer"
READ_TIMEOUT: Final = 15.0
BAD_REQUEST: Final = 400


@dataclass(frozen=True)
class RecordKey:
    """Where a record lives."""

    did: str
    collection: str
    rkey: str

    @property
    def uri(self) -> str:
        """Give the AT-URI."""
        return f"at://{self.did}/{self.collection}/{self.rkey}"


@dataclass(frozen=True)
class Remote:
    """A record as the PDS has it; both None when it is absent."""

    cid: str | None
    body: Record | None


class RemoteUnknownError(Exception):
    """The PDS did not say what it holds."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"{verdict.error}: {verdict.message}")
        self.verdict = verdict


class Pds:
    """Writes in the name of an account, reads without any."""

    def __init__(self, sessions: Sessions, http: httpx.AsyncClient) -> None:
        self._sessions = sessions
        self._http = http

    async def put(self, key: RecordKey, record: Record, *, swap: str | None, timeout: float) -> Verdict:
        """Write the record if the PDS still holds `swap`; None means that it must hold nothing."""
        body = {**_repo(key), "record": record, "validate": False, "swapRecord": swap}
        return await self._send(key.did, PUT_RECORD, timeout, json=body)

    async def delete(self, key: RecordKey, *, swap: str | None, timeout: float) -> Verdict:
        """Delete the record if the PDS still holds `swap`; an absent record is done."""
        body = _repo(key) if swap is None else {**_repo(key), "swapRecord": swap}
        return await self._send(key.did, DELETE_RECORD, timeout, json=body)

    async def upload(self, did: str, body: BodyFactory, *, size: int, mime: str, timeout: float) -> Verdict:
        """Upload a blob; `size` is sent, since a chunked body over the limit hangs the next request."""
        headers = {"content-type": mime, "content-length": str(size)}
        return await self._send(did, UPLOAD_BLOB, timeout, body=body, headers=headers)

    async def get(self, host: str, key: RecordKey) -> Remote:
        """Read the record, without a login; raises RemoteUnknownError when the PDS does not tell."""
        try:
            reply = await self._http.get(f"{host}/xrpc/{GET_RECORD}", params=_repo(key), timeout=READ_TIMEOUT)
        except httpx.HTTPError as error:
            raise RemoteUnknownError(verdict_of_exception(error)) from error
        verdict = verdict_of_reply(reply)
        if verdict.kind is Kind.DONE and isinstance(verdict.body, dict) and "value" in verdict.body:
            return Remote(verdict.body.get("cid"), verdict.body["value"])
        if verdict.error == "RecordNotFound":
            return Remote(None, None)
        raise RemoteUnknownError(verdict)

    async def blob_limit(self, host: str) -> int | None:
        """Give the largest blob in bytes that the host takes, when it says."""
        try:
            reply = await self._http.get(f"{host}/xrpc/{DESCRIBE_SERVER}", timeout=READ_TIMEOUT)
        except httpx.HTTPError:
            return None
        body = verdict_of_reply(reply).body
        limit = body.get("blobUploadLimit") if isinstance(body, dict) else None
        return limit if isinstance(limit, int) else None

    async def _send(self, did: str, nsid: str, timeout: float, **request: Any) -> Verdict:
        try:
            reply = await self._sessions.request(did, "POST", nsid, timeout=timeout, **request)
        except SignInRequiredError:
            return Verdict(Kind.SIGN_IN, error="sign_in_required")
        except SessionUnavailableError as error:
            return Verdict(Kind.NOT_SENT, error="session_unavailable", message=str(error)[:300])
        except httpx.HTTPError as error:
            return verdict_of_exception(error)
        return verdict_of_reply(reply)


def _repo(key: RecordKey) -> Record:
    return {"repo": key.did, "collection": key.collection, "rkey": key.rkey}
