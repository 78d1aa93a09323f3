"""A deleted account leaves no records behind."""

import copy

import pytest

from demo.story import COLLECTION
from tests.e2e.artist import Artist
from tests.e2e.eventually import eventually
from tests.faults.faults import answer
from tests.faults.proxy import FaultProxy, of_repo


@pytest.mark.pds
def test_inc_25_an_account_that_goes_takes_its_records_along_though_its_token_is_over(
    artist: Artist, proxy: FaultProxy
) -> None:
    for track in (copy.copy(artist) for _ in range(3)):
        track.uploads()
        track.agreed()
    expired = answer(400, "ExpiredToken", "Token has expired")
    proxy.on("deleteRecord", fault=expired, times=1, matches=of_repo(artist.did))
    proxy.seen.clear()

    left = artist.client.http.delete("/me")

    assert left.status_code == 202
    assert left.json()["records"]["to_remove"] == 3
    eventually(lambda: artist.pds.list_records(artist.did, COLLECTION) == [])
    assert len(proxy.passed("refreshSession")) == 1
    eventually(lambda: artist.client.http.get("/tracks", params={"artist": artist.did}).json()["items"] == [])
