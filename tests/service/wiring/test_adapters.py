"""The adapters translate errors of one package to those of another."""

import asyncio
import io
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from identity.errors import SessionUnavailableError, SignInRequiredError
from outbox import ports
from outbox.mirror.tables import mirror_lane
from service.wiring.adapters import AccountLanes, IdentitySessions, StorageAudio
from service.wiring.bootstrap import Container
from storage.cid import CidHasher


class Refusing:
    """Sessions that cannot be used."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def request(self, *_: Any, **__: Any) -> httpx.Response:
        raise self.error


@pytest.mark.parametrize(
    ("error", "renamed"),
    [
        (SignInRequiredError("did:plc:a"), ports.SignInRequiredError),
        (SessionUnavailableError("did:plc:a", "busy"), ports.SessionUnavailableError),
        (httpx.ReadTimeout("slow"), httpx.ReadTimeout),
    ],
)
def test_errors_of_identity_become_errors_of_the_outbox(error: Exception, renamed: type[Exception]) -> None:
    sessions = IdentitySessions(Refusing(error))  # type: ignore[arg-type]
    with pytest.raises(renamed):
        asyncio.run(sessions.request("did:plc:a", "GET", "a.b.c", host="https://pds.example.com"))


@pytest.mark.parametrize(
    ("error", "is_ours"),
    [
        (SessionUnavailableError("did:plc:a", "its tokens cannot be decrypted"), True),
        (SessionUnavailableError("did:plc:a", "away", cause=httpx.ConnectError("refused")), False),
        (SessionUnavailableError("did:plc:a", "busy", status=503), False),
    ],
)
def test_a_session_that_was_not_used_says_nothing_of_its_pds(error: Exception, is_ours: bool) -> None:
    sessions = IdentitySessions(Refusing(error))  # type: ignore[arg-type]
    with pytest.raises(ports.SessionUnavailableError) as raised:
        asyncio.run(sessions.request("did:plc:a", "GET", "a.b.c", host="https://pds.example.com"))
    assert raised.value.is_ours is is_ours


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
