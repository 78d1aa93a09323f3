"""`mastertape verify pds`, `plan` and `apply`."""

import pytest
from sqlalchemy import update

from outbox.mirror.tables import mirror_lane
from service.config.settings import PREFIX
from service.wiring.bootstrap import Container
from tests.dsl import ALICE
from tests.service.cli.conftest import Type


@pytest.mark.parametrize("command", [("verify", "pds"), ("plan",), ("apply",)])
def test_an_unknown_account_does_not_count_as_verified(on_tape: Type, command: tuple[str, ...]) -> None:
    result = on_tape(*command, "--did", "did:plc:nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: nothing is known of 'did:plc:nobody': ")


def test_a_plan_that_is_without_a_repo_says_so_and_succeeds(
    on_tape: Type, tape: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_listens = "http://127.0.0.1:1"
    monkeypatch.setenv(f"{PREFIX}DEV_ORIGINS", nobody_listens)
    with tape.database.write() as connection:
        connection.execute(update(mirror_lane).values(host=nobody_listens))
    for command in (("plan",), ("apply", "--dry-run")):
        result = on_tape(*command)
        assert result.exit_code == 0
        assert f"not read: {ALICE} at {nobody_listens}: " in result.stderr
        assert "the plan is without 1 repos: plan again once they can be read\n" in result.stderr
    assert on_tape("apply").exit_code == 1
