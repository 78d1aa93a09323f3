"""A PDS that is down, slow or silent: no request waits unless it asked to, and no other host is delayed."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from devpds.server import DevPds
from tests.e2e.artist import Artist
from tests.e2e.conftest import ON_POSTGRES, NewArtist
from tests.e2e.eventually import eventually
from tests.faults.faults import hang
from tests.faults.proxy import FaultProxy, of_repo

pytestmark = [pytest.mark.pds, ON_POSTGRES]

WAITING = 40
AT_ONCE_SECONDS = 2.0
SLOWER_AT_MOST = 6.0


@pytest.fixture
def proxied_artist(new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy) -> Artist:  # noqa: ARG001
    """An artist whose track lies on the PDS behind the proxy."""
    artist = new_artist(proxied_pds)
    artist.uploads()
    artist.agreed()
    return artist


def seconds_of(request: Callable[[], object]) -> float:
    began = time.monotonic()
    request()
    return time.monotonic() - began


def test_an_edit_while_the_pds_is_down_is_answered_at_once_and_arrives_later(
    proxied_artist: Artist, proxy: FaultProxy
) -> None:
    proxy.refuse()
    assert seconds_of(lambda: proxied_artist.edits(title="Meanwhile")) < AT_ONCE_SECONDS
    eventually(lambda: proxied_artist.mirror["reason"] == "backoff")
    assert proxied_artist.client.track(proxied_artist.track_id)["title"] == "Meanwhile"
    proxy.accept()
    assert proxied_artist.agreed()["title"] == "Meanwhile"


def test_a_silent_host_does_not_hold_up_another_one(
    proxied_artist: Artist, artist: Artist, proxy: FaultProxy
) -> None:
    artist.uploads()
    artist.agreed()
    proxy.on(fault=hang)
    proxied_artist.edits(title="Meanwhile")
    proxy.await_passed("putRecord")

    artist.edits(title="Not held up")

    assert artist.agreed()["title"] == "Not held up"
    assert proxied_artist.mirror["state"] == "pending"


def test_forty_waits_for_a_silent_pds_delay_no_other_request(
    proxied_artist: Artist, new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    waiting, other = proxied_artist, new_artist(proxied_pds)
    other.uploads()
    other.agreed()
    requests: dict[str, Callable[[], object]] = {
        "GET": lambda: other.client.track(other.track_id),
        "PATCH": lambda: other.edits(title=f"Edit {time.monotonic()}"),
    }

    def medians() -> dict[str, float]:
        return {
            name: statistics.median(seconds_of(request) for _ in range(15))
            for name, request in requests.items()
        }

    def wait(number: int) -> httpx.Response:
        return waiting.client.http.patch(
            f"/tracks/{waiting.track_id}", json={"title": f"Wait {number}"}, headers={"prefer": "wait=30"}
        )

    before = medians()
    proxy.on("putRecord", fault=hang, matches=of_repo(waiting.did))
    with ThreadPoolExecutor(WAITING) as threads:
        answers = [threads.submit(wait, number) for number in range(WAITING)]
        eventually(lambda: len(waiting.client.history(waiting.track_id)) == 1 + WAITING)
        meanwhile = medians()
        assert not any(each.done() for each in answers)
        proxy.heal()
        assert [each.result().status_code for each in answers] == [200] * WAITING

    for name in requests:
        assert meanwhile[name] < max(SLOWER_AT_MOST * before[name], 0.2), (before, meanwhile)
        assert meanwhile[name] < AT_ONCE_SECONDS
    assert {each.result().json()["mirror"]["state"] for each in answers} == {"delivered"}
    waiting.agreed()
    other.agreed()
