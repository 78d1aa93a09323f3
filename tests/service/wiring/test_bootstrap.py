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
from sqlalchemy import select

from api.middleware.request_id import over_http
from devpds.server import DevPds, DevPlc
from outbox.mirror.tables import mirror_lane
from service.config.settings import Settings
from service.wiring.adapters import IdentitySessions
from service.wiring.bootstrap import build
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


def test_lease_and_lanes_are_the_settings(tmp_path: Path) -> None:
    container = build(Settings(data=tmp_path, lanes=7, lease_seconds=99))
    limits = container.relay._limits  # noqa: SLF001
    assert (limits.lanes, limits.lease) == (7, timedelta(seconds=99))
    asyncio.run(container.close())
