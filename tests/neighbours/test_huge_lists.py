"""A list of huge or malformed records is read in little memory, and what can be read of it counts."""

import json
import tracemalloc
from collections.abc import Callable

import httpx
import pytest

from outbox.pds.client import Pds, RemoteUnknownError
from outbox.pds.verdict import REPLY_TOO_LARGE, Kind, Scope
from outbox.record.dag_cbor import encode, record_cid
from outbox.repo import reads
from outbox.repo.reads import RepoReads
from replay.dump import BY_KIND, rows_of
from replay.reconcile.drift import DriftKind
from replay.reconcile.outdated import outdated_records
from replay.reconcile.verify import Verifier, expected_of, repos_of
from tests.dsl import ALICE, COLLECTION
from tests.neighbours.hostile_pds import (
    MAX_STALL_SECONDS,
    MB,
    many,
    watched_loop,
)
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import change_target
from tests.replay.adoption.rig import AdoptRig
from tests.replay.adoption.rig import rig as adopting
from tests.servers.databases import ON_SQLITE

__all__ = ["adopting"]
pytestmark = pytest.mark.anyio

CID = record_cid({"$type": COLLECTION})


def listing(*entries: bytes, cursor: str | None = None) -> bytes:
    said = b"" if cursor is None else b',"cursor":' + json.dumps(cursor).encode()
    return b'{"records":[' + b",".join(entries) + b"]" + said + b"}"


def entry(number: int, value: bytes, cid: str = CID) -> bytes:
    uri = f"at://{ALICE}/{COLLECTION}/{number:013}"
    return json.dumps({"uri": uri, "cid": cid})[:-1].encode() + b',"value":' + value + b"}"


def reads_of(answer: Callable[[httpx.Request], httpx.Response]) -> RepoReads:
    return RepoReads(Pds(None, httpx.AsyncClient(transport=httpx.MockTransport(answer))))  # type: ignore[arg-type]


def pages_of(entries: list[bytes]) -> Callable[[httpx.Request], httpx.Response]:
    """An honest PDS: as many entries as it is asked for, and a cursor while there are more."""

    def answer(request: httpx.Request) -> httpx.Response:
        start, limit = int(request.url.params.get("cursor", "0")), int(request.url.params["limit"])
        page = entries[start : start + limit]
        more = str(start + limit) if start + limit < len(entries) else None
        return httpx.Response(200, content=listing(*page, cursor=more))

    return answer


async def test_a_list_of_the_largest_records_is_read_whole_in_little_memory() -> None:
    junk = b'{"mastertapeGen":7,"junk":' + many(b"[]", 900_000) + b"}"
    large = [entry(number, junk) for number in range(20)]
    honest = [entry(number, b'{"mastertapeGen":9}') for number in range(20, 50)]
    tracemalloc.start()
    async with watched_loop() as stall:
        found = await reads_of(pages_of(large + honest)).found("http://p", ALICE, [COLLECTION], frozenset())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    records = found[COLLECTION]
    assert [each.generation for each in records.values()] == [7] * 20 + [9] * 30
    assert sum(len(each.json or b"") for each in records.values()) <= 16 * MB
    assert {each.cid for each in records.values()} == {CID}
    assert peak < 120 * MB  # the PDS's pages are counted too
    assert stall.longest < MAX_STALL_SECONDS


PAGES = {
    "huge": lambda: listing(entry(1, many(b"[]", 15 * MB))),
    "many records": lambda: listing(*[b"[]"] * 2_000_000),
    "deeply nested": lambda: b'{"cursor":"x","records":' + b"[" * MB,
    "no cursor": lambda: b'{"records":[],"cursor":[1]}',
    "no list": lambda: b'{"records":{}}',
    "not a number": lambda: b'{"records":[NaN]}',
    "no UTF-8": lambda: b"\xff\xfe",
    "no page": lambda: b"[]",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
async def test_a_page_that_cannot_be_read_is_no_empty_page(page: Callable[[], bytes]) -> None:
    content = page()
    of = reads_of(lambda _request: httpx.Response(200, content=content))
    async with watched_loop() as stall:
        with pytest.raises(RemoteUnknownError) as unknown:
            await of.found("http://p", ALICE, [COLLECTION], frozenset())
    assert unknown.value.verdict.kind is Kind.AMBIGUOUS
    assert stall.longest < MAX_STALL_SECONDS


@pytest.mark.parametrize(
    "value", [b"{}", b'{"mastertapeGen":1,"junk":"' + b"x" * 60_000 + b'"}'], ids=["small", "large"]
)
async def test_a_list_without_an_end_is_left_and_concerns_its_repo_alone(
    value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_LIST_BYTES", 8 * MB)
    pages = iter(range(10**9))

    def answer(_request: httpx.Request) -> httpx.Response:
        first = 100 * next(pages)
        entries = [entry(first + number, value) for number in range(100)]
        return httpx.Response(200, content=listing(*entries, cursor="more"))

    with pytest.raises(RemoteUnknownError) as unknown:
        await reads_of(answer).found("http://p", ALICE, [COLLECTION], frozenset())
    assert (unknown.value.verdict.error, unknown.value.verdict.scope) == (REPLY_TOO_LARGE, Scope.RECORD)
    assert next(pages) <= 8 * MB / (100 * 1024) + 1


async def test_pages_without_records_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "MAX_LIST_BYTES", 8 * MB)
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=listing(cursor="more"))

    with pytest.raises(RemoteUnknownError):
        await reads_of(answer).found("http://p", ALICE, [COLLECTION], frozenset())
    assert len(asked) <= 8 * MB / (16 * 1024) + 1


async def test_a_list_of_blobs_without_an_end_is_left_soon_and_none_of_it_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reads, "MAX_LIST_BYTES", 8 * MB)
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        first = 1000 * len(asked)
        asked.append(request)
        cids = [f"{number:x}" for number in range(first, first + 1000)]
        return httpx.Response(200, json={"cids": cids, "cursor": str(len(asked))})

    tracemalloc.start()
    with pytest.raises(RemoteUnknownError):
        await reads_of(answer).blobs("http://p", ALICE, {CID})
    kept, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(asked) <= 8 * MB / (64 * 1024) + 1
    assert kept < 2 * MB


async def test_large_versions_of_other_clients_cost_little_memory_later(rig: Rig) -> None:
    count = 40
    for number in range(count):
        rig.upload(number + 1)
    await rig.relay_once()
    body = encode({"$type": COLLECTION, "junk": "x" * MB})
    change_target(rig.database, rig.did, observed_body=body, conflict_body=body)

    def compared() -> int:
        with rig.database.read() as connection:
            return len(expected_of(connection, rig.did))

    for work in (
        compared,
        lambda: len(outdated_records(rig.log, rig.kinds, rig.did)),
        lambda: sum(1 for _ in rows_of(rig.database, BY_KIND["mirror_target"], rig.did)),
    ):
        tracemalloc.start()
        found, peak = work(), tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found == count
        assert peak < 1.2 * count * MB  # of twice that


@ON_SQLITE
async def test_what_verify_cannot_read_is_not_missing(rig: Rig) -> None:
    tracks = [rig.upload(number) for number in (1, 2, 3)]
    await rig.relay_once()

    async def answer(request: httpx.Request) -> httpx.Response:
        reply = await rig.pds.handle_async_request(request)
        if not request.url.path.endswith("listRecords"):
            return reply
        body = json.loads(await reply.aread())
        left = [each for each in body["records"] if not each["uri"].endswith(tracks[2].rkey)]
        left[0]["cid"] = "garbage"
        left[0]["value"] = {"junk": [[]] * 30_000}
        return httpx.Response(200, json={"records": left})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        [repo] = repos_of(rig.database)
        found = await Verifier(rig.database, RepoReads(Pds(rig.wire, http))).compare(repo)
    assert {drift.track_id: drift.kind for drift in found.drifts} == {3: DriftKind.MISSING}
    assert len(found.unjudged) == 1


@ON_SQLITE
async def test_records_that_cannot_be_read_are_named_and_the_others_adopted(
    adopting: AdoptRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        adopting.internet.record(number)
    answer = adopting.internet._page  # noqa: SLF001
    hostile = [
        entry(1, b"{}", "garbage"),
        entry(2, b'{"junk":' + many(b"[]", 100_000) + b"}"),
        entry(3, b'{"junk":"' + b"x" * (3 * MB) + b'"}'),
        entry(4, b'{"junk":' + b"[" * 200 + b"]" * 200 + b"}"),
        entry(5, b"[1]"),
        b'{"uri":"nothing","cid":"' + CID.encode() + b'","value":{}}',
        b'{"uri":5,"cid":5,"value":5}',
        b"5",
    ]

    def page(wanted: dict[str, str]) -> httpx.Response:
        reply = answer(wanted)
        if wanted["collection"] != COLLECTION or not (honest := json.loads(reply.content)["records"]):
            return reply
        return httpx.Response(200, content=listing(*hostile, *(json.dumps(each).encode() for each in honest)))

    monkeypatch.setattr(adopting.internet, "_page", page)
    async with watched_loop() as stall:
        progress = await adopting.adopts()
    assert (progress.found, progress.adopted, progress.refused) == (10, 2, 8)
    assert {each["error"] for each in progress.problems} == {"invalid_field"}
    assert [each["uri"].rsplit("/", 1)[1] for each in progress.problems[:5]] == [
        f"{number:013}" for number in range(1, 6)
    ]
    assert all(len(each["message"]) <= 500 for each in progress.problems)
    assert stall.longest < MAX_STALL_SECONDS


@ON_SQLITE
async def test_a_track_keeps_of_a_blob_reference_its_own_parts_alone(adopting: AdoptRig) -> None:
    adopting.internet.record(1)
    [record] = adopting.internet.records.values()
    blob = record["audioBlob"]
    record["audioBlob"] = {**blob, "junk": "x" * 100_000}
    assert (await adopting.adopts()).adopted == 1
    [view] = adopting.tracks().values()
    assert adopting.track(view.track_id).blob.ref == blob
