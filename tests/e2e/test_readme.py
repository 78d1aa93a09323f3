"""The commands of README, as a reader pastes them."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from devpds.ports import free_port
from tests.e2e.conftest import DEEP, ONE_DATABASE
from tests.e2e.foreground import foreground

pytestmark = pytest.mark.pds

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"## A record on a PDS, by hand\n(.*?)\n## ", re.DOTALL)
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PRINTED_CURL = re.compile(r"^  (curl .*?)\n\n", re.MULTILINE | re.DOTALL)


@ONE_DATABASE
def test_the_curls_of_readme_put_a_record_on_a_pds(service, pds, pds_account, tmp_path):
    (section,) = SECTION.findall((ROOT / "README.md").read_text())
    _, curls = BLOCK.findall(section)
    for written, here in {
        "http://127.0.0.1:8000": service.url,
        "http://localhost:2583": pds.url,
        "ann.test": pds_account.handle,
        "let me in": pds_account.app_password,
        "-c cookies": f"-c {tmp_path}/cookies",
        "-b cookies": f"-b {tmp_path}/cookies",
    }.items():
        assert written in curls
        curls = curls.replace(written, here)
    signed_in, track, listed = (
        json.loads(subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, check=True).stdout)  # noqa: S607
        for line in curls.splitlines()
    )
    assert signed_in["did"] == pds_account.did
    assert track["mirror"]["state"] == "delivered"
    (record,) = listed["records"]
    assert record["uri"] == track["atproto_record_uri"]
    assert record["value"]["title"] == "First Take"


@pytest.mark.skipif(not DEEP, reason="starts a PDS of its own: ./dev test --deep")
def test_dev_pds_prints_a_command_that_creates_an_account(tmp_path):
    args = ("devpds", "--port", str(free_port()), "--plc-port", str(free_port()), "--data", tmp_path / "data")
    with foreground(tmp_path / "log", *args, said="Ctrl-C stops both.", seconds=60) as pds:
        (command,) = PRINTED_CURL.findall(pds.output)
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)  # noqa: S607
        assert json.loads(done.stdout)["handle"] == "ann.test"
        assert pds.interrupt() == 0
