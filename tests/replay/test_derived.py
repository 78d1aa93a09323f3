"""Covers at other hosts are fetched after an adoption, within limits, and what cannot be fetched is not tried for ever."""

import io
from datetime import timedelta
from typing import Any

import httpx
import pytest
from PIL import Image

from eventstore.coordination.threads import Threads
from eventstore.jobs.table import JobState, job
from eventstore.jobs.worker import Worker
from identity.resolution.address_policy import AddressPolicy
from outbox.mirror.hosts import Hosts
from replay.adoption.fetcher import Fetcher, OthersAddresses
from replay.derived import MAX_ATTEMPTS, DerivedMedia, sweep_media
from storage.derived.renditions import DerivedKind, rendition_of
from storage.parsers import Parsers
from tests.media_samples import samples
from tests.replay.adoption.rig import ELSEWHERE, SERVICE, AdoptRig, rig
from tests.servers.databases import ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]

COVER = f"{ELSEWHERE}/cover.png"


def cover_worker(
    rig: AdoptRig, http: httpx.AsyncClient | None = None, threads: Threads | None = None
) -> Worker:
    threads = threads or Threads("derived", 6)
    others = OthersAddresses(AddressPolicy(), [SERVICE])
    fetcher = Fetcher(http or rig.http, others.policy, rig.staging, Hosts(rig.database), threads)
    kinds = DerivedMedia(rig.media, fetcher, others, Parsers(), threads).kinds()
    of_covers = [kind for kind in kinds if kind.name != DerivedKind.WAVEFORM]
    return Worker(rig.database, of_covers, owner="test", lease=timedelta(seconds=60))


def has_cover(rig: AdoptRig, source: str) -> bool:
    with rig.database.read() as connection:
        return rendition_of(connection, source, 480) is not None


def jobs_of(rig: AdoptRig) -> dict[str, Any]:
    return {
        row.subject: row.state for row in rig.rows(job.select().where(job.c.kind != DerivedKind.WAVEFORM))
    }


async def adopted(rig: AdoptRig, *urls: str) -> None:
    """Adopt a record for each address, where no cover is yet."""
    for number, url in enumerate(urls, 1):
        rig.internet.record(number, imageUrl=url)
    await rig.adopts()
    assert {view.image_url for view in rig.tracks().values()} == {*urls}
    rig.internet.asked.clear()


async def test_what_is_no_cover_is_asked_for_once(rig: AdoptRig) -> None:
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    answers = {
        "gone": httpx.Response(410),
        "text": httpx.Response(200, content=b"<html>"),
        "bomb": httpx.Response(200, content=bomb.getvalue()),
        "long": httpx.Response(200, headers={"content-length": "999999999"}),
    }
    urls = [f"{ELSEWHERE}/{name}" for name in answers]
    unsafe = [f"{SERVICE}/artwork/any", "https://10.0.0.1/cover.png", "http://plain.com/cover.png"]
    await adopted(rig, *urls, *unsafe)
    for url, answer in zip(urls, answers.values(), strict=True):
        rig.internet.addresses[url] = lambda answer=answer: answer
    for _ in range(2):
        await cover_worker(rig).run_once()
    assert sorted(rig.internet.asked) == sorted(urls)
    assert jobs_of(rig) == dict.fromkeys([*urls, *unsafe], JobState.FAILED)


async def test_a_host_that_is_away_is_asked_a_few_times_with_pauses(rig: AdoptRig) -> None:
    await adopted(rig, COVER)
    rig.internet.addresses[COVER] = lambda: httpx.Response(503)
    for attempt in range(MAX_ATTEMPTS + 2):
        for _ in range(2):
            await cover_worker(rig).run_once()
        assert len(rig.internet.asked) == min(attempt + 1, MAX_ATTEMPTS)
        rig.clock.ahead += timedelta(hours=6)
    assert jobs_of(rig) == {COVER: JobState.FAILED}


async def test_the_text_of_a_record_names_no_stored_cover(rig: AdoptRig) -> None:
    await adopted(rig, "did:plc:alice", f"{ELSEWHERE}/{'x' * 600}")
    await cover_worker(rig).run_once()
    assert (rig.internet.asked, jobs_of(rig)) == ([], {})


async def test_the_sweep_takes_a_cover_that_no_track_names_and_what_was_remembered_of_it(
    rig: AdoptRig,
) -> None:
    gone = f"{ELSEWHERE}/gone.png"
    await adopted(rig, COVER, gone)
    rig.internet.holds(COVER, samples.png())
    await cover_worker(rig).run_once()
    day = timedelta(days=1)
    rig.clock.ahead += 2 * day
    sweep_media(rig.media, day)
    assert (has_cover(rig, COVER), set(jobs_of(rig))) == (True, {gone})
    for number in (1, 2):
        track = rig.track(rig.tracks()[f"Song {number}"].track_id)
        rig.change(track, lambda track: track.set_artwork(None, at=rig.clock()))
    sweep_media(rig.media, day)
    assert (has_cover(rig, COVER), jobs_of(rig)) == (False, {})
    assert sorted(each.mime for each in rig.live()) == ["audio/mpeg"] * 2


async def test_a_cover_that_was_taken_down_is_not_fetched_from_another_host(rig: AdoptRig) -> None:
    stored = f"{ELSEWHERE}/stored.png"
    rig.internet.holds(stored, samples.png(1000, 500))
    rig.internet.record(9, imageUrl=stored)
    await rig.adopts()
    (down,) = rig.tracks().values()
    rig.takes_down(down.track_id)
    rig.internet.record(1, imageUrl=COVER)
    await rig.adopts()
    rig.internet.holds(COVER, samples.png(1000, 500))
    await cover_worker(rig).run_once()
    assert (has_cover(rig, COVER), jobs_of(rig)[COVER]) == (False, JobState.FAILED)
