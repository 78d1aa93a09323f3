"""The adapters translate errors of one package to those of another, and hand on what another needs to know."""

import io

import pytest
from sqlalchemy import delete, insert, select, update

from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.sql.schema import projection_state
from service.wiring.adapters import StorageAudio
from service.wiring.bootstrap import Container
from storage.cid import CidHasher
from tests.eventstore.jobs.rig import KIND, kind
from tests.servers.databases import ON_SQLITE


@ON_SQLITE
def test_missing_audio_is_a_missing_file_to_the_outbox(container: Container) -> None:
    hasher = CidHasher()
    hasher.update(b"here")
    audio = StorageAudio(container.media)
    with pytest.raises(FileNotFoundError):
        audio.read(hasher.cid)
    container.media.add(hasher.cid, io.BytesIO(b"here"), 4, "audio/mpeg")
    assert b"".join(audio.read(hasher.cid)) == b"here"
    (found,) = container.media.store.stored()
    container.media.store.delete(found.key)
    with pytest.raises(FileNotFoundError):
        audio.read(hasher.cid)


@ON_SQLITE
@pytest.mark.anyio
async def test_a_process_that_does_not_fit_the_read_models_begins_no_job(tape: Container) -> None:
    database, worker = tape.database, tape.worker
    worker.add(kind())
    with database.write() as connection:
        queue.request(connection, [Wanted(KIND, "a", "alice")], database.now(connection))
        made_by = connection.execute(select(projection_state)).mappings().all()
        connection.execute(update(projection_state).values(fingerprint="another release"))
    assert not await worker.start_due()
    with database.write() as connection:
        connection.execute(delete(projection_state))
        connection.execute(insert(projection_state), made_by)
    worker.parts.make_due()
    assert await worker.start_due()
