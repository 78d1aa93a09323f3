"""The image: its health check, and the bill of what is in it; both without building it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devpds.ports import free_port
from tests.service.command_line import daemon, environment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", ["serve", "relay"])
def test_the_image_knows_whether_its_process_works(
    command: str, migrated_sqlite: str, tmp_path: Path
) -> None:
    [written] = re.findall(r"^HEALTHCHECK .* CMD (\[.+\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    metrics = f"127.0.0.1:{free_port()}"
    settings = {"DATA": tmp_path, "DATABASE_URL": migrated_sqlite, "METRICS": metrics}
    with daemon(tmp_path / "log", command, **settings) as process:
        _, option, script = json.loads(written)
        check = [sys.executable, option, script.replace("/proc/1/", f"/proc/{process.process.pid}/")]
        env = environment({"METRICS": metrics, "PORT": process.port})
        process.wait_for("the relay is running" if command == "relay" else "mastertape answers on")
        assert subprocess.run(check, env=env, check=False).returncode == 0
    assert subprocess.run(check, env=env, check=False, capture_output=True).returncode == 1


def test_the_bill_of_materials_has_every_package_of_the_lock_with_what_it_needs() -> None:
    lock = ROOT / "requirements/runtime.lock"
    made = subprocess.run(
        [sys.executable, ROOT / "deploy/sbom.py"], capture_output=True, text=True, check=True
    ).stdout
    bill = json.loads(made)
    pinned = re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE)
    assert [(each["name"], each["version"]) for each in bill["components"]] == pinned
    needs = {each["ref"].partition("@")[0]: each["dependsOn"] for each in bill["dependencies"]}
    assert {ref for each in needs.values() for ref in each} == {each["purl"] for each in bill["components"]}
    assert any(ref.startswith("pkg:pypi/starlette@") for ref in needs["pkg:pypi/fastapi"])
    assert any(ref.startswith("pkg:pypi/fastapi@") for ref in needs["mastertape"])
