"""The metrics: every one that the documentation names, and no DID."""

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, update

from aggregates.tracks.track import Track
from devpds.ports import free_port
from eventstore.change import Envelope
from eventstore.coordination.due_parts import parts_of
from outbox.mirror.delivery_counts import deliveries_by_hour
from outbox.mirror.lanes import change_lane, park_lane, resume_lane
from outbox.mirror.observe_only import observed_account
from outbox.mirror.tables import mirror_lane, mirror_target, pds_host
from outbox.pds.verdict import Kind, Verdict
from outbox.relay.claim import claim
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome, Result
from outbox.views.overview import lanes
from replay.reconcile.scan import Scanned
from service.observability.metrics import WORK_CLASSES, Metrics
from service.process.metrics_server import metrics_listener, serve_metrics
from service.wiring.bootstrap import Container
from tests.api.client import TestClient
from tests.dsl import ALICE
from tests.servers.databases import ON_SQLITE
from web.app import create_app

HOST = "https://pds.example.com"
RELAY_LAG = 'mastertape_subscriber_lag{kind="after_commit",name="relay"}'
NAMES = {
    "mirror_oldest_pending_seconds",
    "mirror_pending_records",
    "mirror_lanes",
    "mirror_delivery_seconds",
    "mirror_attempts_total",
    "mirror_budget_remaining",
    "mirror_breaker_state",
    "mirror_refuted_writes",
    "mirror_fenced_commits_total",
    "mirror_cid_mismatches_total",
    "mirror_scans_total",
    "mirror_drift_total",
    "firehose_messages_total",
    "oauth_refresh_total",
    "mastertape_subscriber_lag",
    "listener_alive",
    "http_requests_total",
    "http_request_seconds",
    "database_connections",
    "disk_free_bytes",
    "mastertape_build_info",
}


def numbers(text: bytes) -> dict[str, float]:
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def signed_in(container: Container) -> None:
    with container.database.write() as connection:
        resume_lane(connection, ALICE, HOST, container.database.now(connection))


def some_task(container: Container) -> Any:
    signed_in(container)
    (lane,) = claim(
        container.database, parts_of(container.database), owner="test", limit=1, lease=timedelta(seconds=60)
    )
    with container.database.read() as connection:
        now = container.database.now(connection)
        task = next_task(container.log, lane, container.services.kinds, now, [])
    assert task is not None
    return task


@ON_SQLITE
def test_every_metric_has_the_name_that_was_promised_and_no_did(tape: Container) -> None:
    task = some_task(tape)
    metrics = tape.metrics
    metrics.attempted("put", Verdict(Kind.DONE, status=200))
    metrics.settled(Result(task, Outcome.DELIVERED, Verdict(Kind.DONE)))
    metrics.refreshed("renewed")
    metrics.scanned(Scanned(Counter(compared=1), Counter(missing=1)))
    metrics.heard("foreign")

    text = metrics.text().decode()

    assert set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) >= NAMES
    assert "did:" not in text
    assert task.key.rkey not in text


@ON_SQLITE
def test_counters_count_what_happened(tape: Container) -> None:
    task = some_task(tape)
    metrics = Metrics()
    metrics.attempted("put", Verdict(Kind.REJECTED, "InvalidSwap", 400))
    metrics.settled(Result(task, Outcome.DELIVERED, Verdict(Kind.DONE)))
    took_another = Verdict(Kind.DONE, status=200, body={"cid": "another"})
    metrics.settled(Result(task, Outcome.DELIVERED, took_another))
    metrics.fenced()
    metrics.refreshed("ended")
    found = numbers(metrics.text())
    assert found['mirror_attempts_total{error="InvalidSwap",op="put",outcome="rejected"}'] == 1
    assert found["mirror_delivery_seconds_count"] == 2
    metrics.deliveries.store(tape.database)
    with tape.database.read() as connection:
        hours, since = deliveries_by_hour(connection, tape.database.now(connection))
    assert (sum(each.deliveries for each in hours), [*since]) == (2, [version("mastertape")])
    assert found["mirror_cid_mismatches_total"] == 1
    assert found["mirror_fenced_commits_total"] == 1
    assert found['oauth_refresh_total{outcome="ended"}'] == 1


def test_a_pds_does_not_choose_our_labels() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.attempted("put", Verdict(Kind.REJECTED, f"did:plc:mallory{number}", 400))
    attempts = [name for name in numbers(metrics.text()) if name.startswith("mirror_attempts_total")]
    assert attempts == ['mirror_attempts_total{error="other",op="put",outcome="rejected"}']


@ON_SQLITE
def test_gauges_show_what_waits_for_the_relay_and_since_when(tape: Container) -> None:
    signed_in(tape)
    found = numbers(tape.metrics.text())
    assert found['mirror_pending_records{state="pending"}'] == 1
    assert found['mirror_lanes{state="ready"}'] == 1
    assert found['mirror_oldest_pending_seconds{class="edit"}'] > 0
    assert {found[f'mirror_oldest_pending_seconds{{class="{name}"}}'] for name in WORK_CLASSES[::2]} == {0}
    assert (found["database_up"], found["listener_alive"]) == (1, 0)


def test_what_could_be_sent_and_is_not_grows_only_while_nothing_else_holds_it_back(tape: Container) -> None:
    signed_in(tape)
    with tape.database.write() as connection:
        since = tape.database.now(connection) - timedelta(minutes=10)
        connection.execute(update(mirror_lane).values(due_at=since))
    assert numbers(tape.metrics.text())[RELAY_LAG] >= 600

    with tape.database.write() as connection:
        away = tape.database.now(connection) + timedelta(minutes=1)
        connection.execute(update(pds_host).values(retry_at=away))
    assert numbers(tape.metrics.text())[RELAY_LAG] == 0


@ON_SQLITE
def test_what_waits_for_its_owner_is_not_late(tape: Container) -> None:
    signed_in(tape)
    with tape.database.write() as connection:
        park_lane(connection, ALICE)
    found = numbers(tape.metrics.text())
    assert found['mirror_pending_records{state="parked"}'] == 1
    assert found['mirror_lanes{state="auth_required"}'] == 1
    assert found['mirror_oldest_pending_seconds{class="edit"}'] == 0


def test_waiting_audio_is_distinguished_from_records(tape: Container) -> None:
    signed_in(tape)
    with tape.log.unit_of_work(ALICE, Envelope("artist", "test", "r")) as unit:
        track = unit.load(Track, Track.create_id(1))
        track.request_blob_migration(at=unit.now)
        unit.save(track)
    with tape.database.write() as connection:
        connection.execute(update(mirror_target).values(acked_gen=mirror_target.c.desired_gen))
    found = numbers(tape.metrics.text())
    assert found['mirror_pending_records{state="pending"}'] == 1
    assert found['mirror_oldest_pending_seconds{class="edit"}'] == 0
    assert found['mirror_oldest_pending_seconds{class="blob"}'] > 0


@ON_SQLITE
def test_hosts_in_trouble_are_named_and_no_others(tape: Container) -> None:
    signed_in(tape)
    well = tape.metrics.text().decode()
    assert "mirror_breaker_state{" not in well
    assert "mirror_refuted_writes{" not in well
    with tape.database.write() as connection:
        later = tape.database.now(connection) + timedelta(hours=1)
        connection.execute(
            update(pds_host).values(
                breaker="open",
                retry_at=later,
                refuted_writes=12,
                budget_left=7,
                budget_limit=10,
                budget_reset=later,
            )
        )
        connection.execute(update(mirror_target).values(backfill=True))
    found = numbers(tape.metrics.text())
    assert found[f'mirror_breaker_state{{host="{HOST}"}}'] == 2
    assert found[f'mirror_refuted_writes{{host="{HOST}"}}'] == 12
    assert found[f'mirror_budget_remaining{{host="{HOST}",scope="host"}}'] == 7
    assert found['mirror_oldest_pending_seconds{class="backfill"}'] > 0


@pytest.mark.parametrize("working", [True, False])
@ON_SQLITE
def test_the_metrics_address_serves_metrics_and_probes(tape: Container, working: bool) -> None:
    place = f"127.0.0.1:{free_port()}"
    tape.metrics_listener = metrics_listener(place)
    with serve_metrics(tape, lambda: working):
        answers = {
            path: httpx.get(f"http://{place}{path}", timeout=30)
            for path in ("/metrics", "/healthz", "/readyz", "/tracks")
        }
    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/metrics": 200,
        "/healthz": 200,
        "/readyz": 200 if working else 503,
        "/tracks": 404,
    }
    assert "mirror_lanes" in answers["/metrics"].text


@ON_SQLITE
def test_a_public_address_has_no_metrics(container: Container) -> None:
    client = TestClient(create_app(container.services))
    assert client.get("/metrics").text.startswith("# HELP")
    assert (
        TestClient(create_app(replace(container.services, metrics=None))).get("/metrics").status_code == 404
    )


def test_accounts_are_counted_by_the_state_that_is_shown_of_each(tape: Container) -> None:
    signed_in(tape)
    with tape.database.write() as connection:
        away = "http://away.test"
        of = ({}, {"paused": True}, {"failures": 1}, {"failures": 2}, {"state": "gone"}, {"host": away})
        for number, columns in enumerate(of):
            resume_lane(connection, f"did:plc:{number}", HOST, tape.database.now(connection))
            change_lane(connection, f"did:plc:{number}", probes=0, **columns)
        connection.execute(insert(pds_host).values(host=away, breaker="open"))
        connection.execute(insert(observed_account).values(did=ALICE))
    with tape.database.read() as connection:
        shown = Counter(
            row.mirror_state for row in lanes(connection, at=None, state=None, after="", limit=100)
        )
    assert shown == {"ready": 1, "paused": 1, "backoff": 2, "gone": 1, "pds_away": 1, "restored": 1}
    found = numbers(tape.metrics.text())
    assert {state: found[f'mirror_lanes{{state="{state}"}}'] for state in shown} == shown
