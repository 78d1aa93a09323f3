"""The proxy does to requests what its rules say, on a real PDS."""

import os
import threading
import time

import httpx
import pytest

from devpds.server import DevPds
from tests.faults.faults import (
    Hold,
    answer,
    cut_after,
    cut_before,
    delay,
    duplicate,
    hang,
    hang_after,
    pass_on,
)
from tests.faults.proxy import FaultProxy, applied, of_repo
from tests.servers.atproto import PdsAccount, new_account

pytestmark = pytest.mark.pds

COLLECTION = "fm.plyr.track"
BLOB_SIZE = 20 * 1024 * 1024


class Writer:
    """A client of one account that knows the PDS only by its public URL."""

    def __init__(self, pds: DevPds, account: PdsAccount) -> None:
        self.pds, self.did = pds, account.did
        self.http = httpx.Client(base_url=f"{pds.url}/xrpc/", timeout=5)
        body = {"identifier": account.did, "password": account.app_password}
        session = self.http.post("com.atproto.server.createSession", json=body).raise_for_status().json()
        self.http.headers["authorization"] = f"Bearer {session['accessJwt']}"

    def put(self, title: str = "one", **request) -> httpx.Response:
        record = {"$type": COLLECTION, "title": title}
        body = {"repo": self.did, "collection": COLLECTION, "rkey": "a", "record": record}
        return self.http.post("com.atproto.repo.putRecord", json=body, **request)

    @property
    def title(self) -> str | None:
        """What the PDS holds, asked past the proxy."""
        found = self.pds.get_record(self.did, COLLECTION, "a")
        return found["value"]["title"] if found is not None else None


@pytest.fixture
def writer(proxied_pds: DevPds, proxied_account: PdsAccount, proxy: FaultProxy):
    made = Writer(proxied_pds, proxied_account)
    proxy.seen.clear()
    yield made
    made.http.close()


def test_the_did_document_names_the_proxy(proxied_pds: DevPds, proxied_account: PdsAccount) -> None:
    [service] = proxied_pds.plc.document(proxied_account.did)["service"]
    assert service["serviceEndpoint"] == proxied_pds.url != proxied_pds.direct_url


def test_without_rules_everything_passes_and_is_remembered(writer: Writer, proxy: FaultProxy) -> None:
    assert writer.put().status_code == 200

    [passage] = proxy.passed("putRecord")
    assert (passage.nsid, passage.status) == ("com.atproto.repo.putRecord", 200)
    assert passage.json["record"]["title"] == writer.title == "one"


def test_large_blobs_stream_both_ways(writer: Writer) -> None:
    content = os.urandom(BLOB_SIZE)
    blob = writer.http.post(
        "com.atproto.repo.uploadBlob", content=content, headers={"content-type": "audio/mpeg"}
    ).json()["blob"]
    record = {"$type": COLLECTION, "audioBlob": blob}
    writer.pds.put_record(writer.did, COLLECTION, "b", record)

    params = {"did": writer.did, "cid": blob["ref"]["$link"]}
    assert writer.http.get("com.atproto.sync.getBlob", params=params).content == content


def test_a_rule_counts_and_the_next_one_follows(writer: Writer, proxy: FaultProxy) -> None:
    proxy.on("putRecord", fault=pass_on, times=1)
    proxy.on("putRecord", fault=answer(503, "Down"), times=1)

    assert [writer.put(title).status_code for title in ("one", "two", "three")] == [200, 503, 200]
    assert [passage.status for passage in proxy.passed("putRecord")] == [200, None, 200]


def test_a_rule_may_be_for_one_account(writer: Writer, proxied_pds: DevPds, plc, proxy: FaultProxy) -> None:
    other = Writer(proxied_pds, new_account(proxied_pds, plc))
    proxy.on("POST", fault=answer(503, "Down"), matches=of_repo(other.did))

    assert (writer.put().status_code, other.put().status_code) == (200, 503)
    other.http.close()


def test_an_answer_has_its_headers(writer: Writer, proxy: FaultProxy) -> None:
    proxy.on(
        "com.atproto.repo.putRecord",
        fault=answer(429, "RateLimitExceeded", retry_after=7, ratelimit_policy="5000;w=3600"),
    )

    reply = writer.put()

    assert (reply.status_code, reply.json()["error"]) == (429, "RateLimitExceeded")
    assert (reply.headers["Retry-After"], reply.headers["RateLimit-Policy"]) == ("7", "5000;w=3600")
    assert writer.title is None


def test_a_delay_is_one(writer: Writer, proxy: FaultProxy) -> None:
    proxy.on(fault=delay(0.3))
    began = time.monotonic()
    assert writer.put().status_code == 200
    assert time.monotonic() - began >= 0.3


def test_refused_closes_the_port(writer: Writer, proxy: FaultProxy) -> None:
    proxy.refuse()
    with pytest.raises(httpx.ConnectError):
        writer.put()
    proxy.accept()
    assert writer.put().status_code == 200


@pytest.mark.parametrize(
    ("fault", "title"), [(cut_before, None), (cut_after, "one")], ids=["before", "after"]
)
def test_a_cut_breaks_the_connection(writer: Writer, proxy: FaultProxy, fault, title: str | None) -> None:
    proxy.on("putRecord", fault=fault)
    with pytest.raises(httpx.ReadError, match="reset"):
        writer.put()
    assert writer.title == title


@pytest.mark.parametrize(("fault", "title"), [(hang, None), (hang_after, "one")], ids=["before", "after"])
def test_a_hang_lasts_until_the_client_gives_up(
    writer: Writer, proxy: FaultProxy, fault, title: str | None
) -> None:
    proxy.on("putRecord", fault=fault)
    with pytest.raises(httpx.ReadTimeout):
        writer.put(timeout=0.5)
    assert writer.title == title


def test_healing_ends_what_hangs(writer: Writer, proxy: FaultProxy) -> None:
    proxy.on("putRecord", fault=hang_after)
    ended = threading.Event()

    def put() -> None:
        with pytest.raises(httpx.HTTPError):
            writer.put(timeout=60)
        ended.set()

    threading.Thread(target=put).start()
    proxy.await_passed("putRecord", matches=applied)
    proxy.heal()

    assert ended.wait(10)
    assert writer.put("two").status_code == 200


def test_a_duplicate_reaches_the_pds_twice(writer: Writer, proxy: FaultProxy) -> None:
    proxy.on("putRecord", fault=duplicate, times=1)
    body = writer.put().json()
    assert "commit" not in body  # the second one found nothing to change
    assert writer.title == "one"


def test_what_is_held_overtakes_nothing_until_it_is_released(writer: Writer, proxy: FaultProxy) -> None:
    hold = Hold()
    proxy.on("putRecord", fault=hold, times=1)
    with pytest.raises(httpx.ReadError):
        writer.put("late")
    assert writer.put("newer").status_code == 200
    assert writer.title == "newer"

    assert proxy.release_late(hold) == [200]

    assert writer.title == "late"
