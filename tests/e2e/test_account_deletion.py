"""An account's deletion at a real PDS continues through an outage and a sign-out until nothing of ours is left."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from demo.story import COLLECTION
from outbox.mirror.tables import delivery_attempt
from service.config.settings import load
from service.wiring.bootstrap import Container, build
from tests.e2e.adoption import adopts
from tests.e2e.artist import Artist
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.foreign_catalogue import catalogue, value_of
from tests.service.process.periodic import continue_account_deletions
from tests.waits import until

pytestmark = [pytest.mark.pds, ONE_DATABASE]
Beside = Callable[[Callable[[Container], Any]], Any]


@pytest.fixture
def beside(settings: dict[str, str], artist: Artist, monkeypatch: pytest.MonkeyPatch) -> Beside:
    """Do something to the service's database as another process of it would."""
    for name, value in {**settings, "MASTERTAPE_PLC_URL": artist.pds.plc_url}.items():
        monkeypatch.setenv(name, value)

    def do(work: Callable[[Container], Any]) -> Any:
        container = build(load())
        try:
            return work(container)
        finally:
            asyncio.run(container.close())

    return do


def hours_ago(container: Container) -> None:
    """Let what was written be old: nothing of it can come late any more."""
    attempt = delivery_attempt.c
    with container.database.write() as connection:
        for row in connection.execute(select(attempt.id, attempt.started_at)).all():
            before = row.started_at - timedelta(hours=3)
            connection.execute(update(delivery_attempt).where(attempt.id == row.id).values(started_at=before))


def has_ended(answer: httpx.Response) -> bool:
    return answer.status_code == httpx.codes.UNAUTHORIZED


def keep_records(artist: Artist, number: int) -> None:
    for _ in range(number):
        artist.uploads()
        artist.agreed()


def left_over(artist: Artist) -> list[dict[str, Any]]:
    return artist.pds.list_records(artist.did, COLLECTION)


def test_it_goes_on_through_an_outage_and_a_sign_out_until_the_login_is_given_back(
    oauth_artist: Any, beside: Beside
) -> None:
    leaver = oauth_artist
    keep_records(leaver, 3)
    beside(hours_ago)
    leaver.pds.stop()
    try:
        told = leaver.client.http.delete("/me").json()
        assert (told["records"]["to_remove"], told["connected"], told["tokens"]) == (3, True, 1)
        assert leaver.client.http.post("/auth/logout").status_code == 200
    finally:
        leaver.pds.start()

    until(lambda: left_over(leaver) == [])
    beside(lambda container: until(lambda: has_left(container, leaver.did)))

    leaver.client.signs_in(leaver.account)
    assert leaver.client.me().json()["leaving"] is None
    rows = leaver.client.http.get("/audit", params={"type": "Left"}).json()["items"]
    [change] = rows[0]["changes"]
    assert change["after"] == {"records": {}, "untouched": 0, "login_revoked": True}
    leaver.uploads(title="Anew")
    assert leaver.agreed()["title"] == "Anew"


def has_left(container: Container, did: str) -> bool:
    continue_account_deletions(container)
    return container.services.accounts.get(did) is None


def test_an_adopted_record_that_was_never_written_stays(artist: Artist, beside: Beside) -> None:
    [(collection, key, value)] = catalogue(artist.pds, artist.did, 1, first=1)
    adopts(artist)
    keep_records(artist, 1)
    beside(hours_ago)
    artist.client.http.delete("/me")
    until(lambda: [record["value"] for record in left_over(artist)] == [value])

    def done(me: httpx.Response) -> bool:
        if (leaving := me.json()["leaving"]) is None:  # the end has overtaken the answer
            return False
        records = leaving["records"]
        return (records["to_remove"], records["removed"], records["untouched"]) == (0, 1, 1)

    # the service checks each minute whether the deletion can end: it may from here on
    until(lambda: has_ended(me := artist.client.http.get("/me")) or done(me))
    verified = artist.client.http.post("/me/verify")
    assert has_ended(verified) or verified.json()["drifts"] == []
    artist.client.http.delete("/me")
    until(lambda: has_ended(artist.client.http.get("/me")))
    assert value_of(artist.pds, artist.did, collection, key) == value
