"""Tells other accounts which lists follow their records, so that these hear of new ones."""

from itertools import groupby
from typing import Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.values import ListItem
from eventstore.change import of_class
from eventstore.event_log import EventLog
from eventstore.jobs.kinds import Job
from outbox.lists.items import list_follower, set_followers
from outbox.lists.references import tell_followers_of
from outbox.mirror.lanes import hold_lane
from outbox.pds.client import RecordKey
from projections.lists import lock_list

NONE: Final[frozenset[ListItem]] = frozenset()


def show_followed(log: EventLog, job: Job, list_id: int, version: int) -> None:
    """Have each account whose records this version of a list began or ceased to follow know of what the list follows now."""
    did, stream = job.account, TrackList.create_id(list_id)

    def followed(connection: sa.Connection, version: int) -> frozenset[ListItem]:
        found = log.state_at(connection, did, stream, version)
        return of_class(TrackList, found.state).followed if found is not None else NONE

    with log.database.read() as connection:
        changed = followed(connection, version) ^ followed(connection, version - 1)
    uris = sorted({item.uri for item in changed})
    for owner, some in groupby(uris, lambda uri: RecordKey.of_uri(uri).did):
        of_owner = [*some]

        def show(connection: sa.Connection, owner: str = owner, uris: list[str] = of_owner) -> None:
            lock_list(connection, did, list_id)
            hold_lane(connection, owner)
            set_followers(connection, owner, uris, list_id=list_id, author=did)
            of = list_follower.c
            these = (of.list_id == list_id, of.uri.in_(uris))
            tell_followers_of(connection, owner, log.database.now(connection), *these)

        log.transact_without_events(show)
