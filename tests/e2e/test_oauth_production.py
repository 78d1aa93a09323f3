"""OAuth as in production: see oauth_production.py, and tests/servers/internet.py for its network."""

import pytest

from tests.servers.internet import assert_ends_well

pytestmark = [pytest.mark.pds, pytest.mark.namespaces]


@pytest.mark.timeout(900)
def test_an_account_signs_in_over_tls_as_a_confidential_client_and_stays_so_while_keys_rotate(tmp_path):
    assert_ends_well("tests.e2e.oauth_production", tmp_path)
