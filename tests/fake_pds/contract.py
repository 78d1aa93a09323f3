"""One interface to the fake and to the real PDS, which must behave alike."""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, replace
from typing import Any, Self

import httpx

from devpds.server import DevPds
from tests.fake_pds.account import OWNER, Status
from tests.fake_pds.limits import WRITES_A_DAY, WRITES_AN_HOUR
from tests.fake_pds.pds import FakePds

COLLECTION = "fm.plyr.track"
WITHOUT_LEXICON = "com.example.unknown"


@dataclass(frozen=True)
class Person:
    """An account with the tokens of a session; those of its owner at first."""

    did: str
    handle: str
    password: str
    access: str
    refresh: str
    app_password: str = ""


class ContractHost:
    """What a test of the contract may do to a PDS. `ip` is a caller of this test's own: limits count by it."""

    url: str
    http: httpx.AsyncClient

    def __init__(self) -> None:
        self.ip = ".".join(str(secrets.randbelow(250) + 1) for _ in range(4))

    async def with_app_password(self, person: Person) -> Person:
        password = self.create_app_password(person)
        tokens = (await self.login(person.did, password)).json()
        return replace(
            person, app_password=password, access=tokens["accessJwt"], refresh=tokens["refreshJwt"]
        )

    async def login(self, identifier: str, password: str) -> httpx.Response:
        body = {"identifier": identifier, "password": password}
        return await self.post("com.atproto.server.createSession", json=body)

    async def get(self, nsid: str, *, token: str | None = None, **params: Any) -> httpx.Response:
        return await self._send("GET", nsid, token, {}, params=params)

    async def post(
        self, nsid: str, *, token: str | None = None, headers: dict[str, str] | None = None, **content: Any
    ) -> httpx.Response:
        return await self._send("POST", nsid, token, headers or {}, **content)

    async def put(self, person: Person, rkey: str, record: Any, **fields: Any) -> httpx.Response:
        body = {"repo": person.did, "collection": COLLECTION, "rkey": rkey, "record": record, **fields}
        return await self.post("com.atproto.repo.putRecord", token=person.access, json=body)

    async def delete(self, person: Person, rkey: str, **fields: Any) -> httpx.Response:
        body = {"repo": person.did, "collection": COLLECTION, "rkey": rkey, **fields}
        return await self.post("com.atproto.repo.deleteRecord", token=person.access, json=body)

    async def apply(self, person: Person, *writes: tuple[str, str, Any], **fields: Any) -> httpx.Response:
        """Do these (action, rkey, record) in one request; a delete has no record."""
        body = {
            "repo": person.did,
            "writes": [
                {
                    "$type": f"com.atproto.repo.applyWrites#{action}",
                    "collection": COLLECTION,
                    "rkey": rkey,
                    **({} if record is None else {"value": record}),
                }
                for action, rkey, record in writes
            ],
            **fields,
        }
        return await self.post("com.atproto.repo.applyWrites", token=person.access, json=body)

    async def read(self, person: Person, rkey: str, **params: Any) -> httpx.Response:
        which = {"repo": person.did, "collection": COLLECTION, "rkey": rkey, **params}
        return await self.get("com.atproto.repo.getRecord", **which)

    async def upload(self, person: Person, content: bytes, mime: str = "audio/mpeg") -> httpx.Response:
        headers = {"content-type": mime}
        return await self.post(
            "com.atproto.repo.uploadBlob", token=person.access, headers=headers, content=content
        )

    async def blob(self, person: Person, content: bytes, mime: str = "audio/mpeg") -> dict[str, Any]:
        return dict((await self.upload(person, content, mime)).json()["blob"])

    async def get_blob(self, person: Person, ref: dict[str, Any], **headers: str) -> httpx.Response:
        params = {"did": person.did, "cid": ref["ref"]["$link"]}
        return await self._send("GET", "com.atproto.sync.getBlob", None, headers, params=params)

    async def rev(self, person: Person) -> str:
        return str((await self.get("com.atproto.sync.getLatestCommit", did=person.did)).json()["rev"])

    async def _send(
        self, verb: str, nsid: str, token: str | None, headers: dict[str, str], **request: Any
    ) -> httpx.Response:
        proof = {"authorization": f"Bearer {token}"} if token is not None else {}
        headers = {"x-forwarded-for": self.ip, **proof, **headers}
        return await self.http.request(verb, f"{self.url}/xrpc/{nsid}", headers=headers, **request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()


class FakeContractHost(ContractHost):
    """The fake one; its clock stands still."""

    def __init__(self, *, limited: bool) -> None:
        super().__init__()
        self.url = "https://pds.example.com"
        self.pds = FakePds(self.url, lambda: 1_800_000_000.0, blob_limit=100 * 1024 * 1024)
        self.pds.limits.enabled = limited
        self.http = httpx.AsyncClient(transport=self.pds)

    def person(self) -> Person:
        name, password = secrets.token_hex(6), "secret"
        did, handle = "did:plc:" + name.ljust(24, "a"), f"u{name}.test"
        self.pds.create_account(did, handle, password)
        tokens = self.pds.tokens.session(did, OWNER)
        return Person(did, handle, password, tokens["accessJwt"], tokens["refreshJwt"])

    def create_app_password(self, person: Person) -> str:
        return self.pds.create_app_password(person.did)

    def revoke_app_password(self, person: Person) -> None:
        self.pds.revoke_app_password(person.did)

    def set_status(self, person: Person, status: Status) -> None:
        self.pds.set_status(person.did, status)

    def delete_account(self, person: Person) -> None:
        self.pds.delete_account(person.did)

    def take_down_record(self, person: Person, rkey: str) -> None:
        self.pds.repo(person.did).taken_down.add((COLLECTION, rkey))

    def expired(self, person: Person) -> Person:
        self.pds.tokens.expire(person.did)
        return person

    async def use_points(self, person: Person, points: int) -> None:
        for rule in (WRITES_AN_HOUR, WRITES_A_DAY):
            self.pds.limits.use(rule, person.did, points)


class RealContractHost(ContractHost):
    def __init__(self, pds: DevPds) -> None:
        super().__init__()
        self.pds, self.url = pds, pds.url
        self.http = httpx.AsyncClient(timeout=60)
        self._owners: dict[str, str] = {}

    def person(self) -> Person:
        name, password = f"u{secrets.token_hex(6)}", secrets.token_hex(8)
        body = {"handle": f"{name}.test", "email": f"{name}@example.test", "password": password}
        made = self.pds.procedure("com.atproto.server.createAccount", body)
        self._owners[made["did"]] = made["accessJwt"]
        return Person(made["did"], made["handle"], password, made["accessJwt"], made["refreshJwt"])

    def create_app_password(self, person: Person) -> str:
        return str(self._as_owner(person, "createAppPassword", {"name": "app"})["password"])

    def revoke_app_password(self, person: Person) -> None:
        self._as_owner(person, "revokeAppPassword", {"name": "app"})

    def set_status(self, person: Person, status: Status) -> None:
        if status is Status.TAKENDOWN:
            self._moderate({"$type": "com.atproto.admin.defs#repoRef", "did": person.did})
        elif status is Status.DEACTIVATED:
            self._as_owner(person, "deactivateAccount", {})
        else:
            self._as_owner(person, "activateAccount", None)

    def delete_account(self, person: Person) -> None:
        self.pds.procedure("com.atproto.admin.deleteAccount", {"did": person.did}, by="admin")

    def take_down_record(self, person: Person, rkey: str) -> None:
        uri = f"at://{person.did}/{COLLECTION}/{rkey}"
        found = self.pds.get_record(person.did, COLLECTION, rkey)
        assert found is not None
        self._moderate({"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": found["cid"]})

    def expired(self, person: Person) -> Person:
        """A token signed with the PDS's own key that has expired, since a real one takes two hours."""
        secret = json.loads((self.pds.data / "secrets.json").read_text())["jwtSecret"]
        header, payload, _ = person.access.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        old = _base64(json.dumps({**claims, "exp": claims["iat"] - 1}).encode())
        signature = hmac.new(secret.encode(), f"{header}.{old}".encode(), hashlib.sha256).digest()
        return replace(person, access=f"{header}.{old}.{_base64(signature)}")

    async def use_points(self, person: Person, points: int) -> None:
        """By batches that fail: they cost all the same."""
        while points > 0:
            size = min(200, points)
            write = {"$type": "com.atproto.repo.applyWrites#delete", "collection": COLLECTION, "rkey": "none"}
            body = {"repo": person.did, "writes": [write] * size}
            answer = await self.post("com.atproto.repo.applyWrites", token=person.access, json=body)
            assert answer.status_code == 500
            points -= size

    def _as_owner(self, person: Person, name: str, body: dict[str, Any] | None) -> dict[str, Any]:
        answer = httpx.post(
            f"{self.url}/xrpc/com.atproto.server.{name}",
            json=body,
            headers={"authorization": f"Bearer {self._owners[person.did]}", "x-forwarded-for": self.ip},
        )
        answer.raise_for_status()
        return dict(answer.json()) if answer.content else {}

    def _moderate(self, subject: dict[str, str]) -> None:
        body = {"subject": subject, "takedown": {"applied": True, "ref": "test"}}
        self.pds.procedure("com.atproto.admin.updateSubjectStatus", body, by="admin")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def song(title="one", **fields):
    return {"$type": COLLECTION, "title": title, **fields}


def error(answer):
    return answer.status_code, answer.json()["error"]
