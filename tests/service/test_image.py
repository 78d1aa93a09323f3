"""The image: its health check, its labels, and the bill of what is in it; all without building it."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
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


def test_the_base_image_is_an_argument_and_each_label_of_the_image_has_a_value() -> None:
    head, *stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert re.search(r"^ARG BASE_IMAGE=\S+$", head, re.MULTILINE)
    assert [stage.split()[0] for stage in stages] == ["${BASE_IMAGE}"] * len(stages)
    labels = dict(re.findall(r'\borg\.opencontainers\.image\.([\w.]+)="([^"]+)"', stages[-1]))
    assert labels.keys() == {
        "title", "description", "licenses", "version", "revision", "created", "source", "base.name",
    }  # fmt: skip
    # a stage knows only the arguments that it names
    known = dict(re.findall(r"^ARG (\w+)(?:=(\S*))?$", stages[-1], re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)\}", " ".join(labels.values()))) == known.keys()
    assert known["VERSION"] == version("mastertape")
