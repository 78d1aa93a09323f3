"""Settings for one test, and a container built from them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from aggregates.tracks.track import Track
from eventstore.change import Envelope
from eventstore.sql.schema import track_id_sequence
from service.config.settings import Settings
from service.wiring.bootstrap import Container, build
from tests.dsl import a_track, some_time


@pytest.fixture
def settings(tmp_path: Path, migrated_url: str) -> Settings:
    """Settings on a migrated database, once of each kind."""
    return Settings(data=tmp_path / "data", database_url=migrated_url)


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    container = build(settings)
    yield container
    asyncio.run(container.close())


@pytest.fixture
def tape(container: Container) -> Container:
    track = a_track()
    save(container, track)
    with container.database.write() as connection:  # an id of an older version
        connection.execute(insert(track_id_sequence).values(id=track.track_id, did=track.did))
    track.edit({"title": "Second"}, at=some_time(60))
    save(container, track)
    return container


def save(container: Container, track: Track) -> None:
    with container.log.unit_of_work(track.did, Envelope("artist", "test", "r")) as unit:
        unit.save(track)
