"""kill -9 at every named point of an upload to a release and of its publishing: all of it is published once, in its order, and nothing before."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from application.releases.publishing import PUBLISH
from demo.album import COLLECTION as LISTS
from demo.story import COLLECTION as TRACKS
from devpds.server import DevPds
from tests.api.releases.uploads import Owner, append, begin, offset, read, tagged
from tests.e2e.artist import Artist
from tests.e2e.killable import KillableService
from tests.faults.failpoints import OF_RELEASES, POINTS
from tests.servers.firehose import writes_of
from tests.waits import until

pytestmark = pytest.mark.pds
KILLS = [point for point in POINTS if point.startswith(OF_RELEASES)]
SONGS = 3
HALF = 3000


@pytest.fixture
def service(tmp_path: Path, pds: DevPds) -> Iterator[KillableService]:
    killable = KillableService(tmp_path / "service", pds, {"MASTERTAPE_RATE_LIMITS": "off"})
    killable.start()
    yield killable
    killable.trigger.disarm()  # else it would be started again
    killable.stop()


def uploads(http: httpx.Client, release: dict[str, int], title: str, service: KillableService) -> None:
    """Upload in two parts, and go on after a kill where the upload says."""
    data = tagged(title=title, number=title[-1])
    url = begin(http, Owner, release, name="song.mp3").headers["Location"]
    for _ in range(2):
        with suppress(httpx.TransportError):
            at, is_complete = offset(http, Owner, url)
            if at == 0:
                assert append(http, Owner, url, data[:HALF], 0).status_code == 204
                at = HALF
            if is_complete == "?0":
                assert append(http, Owner, url, data[at:], at, last=True).status_code == 200
            return
        service.await_next_life()
    raise AssertionError(f"{title} is not here")


def publishes(
    http: httpx.Client, release: dict[str, int], service: KillableService, *, is_killed: bool
) -> None:
    """Publish, and see at each moment all of it or nothing."""
    with suppress(httpx.TransportError):
        http.post(f"/releases/{release['id']}/publish", json={})
    if is_killed:
        service.await_next_life()

    def is_published() -> bool:
        there = http.get("/me/tracks", params={"limit": 100}).json()["items"]
        assert len(there) % SONGS == 0, "a part of a release is there"
        return bool(read(http, Owner, release)["state"] == "published")

    until(is_published)


def all_jobs_ended(service: KillableService) -> bool:
    jobs = json.loads(service.command("jobs", "--kind", PUBLISH, "--json"))["jobs"]
    return all(job["state"] == "done" for job in jobs)


@pytest.mark.timeout(300)
def test_a_kill_anywhere_publishes_all_of_a_release_once(
    service: KillableService, artist: Artist, pds: DevPds
) -> None:
    http, made, releases = artist.client.http, dict[int, tuple[str, str]](), list[dict[str, int]]()
    for number, point in enumerate(KILLS):
        album, is_upload = f"Album {number}", point.startswith("upload")
        release = http.post("/releases", json={"title": album}).json()
        releases.append(release)
        titles = [f"Song {number}.{place}" for place in range(1, SONGS + 1)]
        if is_upload:
            service.trigger.arm(point)
        for title in reversed(titles):
            uploads(http, release, title, service)
        assert not service.trigger.armed, point
        if not is_upload:
            service.trigger.arm(point)
        publishes(http, release, service, is_killed=not is_upload)
        track_ids = read(http, Owner, release)["track_ids"]
        made |= {track_id: (title, album) for track_id, title in zip(track_ids, titles, strict=True)}
    until(lambda: all_jobs_ended(service))  # a job that was killed after its commit is done once more
    assert {read(http, Owner, release)["state"] for release in releases} == {"published"}
    tracks = [http.get(f"/tracks/{each}").json() for each in made]
    assert [(each["title"], each["album"]) for each in tracks] == list(made.values())
    until(lambda: len(pds.list_records(artist.did, TRACKS)) == SONGS * len(KILLS))
    until(lambda: len(pds.list_records(artist.did, LISTS)) == len(KILLS))
    created = Counter(
        write.path for write in writes_of(pds, [artist.did])[artist.did] if write.action == "create"
    )
    assert set(created.values()) == {1}
    assert len(created) == (SONGS + 1) * len(KILLS)
