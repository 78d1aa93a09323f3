"""`mastertape verify pds`, `plan` and `apply`."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import update

from outbox.mirror.tables import mirror_lane
from outbox.pds.client import RecordKey
from replay.reconcile.drift import Drift, DriftKind
from replay.reconcile.verify import Repo, Verified
from service.config.settings import PREFIX
from service.wiring.bootstrap import Container
from tests.dsl import ALICE
from tests.service.cli.conftest import Type

RECORD = RecordKey(ALICE, "fm.plyr.track", "3kplan2222222")


@pytest.fixture
def migrated_url(migrated_sqlite: str) -> str:
    """What matters here is what is said: one database will do."""
    return migrated_sqlite


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


def test_a_plan_of_many_records_is_told_in_groups_and_applied_only_when_agreed_to(
    on_tape: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [_missing(number) for number in range(1, 1_001)]
    monkeypatch.setattr("service.cli.plan.verify_accounts", _found(missing))

    told = on_tape("plan").stdout.splitlines()
    assert told[0].startswith("1000 writes, 0 of them deletes; 3000 points; about ")
    assert len(told) < 10
    assert missing[0].key.uri in told[4]
    assert {drift.key.uri for drift in missing} <= set(on_tape("plan", "--all").stdout.split())
    refused = on_tape("apply")
    assert (refused.exit_code, "Nothing was done; say --yes" in refused.stderr) == (2, True)


@pytest.mark.parametrize("drifts", [[], [Drift(DriftKind.UNKNOWN, RECORD, None, None, None)]])
def test_an_apply_without_a_repair_says_so_and_neither_asks_nor_names_the_relay(
    on_tape: Type, monkeypatch: pytest.MonkeyPatch, drifts: list[Drift]
) -> None:
    monkeypatch.setattr("service.cli.plan.verify_accounts", _found(drifts))
    result = on_tape("apply")
    assert (result.exit_code, result.stdout) == (0, "nothing to repair in 1 repos\n")


def _missing(number: int) -> Drift:
    key = RecordKey(ALICE, "fm.plyr.track", f"{'a-long-record-key-' * 10}{number}")
    return Drift(DriftKind.MISSING, key, number, None, None)


def _found(drifts: list[Drift]) -> Callable[[str | None], Awaitable[list[Verified]]]:
    async def verified(_did: str | None) -> list[Verified]:
        return [Verified(Repo(ALICE, "https://pds.example.com"), len(drifts), tuple(drifts))]

    return verified
