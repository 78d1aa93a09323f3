"""The adapter believes a PDS only what it can have meant."""

import asyncio
from typing import Any

import httpx
import pytest

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from outbox.pds.client import Pds, RecordKey, Remote, RemoteUnknownError
from outbox.pds.verdict import LOGIN_UNUSABLE, SESSION_UNAVAILABLE, Kind
from outbox.record.dag_cbor import record_cid

pytestmark = pytest.mark.anyio
HOST = "http://pds.test"
KEY = RecordKey("did:plc:alice", "fm.plyr.track", "3kaaaaaaaaa2a")
RECORD = {"$type": "fm.plyr.track", "title": "t"}
CID = record_cid(RECORD)


class Answers:
    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.sent: list[Any] = []

    async def request(self, did: str, method: str, nsid: str, **request: Any) -> httpx.Response:  # noqa: ARG002
        self.sent.append(request.get("json"))
        return self._give()

    def read(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(dict(request.url.params))
        return self._give()

    def _give(self) -> httpx.Response:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def pds_that(answer: httpx.Response | Exception) -> tuple[Pds, Answers]:
    answers = Answers(answer)
    http = httpx.AsyncClient(transport=httpx.MockTransport(answers.read))
    return Pds(answers, http), answers


async def test_a_put_carries_its_swap_also_when_nothing_must_be_there() -> None:
    pds, answers = pds_that(httpx.Response(200, json={"cid": CID, "commit": {"rev": "r"}}))
    verdict = await pds.put(HOST, KEY, RECORD, swap=None, timeout=5)
    await pds.put(HOST, KEY, RECORD, swap=CID, timeout=5)
    assert (verdict.kind, verdict.cid, verdict.rev) == (Kind.DONE, CID, "r")
    assert [sent["swapRecord"] for sent in answers.sent] == [None, CID]
    assert all(sent["validate"] is False for sent in answers.sent)


@pytest.mark.parametrize("body", [{}, {"cid": {"$link": CID}}, {"cid": "garbage"}])
async def test_a_put_without_a_cid_in_its_answer_is_not_known_to_be_done(body: dict) -> None:
    pds, _ = pds_that(httpx.Response(200, json=body))
    verdict = await pds.put(HOST, KEY, RECORD, swap=None, timeout=5)
    assert (verdict.kind, verdict.concerns_host) == (Kind.AMBIGUOUS, True)


@pytest.mark.parametrize("body", [{}, {"commit": {"rev": "r"}}])
async def test_a_delete_is_done_with_and_without_a_commit(body: dict) -> None:
    pds, answers = pds_that(httpx.Response(200, json=body))
    assert (await pds.delete(HOST, KEY, swap=CID, timeout=5)).kind is Kind.DONE
    assert answers.sent[0]["swapRecord"] == CID


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SignInRequiredError(KEY.did), Kind.SIGN_IN),
        (httpx.ReadTimeout("slow"), Kind.AMBIGUOUS),
        (httpx.InvalidURL("no"), Kind.AMBIGUOUS),
    ],
    ids=repr,
)
async def test_an_error_on_the_way_is_a_verdict(error: Exception, kind: Kind) -> None:
    pds, _ = pds_that(error)
    assert (await pds.put(HOST, KEY, RECORD, swap=None, timeout=5)).kind is kind


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (SessionUnavailableError(KEY.did, "its tokens cannot be decrypted"), LOGIN_UNUSABLE),
        (SessionUnavailableError(KEY.did, "away", cause=httpx.ConnectError("refused")), SESSION_UNAVAILABLE),
        (SessionUnavailableError(KEY.did, "busy", status=503), SESSION_UNAVAILABLE),
    ],
)
async def test_a_login_that_was_not_used_says_nothing_of_its_pds(error: Exception, name: str) -> None:
    pds, _ = pds_that(error)
    verdict = await pds.put(HOST, KEY, RECORD, swap=None, timeout=5)
    assert (verdict.kind, verdict.error) == (Kind.NOT_SENT, name)


async def test_a_request_that_never_ends_ends_in_time() -> None:
    class Hangs:
        async def request(self, *_: Any, **__: Any) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    verdict = await Pds(Hangs(), httpx.AsyncClient()).put(HOST, KEY, RECORD, swap=None, timeout=0.01)
    assert (verdict.kind, verdict.error) == (Kind.AMBIGUOUS, "TimeoutError")


async def test_without_time_nothing_is_asked_or_sent() -> None:
    pds, answers = pds_that(httpx.Response(200, json={}))
    verdicts = [
        await pds.put(HOST, KEY, RECORD, swap=None, timeout=0.0),
        await pds.delete(HOST, KEY, swap=CID, timeout=0.0),
        await pds.read(HOST, "com.atproto.server.describeServer", 0.0),
    ]
    assert {(each.kind, each.host_is_well) for each in verdicts} == {(Kind.NOT_SENT, None)}
    assert answers.sent == []


async def test_a_record_is_read_with_its_cid() -> None:
    pds, answers = pds_that(httpx.Response(200, json={"uri": "at://", "cid": CID, "value": RECORD}))
    assert await pds.get(HOST, KEY) == Remote(CID, RECORD)
    assert answers.sent == [{"repo": KEY.did, "collection": KEY.collection, "rkey": KEY.rkey}]


async def test_only_a_pds_that_says_so_makes_a_record_absent() -> None:
    pds, _ = pds_that(httpx.Response(400, json={"error": "RecordNotFound"}))
    assert await pds.get(HOST, KEY) == Remote(None, None)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, json={"value": RECORD}), Kind.AMBIGUOUS),
        (httpx.Response(200, json={"cid": "garbage", "value": RECORD}), Kind.AMBIGUOUS),
        (httpx.Response(200, json={"cid": CID, "value": []}), Kind.AMBIGUOUS),
        (httpx.Response(302, headers={"location": HOST}), Kind.AMBIGUOUS),
        (httpx.Response(400, json={"error": "RepoDeactivated"}), Kind.INACTIVE),
        (httpx.Response(429, json={"error": "RateLimitExceeded"}), Kind.PACED),
        (httpx.ConnectError("refused"), Kind.NOT_SENT),
    ],
)
async def test_a_failed_read_rejects_neither_record_nor_login(
    answer: httpx.Response | Exception, kind: Kind
) -> None:
    pds, _ = pds_that(answer)
    with pytest.raises(RemoteUnknownError) as unknown:
        await pds.get(HOST, KEY)
    assert unknown.value.verdict.kind is kind


@pytest.mark.parametrize(
    ("answer", "limit"),
    [
        (httpx.Response(200, json={"blobUploadLimit": 5}), 5),
        (httpx.Response(200, json={"blobUploadLimit": 0}), None),
        (httpx.Response(200, json={"blobUploadLimit": "5"}), None),
        (httpx.Response(500), None),
    ],
)
async def test_a_blob_limit_is_known_only_when_the_pds_names_it(
    answer: httpx.Response | Exception, limit: int | None
) -> None:
    pds, _ = pds_that(answer)
    assert await pds.blob_limit(HOST) == limit
