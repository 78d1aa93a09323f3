"""OAuth as in production: see oauth_production.py, and tests/servers/internet.py for its network."""

import subprocess

import pytest

from tests.servers.internet import command

pytestmark = [pytest.mark.pds, pytest.mark.namespaces]


@pytest.mark.timeout(900)
def test_an_account_signs_in_over_tls_as_a_confidential_client_and_stays_so_while_keys_rotate(tmp_path):
    done = subprocess.run(
        command("tests.e2e.oauth_production", str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert done.stdout.endswith("all good\n"), done.stdout + done.stderr
