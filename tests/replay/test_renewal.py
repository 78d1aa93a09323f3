"""A release that folds aggregates otherwise makes their snapshots anew, in a job."""

from collections.abc import Iterator

import pytest

from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Outcome
from eventstore.sql.database import Database
from eventstore.streams import snapshots
from eventstore.streams.snapshots import Snapshots
from replay import renewal
from replay.renewal import SNAPSHOTS, renewal_kind, request_renewal
from tests.eventstore.counter import ALICE, append, counter_id
from tests.eventstore.jobs.rig import claim_anywhere

pytestmark = pytest.mark.anyio


@pytest.fixture
def log(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventLog]:
    """A log whose two counters have four snapshots each."""
    monkeypatch.setattr(snapshots, "EVENTS_PER_SNAPSHOT", 10)
    monkeypatch.setattr(renewal, "SNAPSHOTS_PER_TURN", 3)
    database = Database(migrated_url)
    log = EventLog(database, projections=[Snapshots()])
    for amount in range(40):
        append(log, "a", amount)
        append(log, "b", amount)
    yield log
    database.close()


def decoded(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many events are read for a version in the middle."""
    read: list[int] = []
    with monkeypatch.context() as patched, log.database.read() as connection:
        decode = log.codec.decode
        patched.setattr(log.codec, "decode", lambda row: read.append(row.originator_version) or decode(row))
        assert log.state_at(connection, ALICE, counter_id("b"), 35) is not None
    return len(read)


async def turns(log: EventLog) -> int:
    """Run the job of this release to its end; return how many turns it took."""
    kind, taken = renewal_kind(log, Threads("snapshots", 1)), 0
    request_renewal(log)
    while (claimed := claim_anywhere(log.database, kind, "one")) is not None:
        outcome = await kind.work(claimed)
        queue.settle(log.database, kind, claimed, outcome)
        taken += 1
    assert taken == 0 or outcome is Outcome.DONE
    return taken


async def test_a_release_renews_each_snapshot_once_a_few_at_a_time(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = decoded(log, monkeypatch)
    monkeypatch.setattr(snapshots, "code_fingerprint", lambda: "the next release")
    monkeypatch.setattr("eventstore.event_log.code_fingerprint", lambda: "the next release")
    assert decoded(log, monkeypatch) > 3 * before
    assert await turns(log) == 4
    assert decoded(log, monkeypatch) == before
    assert await turns(log) == 0


async def test_a_process_of_another_release_leaves_the_job_alone(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(snapshots, "code_fingerprint", lambda: "the next release")
        request_renewal(log)
    kind = renewal_kind(log, Threads("snapshots", 1))
    assert claim_anywhere(log.database, kind, "one") is None
    with log.database.read() as connection:
        assert queue.is_unfinished(connection, SNAPSHOTS, "the next release")
