"""Every row of the relay's error table, at a real PDS behind a proxy: what the owner is shown, which accounts wait, how it ends.

All rows share one cast, and each test leaves it with log and PDS in agreement. TEST_DEEP: each with every kind of record.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.e2e.accounts_at_a_failing_pds import HOST, LANE, NOBODY, RECORD, Cast
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.artists_of_kinds import KINDS
from tests.e2e.conftest import DEEP, ONE_DATABASE
from tests.faults.exchange import Exchange, Passage
from tests.faults.faults import (
    Fault,
    answer,
    cut_after,
    cut_before,
    duplicate,
    hang,
    hang_after,
    says,
)
from tests.faults.proxy import of_repo
from tests.waits import until

pytestmark = [pytest.mark.pds, ONE_DATABASE]

PUT, DELETE, UPLOAD, REFRESH = "putRecord", "deleteRecord", "uploadBlob", "refreshSession"
READ = "getRecord"
PENDING, PARKED, DELIVERED = "pending", "parked", "delivered"
PAUSE_SECONDS = 2


# What may happen


def edits(cast: Cast) -> None:
    cast.edits()


def deletes(cast: Cast) -> None:
    cast.subject.deletes()


def heals(cast: Cast) -> None:
    cast.proxy.heal()


def signs_in(cast: Cast) -> None:
    cast.proxy.heal()
    cast.signs_in()


def tries_again(cast: Cast) -> None:
    cast.proxy.heal()
    cast.tries_again()


def edits_again(cast: Cast) -> None:
    cast.proxy.heal()
    cast.edits()


def over_limit(policy: str) -> Fault:
    """The PDS refuses an account or a caller with 429 for a while."""

    async def refused(exchange: Exchange) -> None:
        headers = {
            "RateLimit-Limit": policy.partition(";")[0],
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(int(time.time()) + PAUSE_SECONDS),
            "RateLimit-Policy": policy,
            "Retry-After": str(PAUSE_SECONDS),
        }
        body = {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"}
        await exchange.answer(429, body, headers)

    return refused


@dataclass(frozen=True)
class Row:
    """A fault, the mirror state that the API shows meanwhile, and what ends it."""

    fault: Fault
    told: tuple[str, str | None]
    of: str = RECORD
    """The scope of the fault: accounts outside it are delivered meanwhile."""
    on: str = PUT
    times: int | None = None
    do: Callable[[Cast], None] = edits
    lands: bool = False
    """Whether the PDS has it all the same."""
    ends: Callable[[Cast], None] = heals
    told_of_others: tuple[str, str] | None = None
    """Of a kind that a login may do without, whose records alone wait then."""


ANOTHER_CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
BACKOFF, SENDING = (PENDING, "backoff"), (PENDING, "sending")
AUTH = (PARKED, "auth_required")
ROWS = {
    # the network, and hosts that are not well
    "503": Row(answer(503, "Unavailable"), BACKOFF, LANE),
    "cut before": Row(cut_before, BACKOFF, LANE),
    "cut after": Row(cut_after, BACKOFF, LANE, lands=True),
    "hang before": Row(hang, SENDING, LANE),
    "hang after": Row(hang_after, SENDING, LANE, lands=True),
    "duplicate": Row(duplicate, (DELIVERED, None), NOBODY, lands=True),
    "200 with another CID": Row(
        says(200, {"uri": "at://somewhere", "cid": ANOTHER_CID}),
        (DELIVERED, None),
        NOBODY,
        times=1,
        lands=True,
    ),
    # a delete has the same troubles
    "delete: cut after": Row(cut_after, BACKOFF, LANE, DELETE, do=deletes, lands=True),
    # the record
    "400": Row(answer(400, "InvalidRequest"), ("rejected", "InvalidRequest"), ends=edits_again),
    "413": Row(answer(413, "PayloadTooLargeError"), ("rejected", "PayloadTooLargeError"), ends=edits_again),
    # the login
    "ExpiredToken once": Row(answer(400, "ExpiredToken"), (DELIVERED, None), NOBODY, times=1, lands=True),
    "ExpiredToken": Row(answer(400, "ExpiredToken"), AUTH, LANE, ends=signs_in),
    "ScopeMissingError": Row(
        answer(403, "ScopeMissingError"),
        AUTH,
        LANE,
        ends=signs_in,
        told_of_others=(PARKED, "needs_consent"),
    ),
    "AccountNotFound": Row(
        answer(403, "AccountNotFound"), (PARKED, "identity_stale"), LANE, ends=tries_again
    ),
    "507": Row(says(507, "<html>"), (PARKED, "account_full"), LANE, ends=tries_again),
}


FEW = [("cut after", "playlists"), ("400", "comments"), ("ScopeMissingError", "profiles")]
ALL = [(name, kind) for kind in KINDS for name in ROWS if (kind, ROWS[name].do) != ("profiles", deletes)]
"""Nobody deletes a profile."""


@pytest.mark.parametrize(("name", "kind"), ALL if DEEP else [*((name, "tracks") for name in ROWS), *FEW])
def test_the_answer(name: str, kind: str, cast: Cast) -> None:
    cast.takes(kind)
    row, before = ROWS[name], cast.known
    if kind != "tracks" and row.told_of_others is not None:
        row = replace(row, told=row.told_of_others, of=RECORD)
    cast.meets(row.fault, row.on, of=RECORD if row.of == NOBODY else row.of, times=row.times)

    row.do(cast)

    assert cast.await_request(row.on).fault != "pass_on"
    cast.is_told(*row.told)
    title = None if row.do is deletes else cast.subject.text
    until(lambda: cast.known == (title if row.lands else before))
    cast.others_go_on(row.of)
    row.ends(cast)
    cast.is_in_agreement()


@pytest.mark.parametrize("policy", ["5000;w=3600", "3000;w=300"])
def test_nothing_is_sent_before_the_time_that_the_pds_has_named(policy: str, cast: Cast) -> None:
    scope = HOST if policy.endswith("w=300") else LANE
    cast.meets(over_limit(policy), PUT, times=1)

    cast.edits()

    cast.is_told(PENDING, "paced")
    if scope == HOST:
        cast.neighbour.edits(title=next(cast.titles))
    cast.others_go_on(scope)
    cast.tries_again()
    cast.is_in_agreement()
    cast.neighbour.agreed()
    refused, taken = cast.requests(PUT)
    assert is_after_the_pause(taken, refused)
    if scope == HOST:
        assert all(is_after_the_pause(each, refused) for each in puts_of(cast.neighbour, cast))


def puts_of(artist: Artist, cast: Cast) -> list[Passage]:
    found = cast.proxy.passed(PUT, matches=of_repo(artist.did))
    assert found
    return found


def is_after_the_pause(passage: Passage, refused: Passage) -> bool:
    return passage.at - refused.at >= PAUSE_SECONDS - 1  # a reset is given in whole seconds


@dataclass(frozen=True)
class Upload:
    """A fault of an upload, and the mirror state that the API shows meanwhile."""

    fault: Fault
    told: tuple[str, str | None]
    times: int | None = None
    saved: bool = True
    """Whether the audio is on the PDS in the end."""


EMPTY = {"$type": "blob", "ref": {"$link": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"}}
BLOB = (PENDING, "blob")
UPLOADS = {
    "500": Upload(answer(500, "InternalServerError"), BLOB),
    "cut after": Upload(cut_after, BLOB),
    "429": Upload(over_limit("1000;w=86400"), BLOB, times=1),
    "a success with no bytes": Upload(
        says(200, {"blob": {**EMPTY, "mimeType": "audio/mpeg", "size": 0}}), BLOB
    ),
    "ExpiredToken once": Upload(answer(400, "ExpiredToken"), (DELIVERED, None), times=1),
    "413": Upload(answer(413, "PayloadTooLarge"), (DELIVERED, None), saved=False),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_the_answer_to_an_upload(name: str, cast: Cast) -> None:
    row, artist = UPLOADS[name], cast.uploader()
    cast.proxy.on(UPLOAD, fault=row.fault, times=row.times)

    assert artist.asks(MIGRATE, prefer="wait=0").status_code == 202

    [first, *_] = cast.proxy.await_passed(UPLOAD)
    cast.is_told(*row.told, of=artist)
    cast.others_go_on(RECORD)
    cast.proxy.heal()
    until(lambda: ("audioBlob" in (artist.agreed() or {})) == row.saved)
    ends = {event["type"] for event in artist.client.history(artist.track_id)}
    assert ("BlobMigrationFailed" in ends) != row.saved
    if row.told == BLOB:
        assert len(cast.proxy.passed(UPLOAD)) > 1
    if name == "429":
        assert cast.proxy.passed(UPLOAD)[1].at - first.at >= PAUSE_SECONDS - 1
    cast.is_in_agreement()


def test_a_blob_that_the_pds_has_forgotten_is_uploaded_again(cast: Cast) -> None:
    cast.meets(answer(400, "BlobNotFound"), PUT, times=1)
    cast.edits()
    cast.proxy.await_passed(UPLOAD)
    cast.is_in_agreement()


def test_a_refresh_that_the_pds_refuses_parks_the_account(cast: Cast) -> None:
    cast.meets(answer(400, "ExpiredToken"), PUT, times=1)
    cast.proxy.on(REFRESH, fault=answer(400, "ExpiredToken"), times=1)
    cast.edits()
    cast.is_told(*AUTH)
    cast.others_go_on(LANE)
    cast.signs_in()
    cast.is_in_agreement()
