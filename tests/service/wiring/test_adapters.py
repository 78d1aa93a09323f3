"""The adapters translate errors of one package to those of another."""

import io

import pytest
from sqlalchemy import select

from outbox.mirror.tables import mirror_lane
from service.wiring.adapters import AccountLanes, StorageAudio
from service.wiring.bootstrap import Container
from storage.cid import CidHasher


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


def test_the_lane_changes_in_the_transaction_of_its_session(container: Container) -> None:
    lanes = AccountLanes(container.database)

    def lane() -> tuple[str, str]:
        with container.database.read() as connection:
            row = connection.execute(select(mirror_lane)).one()
        return row.host, row.state

    with container.database.write() as connection:
        lanes.signed_in(connection, "did:plc:a", "https://one.example")
    assert lane() == ("https://one.example", "ready")
    with container.database.write() as connection, connection.begin_nested() as attempt:
        lanes.must_sign_in(connection, "did:plc:a")
        attempt.rollback()
    assert lane() == ("https://one.example", "ready")
    with container.database.write() as connection:
        lanes.must_sign_in(connection, "did:plc:a")
    assert lane() == ("https://one.example", "auth_required")
