"""The PDS in memory answers as the real one does."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from devpds.server import DevPds
from outbox.dag_cbor import record_cid
from tests.dsl import COLLECTION
from tests.outbox.memory_pds import MemoryPds
from tests.outbox.rig import audio_of
from tests.servers.atproto import PdsAccount

pytestmark = pytest.mark.pds
RKEY = "3kaaaaaaaaa2a"
DATA = b"audio" * 100


class Client:
    """One account at one PDS."""

    def __init__(self, http: httpx.Client, url: str, did: str, token: str) -> None:
        self._http, self._url, self.did = http, url, did
        self._headers = {"authorization": f"Bearer {token}", "x-did": did}

    def write(self, method: str, **body: Any) -> tuple[int, dict[str, Any]]:
        body = {"repo": self.did, "collection": COLLECTION, "rkey": RKEY, **body}
        return self._send(f"com.atproto.repo.{method}", json=body)

    def put(self, record: dict[str, Any], **body: Any) -> tuple[int, dict[str, Any]]:
        return self.write("putRecord", record={"$type": COLLECTION, **record}, validate=False, **body)

    def upload(self, data: bytes) -> tuple[int, dict[str, Any]]:
        return self._send("com.atproto.repo.uploadBlob", content=data, headers={"content-type": "audio/mpeg"})

    def read(self) -> tuple[int, dict[str, Any]]:
        params = {"repo": self.did, "collection": COLLECTION, "rkey": RKEY}
        reply = self._http.get(f"{self._url}/xrpc/com.atproto.repo.getRecord", params=params)
        return reply.status_code, reply.json()

    def _send(
        self, nsid: str, headers: dict[str, str] | None = None, **body: Any
    ) -> tuple[int, dict[str, Any]]:
        headers = {**self._headers, **(headers or {})}
        reply = self._http.post(f"{self._url}/xrpc/{nsid}", headers=headers, **body)
        return reply.status_code, reply.json()


@pytest.fixture(params=["memory", "real"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    if request.param == "memory":
        pds = MemoryPds()
        with httpx.Client(transport=pds.transport()) as http:
            yield Client(http, pds.url, "did:plc:alice", "")
        return
    real: DevPds = request.getfixturevalue("pds")
    account: PdsAccount = request.getfixturevalue("pds_account")
    with httpx.Client(timeout=60) as http:
        login = {"identifier": account.did, "password": account.app_password}
        session = http.post(f"{real.url}/xrpc/com.atproto.server.createSession", json=login).json()
        yield Client(http, real.url, account.did, session["accessJwt"])


def cid_of(record: dict[str, Any]) -> str:
    return record_cid({"$type": COLLECTION, **record})


def test_a_put_answers_with_its_cid_and_its_commit(client: Client) -> None:
    status, body = client.put({"a": 1}, swapRecord=None)
    assert (status, body["cid"]) == (200, cid_of({"a": 1}))
    assert body["commit"]["rev"]


def test_a_put_that_changes_nothing_has_no_commit_and_heeds_no_swap(client: Client) -> None:
    client.put({"a": 1})
    status, body = client.put({"a": 1}, swapRecord=cid_of({"a": 9}))
    assert (status, body["cid"]) == (200, cid_of({"a": 1}))
    assert "commit" not in body


@pytest.mark.parametrize("swap", [None, cid_of({"a": 9})])
def test_a_put_on_another_base_is_refused(client: Client, swap: str | None) -> None:
    client.put({"a": 1})
    status, body = client.put({"a": 2}, swapRecord=swap)
    assert (status, body["error"]) == (400, "InvalidSwap")
    assert client.read()[1]["value"]["a"] == 1


def test_a_put_on_a_base_that_is_gone_is_refused(client: Client) -> None:
    status, body = client.put({"a": 2}, swapRecord=cid_of({"a": 1}))
    assert (status, body["error"]) == (400, "InvalidSwap")


def test_a_delete_of_nothing_is_done_whatever_the_swap(client: Client) -> None:
    assert client.write("deleteRecord", swapRecord=cid_of({"a": 1})) == (200, {})


def test_a_delete_on_another_base_is_refused(client: Client) -> None:
    client.put({"a": 1})
    status, body = client.write("deleteRecord", swapRecord=cid_of({"a": 9}))
    assert (status, body["error"]) == (400, "InvalidSwap")
    assert client.write("deleteRecord", swapRecord=cid_of({"a": 1}))[0] == 200
    status, body = client.read()
    assert (status, body["error"]) == (400, "RecordNotFound")


def test_a_blob_is_kept_as_long_as_a_record_names_it(client: Client) -> None:
    reference = client.upload(DATA)[1]["blob"]
    assert (reference["ref"]["$link"], reference["size"]) == (audio_of(DATA).cid, len(DATA))
    assert client.put({"audioBlob": reference})[0] == 200
    assert client.put({"a": 1})[0] == 200
    status, body = client.put({"audioBlob": reference})
    assert (status, body["error"]) == (400, "BlobNotFound")
    client.upload(DATA)
    assert client.put({"audioBlob": reference})[0] == 200
