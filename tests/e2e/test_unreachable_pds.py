"""A PDS whose name does not resolve or whose TLS fails: see unreachable_pds.py, and tests/servers/internet.py."""

import subprocess
from pathlib import Path

import pytest

from tests.servers.internet import command

pytestmark = [pytest.mark.pds, pytest.mark.namespaces]


@pytest.mark.timeout(900)
def test_an_unreachable_pds_is_sent_nothing_and_gets_everything_once_it_is_reachable(tmp_path: Path) -> None:
    done = subprocess.run(
        command("tests.e2e.unreachable_pds", str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert done.stdout.endswith("all good\n"), done.stdout + done.stderr
