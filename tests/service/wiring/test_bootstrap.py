"""The container that the settings give, and its adapters."""

import asyncio
import io
import wave
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from api.middleware.request_id import over_http
from devpds.server import DevPds, DevPlc
from identity.errors import SessionUnavailableError, SignInRequiredError
from outbox import ports
from outbox.mirror.tables import mirror_lane
from service.config.settings import Settings
from service.observability.readiness import outdated_projections, why_not_ready
from service.wiring.adapters import AccountLanes, IdentitySessions, StorageAudio
from service.wiring.bootstrap import Container, build
from storage.cid import CidHasher
from tests.servers.atproto import PdsAccount
from tests.service.command_line import daemon


def tone() -> bytes:
    """A tenth of a second."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x00\x10" * 800)
    return sound.getvalue()


@pytest.mark.pds
def test_an_upload_over_http_arrives_at_the_pds(
    tmp_path: Path, pds: DevPds, plc: DevPlc, pds_account: PdsAccount
) -> None:
    settings = {"DATA": tmp_path / "data", "PLC_URL": plc.url, "DEV_ORIGINS": pds.url}
    with daemon(tmp_path / "log", "serve", **settings) as service:
        service.wait_for("mastertape answers on")
        assert service.get("/readyz").json() == {"status": "ready"}
        with httpx.Client(base_url=service.url, timeout=60) as client:
            signed_in = client.post(
                "/auth/app-password",
                json={"identifier": pds_account.handle, "password": pds_account.app_password},
            )
            client.cookies.clear()
            client.headers["authorization"] = f"Bearer {signed_in.json()['token']}"
            track = client.post(
                "/tracks",
                data={"title": "One"},
                files={"file": ("one.wav", tone())},
                headers={"prefer": "wait=30"},
            ).json()
        assert track["mirror"]["state"] == "delivered"
        assert pds_account.app_password not in service.output
        assert signed_in.json()["token"] not in service.output
    record = pds.get_record(pds_account.did, "fm.plyr.track", track["atproto_record_uri"].rsplit("/")[-1])
    assert record is not None
    assert record["value"]["title"] == "One"


@pytest.mark.pds
def test_parts_share_database_and_sessions(
    tmp_path: Path, fresh_sqlite: str, pds: DevPds, plc: DevPlc, pds_account: PdsAccount
) -> None:
    """Sign-in makes the lane due in its transaction, and the relay writes with the tokens it brought."""
    from service.schema.migrate import upgrade

    upgrade(fresh_sqlite)
    container = build(
        Settings(data=tmp_path / "data", database_url=fresh_sqlite, plc_url=plc.url, dev_origins=(pds.url,))
    )

    async def sign_in() -> httpx.Response:
        assert container.services.sign_in is not None
        await container.services.sign_in.sign_in(
            pds_account.handle, SecretStr(pds_account.app_password), by=over_http
        )
        sessions = IdentitySessions(container.sessions)
        try:
            return await sessions.request(
                pds_account.did, "GET", "com.atproto.server.getSession", host=pds.url, timeout=10
            )
        finally:
            await container.close()

    assert asyncio.run(sign_in()).json()["did"] == pds_account.did
    with container.database.read() as connection:
        lane = connection.execute(select(mirror_lane)).one()
    assert (lane.did, lane.host, lane.state) == (pds_account.did, pds.url, "ready")
    container.database.close()


def test_nothing_connects_before_it_is_used(tmp_path: Path) -> None:
    container = build(
        Settings(
            data=tmp_path,
            database_url="postgresql://nobody@127.0.0.1:1/nothing",
            media="s3:tapes",
            s3_endpoint="http://127.0.0.1:1",
        )
    )
    assert container.services.not_ready_because() == "the database does not answer"
    asyncio.run(container.close())


@pytest.mark.parametrize(
    ("given", "attribute", "is_there"),
    [
        ({}, "sign_in", True),
        ({"app_password_login": False}, "sign_in", False),
        ({}, "supporters", False),
        ({"supporters_url": "http://127.0.0.1:1/who"}, "supporters", True),
    ],
)
def test_parts_that_are_switched_off_are_not_built(
    tmp_path: Path, given: dict[str, Any], attribute: str, is_there: bool
) -> None:
    container = build(Settings(data=tmp_path, **given))
    assert (getattr(container.services, attribute) is not None) is is_there
    asyncio.run(container.close())


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
        (SessionUnavailableError("did:plc:a", "its tokens do not open"), True),
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


def test_process_of_another_version_is_not_ready(tape: Container) -> None:
    assert why_not_ready(tape.log) is None
    with tape.database.write() as connection:
        connection.execute(text("update projection_state set fingerprint = 'x' where name = 'tracks'"))
    assert [each.name for each in outdated_projections(tape.log)] == ["tracks"]
    assert "run `mastertape rebuild tracks`" in str(why_not_ready(tape.log))
    with tape.database.write() as connection:
        connection.execute(text("update alembic_version set version_num = '0000'"))
    assert "run `mastertape migrate`" in str(why_not_ready(tape.log))


def test_lease_and_lanes_are_the_settings(tmp_path: Path) -> None:
    container = build(Settings(data=tmp_path, lanes=7, lease_seconds=99))
    limits = container.relay._limits  # noqa: SLF001
    assert (limits.lanes, limits.lease) == (7, timedelta(seconds=99))
    asyncio.run(container.close())
