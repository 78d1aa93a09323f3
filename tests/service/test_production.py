"""What deploy/ has for real accounts: a compose file and systemd units that mean what they should."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import settings as settings_module
from service.config.secret_keys import new_oauth_keys
from service.config.settings import PREFIX, load
from tests.service.command_line import MASTERTAPE

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.production.yml"
OURS = ("app", "relay", "migrate")
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")
SECRETS = {
    "MASTERTAPE_SECRET_KEYS": "k" * 32,
    "MASTERTAPE_OAUTH_KEYS": new_oauth_keys(),
    "MASTERTAPE_DATABASE_URL": "postgresql://mastertape:hush@postgres/mastertape",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, with DOMAIN given and defaults in the place of the other variables."""
    text = VARIABLE.sub(
        lambda found: "tape.example" if found[1] == "DOMAIN" else found[2] or "", COMPOSE.read_text()
    )
    return dict(yaml.safe_load(text))


@pytest.mark.parametrize("name", OURS)
def test_settings_are_of_a_public_service_with_its_secrets_in_files(
    compose: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = compose["services"][name]
    for variable, value in service["environment"].items():
        if variable.startswith(PREFIX):
            monkeypatch.setenv(variable, value or "")
    for secret in service["secrets"]:
        (tmp_path / secret).write_text(SECRETS[secret] + "\n")
    monkeypatch.setattr(settings_module, "SECRETS_FOLDER", tmp_path)
    settings = load()
    assert (settings.base_url, settings.relay) == ("https://tape.example", False)
    assert (settings.app_password_login, settings.dev_origins, settings.plc_url) == (False, (), None)
    assert "hush" not in COMPOSE.read_text() + str(service["environment"])


def test_every_service_is_watched_limited_and_started_again(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
        is_watched_by_the_image = name in {"app", "relay"} and "healthcheck" not in service
        assert is_watched_by_the_image or name == "migrate" or "test" in service["healthcheck"], name
    assert "pds" not in compose["services"]
    assert [port for service in compose["services"].values() for port in service.get("ports", ())] == [
        "80:80", "443:443", "443:443/udp",
    ]  # fmt: skip


def test_secrets_are_files_beside_it_and_every_one_is_used(compose: dict[str, Any]) -> None:
    used = {secret for service in compose["services"].values() for secret in service.get("secrets", ())}
    assert {name: secret["file"] for name, secret in compose["secrets"].items()} == {
        name: f"./secrets/{name}" for name in used
    }


def test_the_example_of_its_environment_names_every_variable() -> None:
    named = re.findall(r"^#?(\w+)=", (DEPLOY / "production.env.example").read_text(), re.MULTILINE)
    assert {found[1] for found in VARIABLE.finditer(COMPOSE.read_text())} == set(named)


@pytest.mark.docker_compose
def test_compose_itself_accepts_both_files() -> None:
    for file in (COMPOSE, DEPLOY.parent / "docker-compose.yml"):
        checked = subprocess.run(
            ["docker-compose", "-f", file, "config", "-q"],  # noqa: S607
            env=os.environ | {"DOMAIN": "tape.example"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stderr


@pytest.mark.systemd_analyze
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    units = list((DEPLOY / "systemd").iterdir())
    for unit in units:
        here = unit.read_text().replace("/opt/mastertape/bin/mastertape", str(MASTERTAPE))
        (tmp_path / unit.name).write_text(here)
    checked = subprocess.run(
        [shutil.which("systemd-analyze") or "", "verify", *(tmp_path / unit.name for unit in units)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("unit", ["mastertape", "mastertape-relay"])
def test_a_unit_runs_a_command_of_ours_with_its_secrets_as_credentials(unit: str) -> None:
    text = (DEPLOY / "systemd" / f"{unit}.service").read_text()
    assert re.findall(r"/opt/mastertape/bin/mastertape (\w+)", text) == [
        {"mastertape": "serve", "mastertape-relay": "relay"}[unit]
    ]
    credentials = re.findall(r"^#?LoadCredential=(\w+):/etc/mastertape/secrets/(\w+)$", text, re.MULTILINE)
    assert credentials == [(name, name) for name in SECRETS]
