"""All pages of a repo are read, up to a memory limit."""

from collections.abc import Callable
from itertools import count
from typing import Any

import httpx
import pytest

from outbox.pds.client import Pds, RemoteUnknownError
from outbox.record.dag_cbor import record_cid
from outbox.repo import reads as repo_reads
from outbox.repo.reads import RepoReads
from tests.dsl import ALICE, COLLECTION

pytestmark = pytest.mark.anyio

HOST = "https://pds.music.com"
RECORD = {"$type": COLLECTION, "title": "t" * 1000}


def reads(page: Callable[[int], dict[str, Any]]) -> RepoReads:
    """A PDS that gives these pages, one after the other, whatever it is asked."""
    numbers = count()
    wire = httpx.MockTransport(lambda _request: httpx.Response(200, json=page(next(numbers))))
    return RepoReads(Pds(None, httpx.AsyncClient(transport=wire)))  # type: ignore[arg-type] - nothing is written


def entry(number: int) -> dict[str, Any]:
    return {
        "uri": f"at://{ALICE}/{COLLECTION}/{number:013}",
        "cid": record_cid(RECORD),
        "value": RECORD,
    }


async def keys(of: RepoReads) -> list[str | None]:
    return [entry.rkey async for entry in of.records(HOST, ALICE, COLLECTION)]


async def test_every_page_is_read_to_the_one_that_names_no_other() -> None:
    of = reads(lambda page: {"records": [entry(page)], **({"cursor": "on"} if page < 2 else {})})
    assert [int(key) for key in await keys(of)] == [0, 1, 2]


async def test_a_list_of_records_without_an_end_is_left_when_it_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repo_reads, "MAX_LIST_BYTES", 10_000)
    of = reads(lambda page: {"records": [entry(page)], "cursor": "on"})
    with pytest.raises(RemoteUnknownError, match="more than 10000 bytes"):
        await keys(of)


async def test_what_a_pds_calls_a_revision_or_a_key_can_be_stored_and_shown() -> None:
    of = reads(lambda _page: {"rev": "3k\0"})
    assert await of.revision(HOST, ALICE) == "3k\ufffd"
    of = reads(
        lambda page: {"records": [entry(page) | {"uri": f"at://{ALICE}/x/{9 - page}\0"}], "cursor": "on"}
    )
    with pytest.raises(RemoteUnknownError, match="ascending order at 8\ufffd"):
        await keys(of)


async def test_a_list_of_blobs_that_repeats_itself_has_ended() -> None:
    of = reads(lambda page: {"cids": [f"bafkrei{min(page, 2)}"], "cursor": f"{min(page, 2)}"})
    assert await of.blobs(HOST, ALICE, {"bafkrei1", "bafkrei3"}) == {"bafkrei1"}


async def test_a_list_of_blobs_is_read_until_all_that_are_wanted_are_found() -> None:
    asked = []
    of = reads(lambda page: asked.append(page) or {"cids": [f"bafkrei{page}"], "cursor": f"{page}"})
    assert await of.blobs(HOST, ALICE, {"bafkrei1", "bafkrei3"}) == {"bafkrei1", "bafkrei3"}
    assert asked == [0, 1, 2, 3]


async def test_a_page_of_more_blobs_than_were_asked_for_is_no_page() -> None:
    of = reads(lambda _page: {"cids": ["b"] * 1001})
    with pytest.raises(RemoteUnknownError, match="no page of CIDs"):
        await of.blobs(HOST, ALICE, {"bafkrei1"})
