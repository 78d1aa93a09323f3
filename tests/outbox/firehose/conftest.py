"""A host that sends the frames of a test."""

from collections.abc import AsyncGenerator

import pytest

from eventstore.sql.database import Database
from outbox.firehose import follower as followers
from outbox.mirror.tables import NEVER
from tests.outbox.rigs.rows import add_lane, change_target
from tests.outbox.rigs.stream_host import StreamHost, stream_host


@pytest.fixture(name="quick")
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place in a stream is kept at once, and a lost host tried again at once."""
    monkeypatch.setattr(followers, "CURSOR_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(followers, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture(name="host")
async def _host(database: Database, quick: None) -> AsyncGenerator[StreamHost]:  # noqa: ARG001
    """A host with one account of ours, whose record was delivered."""
    async with stream_host() as made:
        did = add_lane(database, 1, host=made.url, due_at=NEVER, lease_owner=None)
        change_target(database, did, acked_gen=1, observed_cid="ours")
        yield made
