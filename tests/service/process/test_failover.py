"""A service that meets a promoted standby goes on by itself; the drill with real servers is tests/e2e/test_failover.py."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from eventstore import restore_detection
from eventstore.restore_detection import restored_because
from outbox.mirror.tables import mirror_lane
from service.process import scheduler
from service.process.scheduler import run_scheduler
from service.schema.high_water_mark import detect_restore, seen_position
from service.wiring.bootstrap import Container
from tests.dsl import a_track
from tests.e2e.eventually import eventually
from tests.eventstore.failover.machines import TIMELINE
from tests.service.conftest import save

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("migrated_url", ["postgres"], indirect=True),
]


def test_leases_end_and_deliveries_resume_once_nothing_is_found_missing(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere = text("select true as all_synchronous, true as all_have_it")
    monkeypatch.setattr("eventstore.failover.acknowledgements._STANDBYS", everywhere)
    monkeypatch.setattr(scheduler, "PROOF_INTERVAL_SECONDS", 0.05)
    save(container, a_track())
    detect_restore(container.log, container.settings)  # which records the newest position
    seen = seen_position(container.settings)
    with container.database.write() as connection:
        later = container.database.now(connection) + timedelta(hours=1)
        connection.execute(update(mirror_lane).values(lease_owner="a relay", lease_until=later))

    container.database.close()
    identity = restore_detection._IDENTITY  # noqa: SLF001
    monkeypatch.setattr(restore_detection, "_IDENTITY", identity.replace(TIMELINE, "'00000009'"))
    with container.database.read() as connection:
        assert restored_because(connection) is not None
    detect_restore(container.log, container.settings)
    assert seen_position(container.settings) == seen > 0  # it may disprove; it is raised afterwards
    with run_scheduler(container):
        eventually(lambda: because_of(container) is None)
    with container.database.read() as connection:
        assert connection.scalars(select(mirror_lane.c.lease_owner)).all() == [None]


def because_of(container: Container) -> str | None:
    with container.database.read() as connection:
        return restored_because(connection)
