"""A fake PDS without logins: every DID that a request names has an account and is signed in."""

import json
import time
from typing import Any

import httpx

from tests.fake_pds.account import Account, Status
from tests.fake_pds.pds import SERVICE, FakePds
from tests.fake_pds.repo import Repo
from tests.fake_pds.xrpc import RefusedError

DELETED = "deleted"


class SignedInPds(FakePds):
    """Has the methods of devpds.server.DevPds that tests of the outbox use."""

    def __init__(self, url: str = "http://pds.test") -> None:
        super().__init__(url, time.time, blob_limit=None)
        self.url = url
        self.lacks: set[str] = set()
        """Methods that this PDS does not implement, as an old one."""
        self._logins: dict[str, str] = {}

    def get_record(self, did: str, collection: str, rkey: str) -> dict[str, Any] | None:
        stored = self.repo(did).records.get((collection, rkey))
        return {"cid": stored.cid, "value": stored.value} if stored is not None else None

    def put_record(self, did: str, collection: str, rkey: str, record: dict[str, Any]) -> None:
        self.repo(did).put((collection, rkey), record)

    def delete_record(self, did: str, collection: str, rkey: str) -> None:
        self.repo(did).delete((collection, rkey))

    def get_blob(self, did: str, cid: str) -> bytes | None:
        """Only what a record names, as in DevPds."""
        blob = self.repo(did).blobs.get(cid)
        return blob.content if blob is not None and not blob.temporary else None

    def let_stand(self, did: str, status: str | None) -> None:
        """Set the account to deactivated, takendown or deleted; None makes it active again."""
        if status == DELETED:
            self.account(did)
            self.delete_account(did)
            return
        if did in self.deleted:
            self.accounts[did] = self.deleted.pop(did)
        self.account(did).status = Status(status) if status is not None else Status.ACTIVE

    def account(self, did: str) -> Account:
        """The account of a DID; made when it is first named."""
        if did not in self.accounts:
            self.create_account(did, f"{did.rsplit(':', 1)[1]}.test", "secret")
        return self.accounts[did]

    def repo(self, did: str) -> Repo:
        return self.deleted[did].repo if did in self.deleted else self.account(did).repo

    def answer(self, request: httpx.Request, content: bytes) -> httpx.Response:
        """Answer with the login of the account in `x-did`, or of the one that the request names."""
        if request.url.path.rsplit(".", 1)[1] in self.lacks:
            return RefusedError(501, "MethodNotImplemented").reply()
        did = request.headers.get("x-did") or named_account(request, content)
        if did is not None and did not in self.deleted:
            self.account(did)
        if did is not None and "authorization" in request.headers:
            request.headers["authorization"] = f"Bearer {self._login(did)}"
        return super().answer(request, content)

    def _login(self, did: str) -> str:
        if did not in self._logins:
            self._logins[did] = self.tokens.session(did, SERVICE)["accessJwt"]
        return self._logins[did]


def named_account(request: httpx.Request, content: bytes) -> str | None:
    fields = dict(request.url.params) or (json.loads(content) if content else {})
    return fields.get("repo") or fields.get("did")
