"""A PDS whose name does not resolve or whose TLS fails: see unreachable_pds.py, and tests/servers/internet.py."""

from pathlib import Path

import pytest

from tests.servers.internet import assert_ends_well

pytestmark = [pytest.mark.pds, pytest.mark.namespaces]


@pytest.mark.timeout(900)
def test_an_unreachable_pds_is_sent_nothing_and_gets_everything_once_it_is_reachable(tmp_path: Path) -> None:
    assert_ends_well("tests.e2e.unreachable_pds", tmp_path)
