"""`mastertape doctor`: its findings, and that each check runs although others fail."""

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, text, update

from aggregates.published import Subject
from devpds.server import DevPds
from eventstore.coordination.restore_detection import mark_restored
from identity.sessions.encryption import Cipher
from identity.sessions.session_store import PURPOSE, SessionKind, pds_session
from outbox.mirror.due import is_open
from outbox.mirror.failure_causes import count_failure
from outbox.mirror.lanes import change_lane, park_lane, record_failing, resume_lane
from outbox.mirror.observe_only import observed_account
from outbox.mirror.tables import PAST, delivery_attempt, mirror_target, pds_host, repo_scan
from outbox.mirror.targets import PUT
from outbox.operations.account_deletion import close_lane
from outbox.pds.client import RecordKey
from outbox.pds.verdict import Kind, Verdict
from outbox.record.dag_cbor import encode
from outbox.relay.delivery_task import task_of
from outbox.relay.journal import record_adopted
from service.cli.main import main
from service.config.settings import PREFIX
from service.doctor import checks as doctor_checks
from service.wiring.bootstrap import Container
from storage import errors
from storage.stores.disk import DiskStore
from tests.dsl import ALICE, BOB
from tests.servers.databases import ON_SQLITE

Look = Callable[..., dict[str, tuple[str, str]]]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def look(tape: Container, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Have the doctor look at a service with a track; gives state and text by name, and checks the exit code."""

    def looked(**settings: object) -> dict[str, tuple[str, str]]:
        given = {"DATA": tape.settings.data, "DATABASE_URL": tape.settings.database_url, **settings}
        for name, value in given.items():
            monkeypatch.setenv(PREFIX + name, str(value))
        ended = CliRunner().invoke(main, ["doctor", "--json"])
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        checks = json.loads(ended.stdout)["checks"]
        assert ended.exit_code == any(check["state"] == "fail" for check in checks)
        assert all(check["to_do"] for check in checks if check["state"] != "ok")
        return {check["name"]: (check["state"], f"{check['found']}: {check['to_do']}") for check in checks}

    return looked


def on_host(tape: Container, url: str = NOWHERE, did: str = ALICE) -> datetime:
    """The account is signed in at this PDS; returns since when."""
    with tape.database.write() as connection:
        now = tape.database.now(connection)
        resume_lane(connection, did, url, now)
    return now


def test_a_healthy_service_passes_every_check(look: Look) -> None:
    assert {state for state, _ in look().values()} == {"ok"}


@ON_SQLITE
def test_a_media_store_that_hangs_fails_its_check_and_no_other(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(doctor_checks, "EXAMINATION_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(DiskStore, "write", lambda *_ignored: go_on.wait(30))
    found = look()
    go_on.set()
    assert found.pop("media store")[0] == "fail"
    assert {state for state, _ in found.values()} == {"ok"}


@ON_SQLITE
def test_a_setting_that_makes_no_sense(look: Look) -> None:
    assert look(PORTT=1)["settings"][0] == "fail"


@ON_SQLITE
def test_without_the_database_the_store_is_still_checked(look: Look) -> None:
    found = look(DATABASE_URL="postgresql://a:hush@127.0.0.1:1/x")
    assert found["database"][0] == "fail"
    assert "hush" not in found["database"][1]
    assert found["media store"][0] == "ok"


@ON_SQLITE
def test_the_doctor_creates_no_database(look: Look, tmp_path: Path) -> None:
    assert look(DATABASE_URL=f"sqlite:///{tmp_path / 'none.db'}")["database"][0] == "fail"
    assert not (tmp_path / "none.db").exists()


@ON_SQLITE
def test_without_the_store_the_database_is_still_checked(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    found = look(MEDIA="s3:bucket", S3_ENDPOINT=NOWHERE)
    assert (found["media store"][0], found["schema"][0]) == ("fail", "ok")


@ON_SQLITE
def test_an_empty_database_and_read_models_of_another_version(look: Look, tape: Container) -> None:
    with tape.database.write() as connection:
        connection.execute(text("update projection_state set fingerprint = 'older' where name = 'tracks'"))
    assert look()["read models"] == ("fail", "made by another version: tracks: run `mastertape rebuild`")
    with tape.database.write() as connection:
        connection.execute(text("delete from alembic_version"))
    assert look()["schema"][0] == "fail"


@ON_SQLITE
def test_a_restored_database_and_accounts_that_wait_for_verification(look: Look, tape: Container) -> None:
    with tape.database.write() as connection:
        connection.execute(insert(observed_account).values(did="did:plc:a"))
    assert look()["restore"][0] == "warn"
    mark_restored(tape.database, "somebody says so")
    state, said = look()["restore"]
    assert (state, "run `mastertape recovered`" in said) == ("fail", True)


@ON_SQLITE
def test_a_log_that_ends_below_the_high_water_mark(look: Look, tape: Container) -> None:
    (tape.settings.data / "newest_position").write_text("99\n")
    assert look()["restore"][0] == "fail"


@ON_SQLITE
def test_logins_that_no_key_decrypts(look: Look, tape: Container) -> None:
    old, new = "o" * 40, "n" * 40
    sealed = Cipher([old]).encrypt(b"tokens", purpose=PURPOSE, did=ALICE)
    with tape.database.write() as connection:
        connection.execute(
            insert(pds_session).values(
                did=ALICE, kind=SessionKind.OAUTH.value, pds_url="", sealed=sealed, scope="", generation=1,
                status="active", updated_at=tape.database.now(connection),
            )
        )  # fmt: skip
    assert look(SECRET_KEYS=new)["keys"][0] == "fail"
    assert (
        CliRunner()
        .invoke(main, ["oauth-key", "--in-use"])
        .stderr.startswith("Error: a login was not counted: none of SECRET_KEYS decrypts it.")
    )
    state, said = look(SECRET_KEYS=f"{new},{old}")["keys"]
    assert (state, "mastertape reseal" in said) == ("warn", True)
    assert look(SECRET_KEYS=f"{old},{new}")["keys"][0] == "ok"


@ON_SQLITE
def test_accounts_that_wait_for_a_sign_in_and_a_host_that_is_down(look: Look, tape: Container) -> None:
    now = on_host(tape)
    with tape.database.write() as connection:
        park_lane(connection, ALICE)
        record_failing(connection, ALICE, now, "ExpiredToken: no more")
    found = look(DEV_ORIGINS=NOWHERE)
    assert found["accounts"] == ("warn", found["accounts"][1])
    assert f"1 auth_required since {now:%Y-%m-%d %H:%M:%S} UTC" in found["accounts"][1]
    assert found[f"PDS {NOWHERE}"][0] == "warn"


@ON_SQLITE
def test_no_account_is_at_work_beside_a_pds_that_does_not_answer(look: Look, tape: Container) -> None:
    now = on_host(tape)
    found = look(DEV_ORIGINS=NOWHERE)  # although nothing was sent there
    assert found["accounts"] == ("ok", "1: 1 pds_away: ")
    assert "since" not in found[f"PDS {NOWHERE}"][1]

    with tape.database.write() as connection:
        connection.execute(update(pds_host).values(failing_since=now, first_error="ConnectError: refused"))
        change_lane(connection, ALICE, last_success_at=now)
    count_failure(
        tape.database, NOWHERE, Verdict(Kind.NOT_SENT, "ConnectError"), did=ALICE, subject=Subject("track", 1)
    )
    found = look(DEV_ORIGINS=NOWHERE)
    since = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    said = f"failing since {since}, at first with: ConnectError: refused; last success {since}"
    assert said in found[f"PDS {NOWHERE}"][1]
    assert f"the last one with ConnectError at {NOWHERE}" in found["failures"][1]


@pytest.mark.pds
@ON_SQLITE
def test_a_pds_that_answers_has_its_clock_compared_and_is_named_where_deliveries_fail(
    look: Look, tape: Container, pds: DevPds
) -> None:
    pds.start()
    now, here = on_host(tape, pds.url), {"DEV_ORIGINS": pds.url, "PLC_URL": pds.plc_url}
    found = look(**here)
    assert found[f"PDS {pds.url}"] == ("ok", "answers: ")
    assert found[f"clock of {pds.url}"][0] == "ok"
    assert found["directory"][0] == "warn"  # the account does not exist

    with tape.database.write() as connection:
        connection.execute(update(pds_host).values(failing_since=now))
    state, said = look(**here)[f"PDS {pds.url}"]
    assert (state, "answers, but not to deliveries; failing since" in said) == ("warn", True)


@ON_SQLITE
def test_late_scans_are_reported_except_those_of_deleted_accounts(look: Look, tape: Container) -> None:
    now = on_host(tape)
    with tape.database.write() as connection:
        connection.execute(insert(repo_scan).values(did=ALICE, rev="r", scanned_at=now - timedelta(days=1)))
    assert look(DEV_ORIGINS=NOWHERE)["drift"][0] == "warn"
    with tape.database.write() as connection:
        close_lane(connection, ALICE)
    assert look()["drift"][0] == "ok"


def test_a_repo_that_was_never_scanned_is_named_once_its_records_are_old(look: Look, tape: Container) -> None:
    now = on_host(tape)
    with tape.database.write() as connection:
        connection.execute(update(mirror_target).values(acked_gen=1, acked_at=now))
    assert look(DEV_ORIGINS=NOWHERE)["drift"][0] == "ok"
    on_host(tape, did=BOB)
    with tape.database.write() as connection:
        connection.execute(update(mirror_target).values(acked_at=now - timedelta(days=1)))
        connection.execute(insert(repo_scan).values(did=BOB, rev="r", scanned_at=now))
    state, said = look(DEV_ORIGINS=NOWHERE)["drift"]
    assert (state, f"1 repos with older records were never scanned, such as {ALICE}" in said) == (
        "warn",
        True,
    )


@ON_SQLITE
def test_changes_that_no_relay_delivers(look: Look, tape: Container) -> None:
    on_host(tape)
    with tape.database.write() as connection:
        connection.execute(text("update history set at = '2020-01-01 00:00:00.000000'"))
    state, said = look(DEV_ORIGINS=NOWHERE)["records"]
    assert (state, "is a relay running?" in said) == ("warn", True)


@ON_SQLITE
def test_rejected_records_are_counted(look: Look, tape: Container) -> None:
    with tape.database.write() as connection:
        rejected = {"state": "rejected", "failed_gen": mirror_target.c.desired_gen}
        connection.execute(update(mirror_target).values(rejected))
    state, said = look()["rejected"]
    assert (state, said.startswith("1 records: `GET /ops/failures`")) == ("warn", True)


@ON_SQLITE
def test_adopted_records_are_no_failures(look: Look, tape: Container) -> None:
    key = RecordKey(ALICE, "fm.plyr.track", "3laaaaaaaaa22")
    with tape.database.write() as connection:
        record_adopted(connection, key, 1, "cid", tape.database.now(connection))
    assert look()["failures"] == ("ok", "0 of 1 attempts of the last hour failed: ")


@ON_SQLITE
def test_a_record_that_names_an_earlier_address(look: Look, tape: Container) -> None:
    with tape.database.write() as connection:
        row = connection.execute(select(mirror_target, is_open().label("is_open"))).one()
        task = task_of(tape.log, connection, row, tape.services.kinds)
        attempt = {**vars(task.key), "gen": task.gen, "op": PUT, "request_cid": task.request_cid, "epoch": 1}
        ended = {"started_at": PAST, "ended_at": PAST, "outcome": "done", "status": 200}
        connection.execute(insert(delivery_attempt).values(**attempt, **ended))
        written = {
            "acked_gen": task.gen,
            "acked_at": PAST,
            "ever_sent": True,
            "observed_cid": task.request_cid,
        }
        connection.execute(update(mirror_target).values(**written, observed_body=encode(task.body or {})))
    assert look()["addresses"][0] == "ok"
    state, said = look(BASE_URL="http://127.0.0.1:9000")["addresses"]
    assert state == "warn"
    assert task.key.uri in said
    assert "audioUrl 'http://127.0.0.1:8000/audio/" in said
    assert "'http://127.0.0.1:9000/audio/" in said
    assert "mastertape plan" in said


@ON_SQLITE
def test_a_full_disk(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "LOW_FREE_BYTES", 2**60)
    assert any(state == "warn" and name.startswith("disk of") for name, (state, _) in look().items())
    monkeypatch.setattr(errors, "MIN_FREE_BYTES", 2**60)
    assert any(state == "fail" and name.startswith("disk of") for name, (state, _) in look().items())
