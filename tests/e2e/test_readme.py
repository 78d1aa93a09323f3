"""The commands of README, as a reader pastes them."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import ONE_DATABASE

pytestmark = [pytest.mark.pds, ONE_DATABASE]

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"## A record on a PDS, by hand\n(.*?)\n## ", re.DOTALL)
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


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
