"""Log and metrics hold no secret after a sign-in, a failure whose response echoes the login, and refreshes."""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.cli.serve import asgi
from service.config.settings import Settings
from service.wiring.bootstrap import build
from tests.api.client import TestClient
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE
from tests.service.one_account import DID, OneAccount, captured_log, route_pds_requests_to, sign_in
from tests.waits import until

SECRET_KEY = "sentinel-of-the-seal-" + "k" * 32


class EchoingInternet(OneAccount):
    def __init__(self) -> None:
        super().__init__()
        self.echoes = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.echoes and request.url.path.endswith("putRecord"):
            self.echoes -= 1
            said = request.headers["authorization"]
            error = said.split()[-1]  # one word, as a name is
            return httpx.Response(500, json={"error": error, "message": f"cannot take {said}"})
        return await super().handle_async_request(request)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> EchoingInternet:
    made = EchoingInternet()
    route_pds_requests_to(made, monkeypatch)
    return made


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with captured_log() as text:
        yield text


@ON_SQLITE
def test_logs_and_metrics_name_account_and_host_and_hold_no_secret(
    settings: Settings, internet: EchoingInternet, log: io.StringIO
) -> None:
    settings = settings.model_copy(update={"secret_keys": (SecretStr(SECRET_KEY),)})
    with TestClient(asgi(build(settings)), base_url="http://127.0.0.1:8000") as client:
        token = sign_in(client, internet)

        def state() -> Any:
            return client.get(f"/tracks/{track['id']}").json()["mirror"]

        internet.echoes = 1
        track = client.post("/tracks", data={"title": "one"}, files={"file": samples.mp3(1)}).json()
        until(lambda: state()["state"] == "delivered")
        internet.pds.tokens.expire(DID)
        client.patch(f"/tracks/{track['id']}", json={"title": "two"})
        until(lambda: state()["state"] == "delivered")
        internet.pds.revoke_app_password(DID)
        internet.pds.tokens.expire(DID)
        client.patch(f"/tracks/{track['id']}", json={"title": "three"})
        until(lambda: state()["reason"] == "auth_required")
        metrics = client.get("/metrics").text

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    settled = [line for line in lines if line["message"] in {"settled", "not_delivered"}]
    refreshes = [line for line in lines if line["message"] == "session_refresh"]
    assert {"failed", "delivered"} <= {line["outcome"] for line in settled}
    assert [line["outcome"] for line in refreshes] == ["renewed", "ended"]
    for line in settled:
        assert (line["did"], line["host"]) == (DID, internet.pds.origin)
        assert line["epoch"] > 0
        assert line["request_id"].endswith(f":{line['epoch']}")
    for line in refreshes:
        assert (line["did"], line["host"]) == (DID, internet.pds.origin)
        assert line["generation"] > 0
    secrets = {*internet.secrets, token, SECRET_KEY}
    assert len(secrets) >= 7
    for secret in secrets:
        assert secret not in log.getvalue()
        assert secret not in metrics
    assert DID not in metrics
    assert 'oauth_refresh_total{outcome="renewed"} 1.0' in metrics
    assert 'mirror_attempts_total{error="other",op="put",outcome="ambiguous"} 1.0' in metrics
