"""What the relay reads of a record's subject, and what it leaves of that for others."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from aggregates.tracks.track import Track
from outbox.mirror.tables import mirror_target
from outbox.relay.delivery_task import read_subjects
from tests.outbox.rigs.relay_rig import Rig

pytestmark = pytest.mark.anyio


async def test_what_a_commit_has_left_known_stays_though_an_older_snapshot_is_read(desk: Rig) -> None:
    """An edit that begins on the older state is refused, and all of its statements are prepared again."""
    desk.upload()
    with desk.database.read() as connection:
        rows = connection.execute(select(mirror_target)).all()
        with ThreadPoolExecutor(1) as elsewhere:  # in no transaction of ours
            elsewhere.submit(desk.edit, title="Newer").result()
        [(read, _)] = read_subjects(desk.log, connection, rows).values()
    assert read is not None
    known = desk.log.cache.get(Track.create_id(1))
    assert known is not None
    assert (read.state.version, known.state.version) == (1, 2)
