"""docker-compose.yml starts one service in which a person can sign in. What runs it is not here; what it says is."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from service.config.settings import PREFIX, load
from tests.servers.s3 import S3Endpoint

ROOT = Path(__file__).parents[2]
NAMESPACE = "service:localhost"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "S3_SECRET_KEY"):
        text = text.replace(f"${{{name}:-mastertape}}", "mastertape")
    assert "${" not in text
    return dict(yaml.safe_load(text)["services"])


def test_every_dependency_is_a_service(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services, name
            if how["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"]
            if how["condition"] == "service_completed_successfully":
                assert services[other]["restart"] == "no"
    assert services["app"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", ["app", "relay", "migrate", "bucket"])
def test_settings_make_sense(
    services: dict[str, dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in services[name]["environment"].items():
        if variable.startswith(PREFIX):
            monkeypatch.setenv(variable, value)
    settings = load()
    assert settings.app_password_login
    assert not settings.relay
    assert settings.is_loopback


def test_browser_service_and_relay_find_the_pds_at_one_address(
    services: dict[str, dict[str, Any]],
) -> None:
    """A DID document holds one address of the PDS, so all containers share the network in which it is valid."""
    settings = services["app"]["environment"]
    published = {entry.rsplit(":", 1)[1] for entry in services["localhost"]["ports"]}
    for name in ("BASE_URL", "PLC_URL", "DEV_ORIGINS"):
        assert str(urlsplit(settings[PREFIX + name]).port) in published
    assert all(entry.startswith("127.0.0.1:") for entry in services["localhost"]["ports"])
    for name in ("app", "relay", "migrate", "bucket", "plc", "pds"):
        assert services[name]["network_mode"] == NAMESPACE
    assert settings[f"{PREFIX}PLC_URL"] == services["pds"]["environment"]["PDS_DID_PLC_URL"]


def test_service_and_relay_share_their_keys(services: dict[str, dict[str, Any]]) -> None:
    assert services["app"]["volumes"] == services["relay"]["volumes"] == ["data:/data"]


@pytest.mark.s3
def test_bucket_is_made_once(services: dict[str, dict[str, Any]], s3_endpoint: S3Endpoint) -> None:
    script = services["bucket"]["entrypoint"][-1]
    settings = {"MASTERTAPE_S3_ENDPOINT": s3_endpoint.url, "MASTERTAPE_MEDIA": "s3:of-compose"}
    for _ in range(2):
        env = os.environ | s3_endpoint.env | settings
        subprocess.run([sys.executable, "-c", script], env=env, check=True)
    names = [bucket["Name"] for bucket in s3_endpoint.client().list_buckets()["Buckets"]]
    assert names.count("of-compose") == 1


def test_image_builds_from_what_the_context_has() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!").split("/")[0] for line in ignored if line.startswith("!")}
    assert kept == {"pyproject.toml", "README.md", "requirements", "src", "migrations", "lexicons"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "uv pip sync --python /opt/mastertape --require-hashes requirements/runtime.lock" in dockerfile
    assert "\nUSER 10001\n" in dockerfile
