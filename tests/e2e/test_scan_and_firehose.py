"""A scan and the firehose find what other clients do to a record, and the history shows it."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.story import COLLECTION
from devpds.server import DevPds
from eventstore.sql.database import Database
from outbox.firehose.cursors import streams
from tests.e2e.artist import Artist
from tests.servers.preloaded import Service
from tests.waits import until

pytestmark = pytest.mark.pds

BY_A_SCAN = {"MASTERTAPE_SCAN_MINUTES": "0.01"}
BY_THE_STREAM = {"MASTERTAPE_FIREHOSE": "on"}


@pytest.fixture(
    params=[
        pytest.param(("migrated_sqlite", BY_A_SCAN), id="sqlite, by a scan"),
        pytest.param(
            ("migrated_postgres", BY_THE_STREAM), id="postgres, by the stream", marks=pytest.mark.postgres
        ),
    ]
)
def service(request: pytest.FixtureRequest, pds: DevPds, tmp_path: Path) -> Iterator[Service]:
    """A service that can notice in one way alone."""
    database, way = request.param
    url = request.getfixturevalue(database)
    service = Service(tmp_path / "data", pds, env={"MASTERTAPE_DATABASE_URL": url, **way})
    service.start()
    yield service
    service.stop()


@pytest.fixture
def artist(artist: Artist, service: Service) -> Artist:
    """An artist of it, whom it is listening to if it listens at all."""
    until(lambda: not listens(service) or is_connected(service))
    return artist


def metrics(service: Service) -> str:
    return httpx.get(f"{service.url}/metrics").text


def listens(service: Service) -> bool:
    return "MASTERTAPE_FIREHOSE" in service.settings


def is_connected(service: Service) -> bool:
    with (
        closing(Database(service.settings["MASTERTAPE_DATABASE_URL"])) as database,
        database.read() as connection,
    ):
        return "followed" in streams(connection, database.now(connection), limit=1).by_state


def noticed(service: Service) -> float:
    """How often it has noticed something, by its numbers."""
    name = 'firehose_messages_total{what="foreign"}' if listens(service) else "mirror_drift_total{kind="
    return sum(
        float(n) for n in re.findall(rf"^{re.escape(name)}.*? ([0-9.]+)$", metrics(service), re.MULTILINE)
    )


def history(artist: Artist, track_id: int) -> list[tuple[str, str]]:
    return [(row["type"], row["actor"]) for row in artist.client.history(track_id)]


def test_each_thing_that_another_client_does_ends_as_it_is_documented(
    service: Service, artist: Artist, pds: DevPds
) -> None:
    edited, deleted, extended = (uploaded(artist) for _ in range(3))
    ours = {rkey(track): record(artist, track) for track in (edited, deleted)}
    before = noticed(service)
    pds.put_record(artist.did, COLLECTION, rkey(edited), {**record(artist, edited), "title": "Theirs"})
    pds.delete_record(artist.did, COLLECTION, rkey(deleted))
    pds.put_record(artist.did, COLLECTION, rkey(extended), {**record(artist, extended), "mood": "blue"})

    until(lambda: history(artist, edited["id"])[1:] == [("ForeignEditObserved", "relay")])
    until(lambda: history(artist, deleted["id"])[1:] == [("RecordMissing", "relay")])
    known = pds.get_record(artist.did, COLLECTION, rkey(extended))
    assert known is not None
    until(lambda: artist.client.track(extended["id"])["atproto_record_cid"] == known["cid"])
    until(lambda: noticed(service) - before >= 3)

    states = [artist.client.mirror(track["id"]) for track in (edited, deleted, extended)]
    assert [state["state"] for state in states] == ["held", "detached", "delivered"]
    assert record(artist, edited)["title"] == "Theirs"
    assert pds.get_record(artist.did, COLLECTION, rkey(deleted)) is None
    assert len(history(artist, extended["id"])) == 1
    artist.client.edit(extended["id"], title="Ours")
    until(lambda: record(artist, extended)["title"] == "Ours")
    assert record(artist, extended)["mood"] == "blue"

    for key, value in ours.items():
        pds.put_record(artist.did, COLLECTION, key, value)
    for track in (edited, deleted):
        until(lambda track=track: artist.client.mirror(track["id"])["state"] == "delivered")
        assert history(artist, track["id"])[2:] == [("ForeignEditWithdrawn", "relay")]


def uploaded(artist: Artist) -> dict[str, Any]:
    track = artist.uploads()
    artist.agreed()
    return track


def rkey(track: dict[str, Any]) -> str:
    return str(track["atproto_record_uri"]).rsplit("/", 1)[1]


def record(artist: Artist, track: dict[str, Any]) -> dict[str, Any]:
    found = artist.pds.get_record(artist.did, COLLECTION, rkey(track))
    assert found is not None
    return dict(found["value"])
