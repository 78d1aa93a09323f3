"""`mastertape verify pds`, `plan` and `apply`."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from sqlalchemy import update

from aggregates.published import Subject
from application.operators import apply_found, start_repair
from devpds.server import DevPds
from eventstore.errors import LogBusyError
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind
from outbox.mirror.tables import mirror_lane
from outbox.pds.client import RecordKey
from replay.reconcile.drift import Drift, DriftKind
from replay.reconcile.verify import Repo, Verified
from replay.repair.jobs import REPAIR, repairs
from service.config.settings import PREFIX
from service.wiring.bootstrap import Container
from tests.dsl import ALICE, COLLECTION
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on, rig_on
from tests.replay.repair.rig import ADMIN
from tests.servers.atproto import PdsAccount
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import Type

pytestmark = ON_SQLITE

RECORD = RecordKey(ALICE, "fm.plyr.track", "3kplan2222222")
A_KIND = Kind(
    REPAIR,
    AsyncMock(),
    max_concurrent=1,
    first_pause_seconds=1.0,
    max_pause_seconds=1.0,
)
SILENT = "http://127.0.0.1:1"


@pytest.mark.parametrize("command", [("verify", "pds"), ("plan",), ("apply",)])
def test_an_unknown_account_does_not_count_as_verified(on_tape: Type, command: tuple[str, ...]) -> None:
    result = on_tape(*command, "--did", "did:plc:nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: nothing is known of 'did:plc:nobody': ")


def test_a_plan_that_is_without_a_repo_says_so_and_succeeds(
    on_tape: Type, tape: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}DEV_ORIGINS", SILENT)
    with tape.database.write() as connection:
        connection.execute(update(mirror_lane).values(host=SILENT))
    for command in (("plan",), ("apply", "--dry-run")):
        result = on_tape(*command)
        assert result.exit_code == 0
        assert f"not read: {ALICE} at {SILENT}: " in result.stderr
        assert "the plan is without 1 repos: plan again once they can be read\n" in result.stderr
    assert on_tape("apply").exit_code == 1


def test_a_plan_of_many_records_is_told_in_groups_and_applied_only_when_agreed_to(
    on_tape: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [_missing(number) for number in range(1, 10_001)]
    monkeypatch.setattr("service.cli.verify.verify_accounts", _found(missing))

    told = on_tape("plan").stdout.splitlines()
    assert told[0].startswith("10000 writes, 0 of them deletes; 30000 points; about ")
    assert len(told) < 10
    assert missing[0].key.uri in told[4]
    monkeypatch.setattr("service.cli.verify.verify_accounts", _found(missing[:1_000]))
    assert {drift.key.uri for drift in missing[:1_000]} <= set(on_tape("plan", "--all").stdout.split())
    refused = on_tape("apply")
    assert (refused.exit_code, "Nothing was done; say --yes" in refused.stderr) == (2, True)


def test_a_verification_of_many_records_and_repos_is_told_in_groups(
    on_tape: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [_missing(number) for number in range(1, 10_001)]
    away = [Verified(Repo(f"did:plc:{number}", SILENT), 0, problem="no answer") for number in range(1_000)]
    monkeypatch.setattr("service.cli.verify.verify_accounts", _found(missing, *away))

    result = on_tape("verify", "pds")
    told = result.stdout.splitlines()
    assert result.exit_code == 3
    assert told[0] == "10000 records in 1 repos: 10000 missing; 1000 repos could not be read"
    assert len(told) < 15
    [drift] = [line.split() for line in told[1:] if "missing" in line]
    assert {"10000", missing[0].key.uri} <= set(drift)
    [unread] = [line.split() for line in told if SILENT in line]
    assert {"1000", "did:plc:0"} <= set(unread)
    monkeypatch.setattr("service.cli.verify.verify_accounts", _found(missing[:100], *away))
    listed = set(on_tape("verify", "pds", "--all").stdout.split())
    assert {drift.key.uri for drift in missing[:100]} | {each.repo.did for each in away} <= listed


def test_a_verification_that_judged_not_everything_says_so_and_does_not_succeed(
    on_tape: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Verified(Repo(ALICE, SILENT), 1, unjudged=frozenset({RECORD}))
    monkeypatch.setattr("service.cli.verify.verify_accounts", _found([], found))
    result = on_tape("verify", "pds", "--all")
    assert result.exit_code == 3
    assert "; 1 records are on their way or cannot be read, and were not judged" in result.stdout
    assert f"not judged: {RECORD.uri}\n" in result.stdout
    assert json.loads(on_tape("verify", "pds", "--json").stdout)["repos"][1]["unjudged"] == [RECORD.uri]


def test_an_account_that_cannot_be_resumed_is_named_and_the_others_are_resumed(
    on_tape: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    repos = [Repo(did, SILENT) for did in (ALICE, "did:plc:other")]
    resumed = []

    def resumes(_log: object, found: Verified, *_by: object) -> None:
        resumed.append(found.repo.did)
        if found.repo.did == ALICE:
            raise LogBusyError("the log is locked")

    monkeypatch.setattr("service.cli.verify.repos_of", lambda *_, **__: repos)
    monkeypatch.setattr("service.cli.verify.resume_account", resumes)
    result = on_tape("verify", "pds", "--all")
    assert sorted(resumed) == sorted(repo.did for repo in repos)
    assert result.exit_code == 1
    assert f"not read: {ALICE} at {SILENT}: LogBusyError: the log is locked\n" in result.stdout


@pytest.mark.parametrize("drifts", [[], [Drift(DriftKind.UNKNOWN, RECORD, None, None, None)]])
def test_an_apply_without_a_repair_says_so_and_neither_asks_nor_names_the_relay(
    on_tape: Type, monkeypatch: pytest.MonkeyPatch, drifts: list[Drift]
) -> None:
    monkeypatch.setattr("service.cli.verify.verify_accounts", _found(drifts))
    result = on_tape("apply")
    assert (result.exit_code, result.stdout) == (0, "nothing to repair in 1 repos\n")


def test_a_plan_tells_of_records_that_were_not_judged_and_names_the_repos_that_were_not_read_whole(
    on_tape: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = frozenset({RECORD})
    found = Verified(Repo(ALICE, SILENT), 1, unjudged=records, unread=records)
    monkeypatch.setattr("service.cli.verify.verify_accounts", _found([], found))
    for command in ("plan", "apply"):
        result = on_tape(command)
        assert (result.exit_code, result.stderr.splitlines()) == (
            0,
            [
                "1 records are on their way or cannot be read, and were not judged",
                f"not read whole: {ALICE} at {SILENT}: 1 records cannot be read",
            ],
        )
    assert json.loads(on_tape("plan", "--json").stdout)["unjudged"] == 1


@pytest.mark.anyio
@pytest.mark.pds
async def test_an_apply_is_a_repair_that_the_console_shows_and_that_deletes_only_what_it_may(
    typed: Type, migrated_url: str, pds: DevPds, pds_account: PdsAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", migrated_url)
    monkeypatch.setenv(f"{PREFIX}DEV_ORIGINS", pds.url)
    async with rig_on(migrated_url, pds, pds_account) as rig:
        lost, gone = rig.upload(1), rig.upload(2)
        await rig.relay_once()
        record = rig.remote(gone)
        rig.command(2, lambda track: track.delete(at=rig.clock()))
        await rig.relay_once()
        pds.put_record(rig.did, COLLECTION, gone.rkey, record)
        pds.delete_record(rig.did, COLLECTION, lost.rkey)
        await asyncio.to_thread(typed, "rebuild")  # the rig's log has not all of the read models

        refused = await asyncio.to_thread(typed, "apply", "--yes")
        assert (refused.exit_code, "say --max-deletes 1" in refused.stderr) == (1, True), refused.output
        assert _repairs(rig) == []

        done = await asyncio.to_thread(typed, "apply", "--yes", "--max-deletes", "1")
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        told = done.stdout.splitlines()
        assert told[0].startswith("2 writes, 1 of them deletes; ")
        assert told[-1] == "2 applied, 0 skipped in 1 repairs; the relay does it"
        [repair] = _repairs(rig)
        assert (repair.state, repair.applied, repair.via) == ("done", 2, "cli")
        assert rig.types()[-1] == "RecordRestored"


@pytest.mark.anyio
async def test_an_apply_leaves_an_unfinished_repair_of_the_account_to_its_admin(
    typed: Type, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", migrated_url)
    async with memory_rig_on(migrated_url) as rig:
        rig.upload(1)
        start_repair(rig.log, rig.did, ADMIN)
        await asyncio.to_thread(typed, "rebuild")
        monkeypatch.setattr("service.cli.verify.verify_accounts", _found([_missing(1)]))
        result = await asyncio.to_thread(typed, "apply", "--yes")
        assert result.exit_code == 1
        assert f"repair 1 of {rig.did} is verifying; see /ops/repairs\n" in result.stderr
        [repair] = _repairs(rig)
        assert (repair.state, repair.actor) == ("verifying", ADMIN.envelope.actor)


@pytest.mark.anyio
async def test_an_apply_waits_for_the_process_that_has_begun_its_repair_and_goes_on_where_that_dies(
    typed: Type, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", migrated_url)
    async with memory_rig_on(migrated_url) as rig:
        rig.upload(1)
        await rig.relay_once()
        await asyncio.to_thread(typed, "rebuild")
        begun: list[Job] = []

        def apply_beside_a_service(log: EventLog, *given: Any) -> tuple[int, bool]:
            started = apply_found(log, *given)
            claimed = queue.claim(rig.database, A_KIND, owner="a service", lease=timedelta(minutes=1))
            assert claimed is not None
            begun.append(claimed)
            return started

        def is_unfinished(*asked: Any) -> bool:
            queue.release(rig.database, begun.pop())
            return queue.is_unfinished(*asked)

        monkeypatch.setattr("service.cli.verify.verify_accounts", _found([_missing(1)]))
        monkeypatch.setattr("service.cli.verify.apply_found", apply_beside_a_service)
        monkeypatch.setattr("service.cli.verify.is_unfinished", is_unfinished)
        result = await asyncio.to_thread(typed, "apply", "--yes")
        assert begun == []
        # tried here, where the rig's PDS has no address
        assert f"repair 1 of {rig.did} is applying: UnsafeAddressError" in result.stderr


def _repairs(rig: Rig) -> Sequence[Any]:
    with rig.database.read() as connection:
        return repairs(connection, limit=10)


def _missing(number: int) -> Drift:
    key = RecordKey(ALICE, "fm.plyr.track", f"{'a-long-record-key-' * 10}{number}")
    return Drift(DriftKind.MISSING, key, Subject("track", number), None, None)


def _found(drifts: list[Drift], *others: Verified) -> Callable[..., Awaitable[list[Verified]]]:
    async def verified(_did: str | None, **_options: bool) -> list[Verified]:
        return [Verified(Repo(ALICE, "https://pds.example.com"), len(drifts), tuple(drifts)), *others]

    return verified
