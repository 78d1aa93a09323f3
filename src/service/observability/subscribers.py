"""The register of what follows the log: applied in the transaction of each append, or doing after its commit what is due.

A new subscriber is an entry here, and one in `Container.wakes`: `mastertape status`, the metric, the doctor and the alarm follow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final

import sqlalchemy as sa
from pydantic import BaseModel

from eventstore.coordination.commit_signals import Wake, wake_each
from eventstore.event_log import EventLog
from eventstore.jobs.views import stalled_since
from eventstore.projection import Projection, outdated
from eventstore.sql.schema import stored_event
from eventstore.streams.snapshots import Snapshots
from outbox.lists.items import ListItems
from outbox.mirror.tables import UPLOAD
from outbox.mirror.targets import MirrorTargets
from outbox.relay.claim import longest_due
from service.schema.tables import READ_MODELS
from storage.public.copies import Action
from storage.public.projection import PublicAudio
from storage.taken_down import TakenDownBytes

MAX_LAG_SECONDS: Final = 900.0
"""A subscriber that is further behind stands still; the alarm has the same limit."""

PROJECTIONS: Final[Sequence[Projection]] = (
    *READ_MODELS,
    ListItems(),
    MirrorTargets(),
    PublicAudio(),
    TakenDownBytes(),
    Snapshots(),
)


class SubscriberKind(StrEnum):
    IN_TRANSACTION = "in_transaction"
    AFTER_COMMIT = "after_commit"


@dataclass(frozen=True)
class Subscriber:
    """`stalled_since` says since when there is work and none has begun; the container has under the same name what wakes it."""

    name: str
    kind: SubscriberKind
    does: str
    stalled_since: Callable[[sa.Connection, datetime], datetime | None] = lambda *_: None
    hears_others: bool = True
    """Whether commits of other processes wake it too."""


def woken_by_commits(wakes: Mapping[str, Wake], *, elsewhere: bool = False) -> Wake:
    """Return what wakes all subscribers after a commit of this process, or after one `elsewhere`."""
    after = [each for each in SUBSCRIBERS if each.kind is SubscriberKind.AFTER_COMMIT]
    return partial(wake_each, [wakes[each.name] for each in after if each.hears_others or not elsewhere])


def lanes_stalled_since(connection: sa.Connection, now: datetime) -> datetime | None:
    """Return since when some account could be sent its changes, and no relay has begun: no pause, limit or failure holds it back."""
    since = longest_due(connection)
    return since if since is not None and since <= now else None


SUBSCRIBERS: Final = (
    *(
        Subscriber(each.name, SubscriberKind.IN_TRANSACTION, (type(each).__doc__ or "").splitlines()[0])
        for each in PROJECTIONS
    ),
    Subscriber(
        "announcer",
        SubscriberKind.AFTER_COMMIT,
        "Wakes the subscribers of other processes.",
        hears_others=False,
    ),
    Subscriber(
        "relay",
        SubscriberKind.AFTER_COMMIT,
        "Delivers records and audio to PDSes.",
        lanes_stalled_since,
    ),
    Subscriber(
        "jobs",
        SubscriberKind.AFTER_COMMIT,
        "Makes public copies and derived media; shows likes and comments at tracks; publishes releases; adopts, exports, repairs and deletes accounts; what is periodic.",
        # uploads wait for lanes and hosts; public copies, where the store has none, until it has some
        partial(stalled_since, but=(UPLOAD, *Action)),
    ),
)


class SubscriberRow(BaseModel):
    """How far behind the log a subscriber is: in events, or in seconds in which it had something to do and did not begin."""

    name: str
    kind: SubscriberKind
    does: str
    behind: float

    @property
    def unit(self) -> str:
        return "s" if self.kind is SubscriberKind.AFTER_COMMIT else "events"

    @property
    def stands_still(self) -> bool:
        return self.behind > (MAX_LAG_SECONDS if self.kind is SubscriberKind.AFTER_COMMIT else 0)


def subscriber_rows(connection: sa.Connection, log: EventLog) -> Sequence[SubscriberRow]:
    """Return how far each is; a read model that another version made is behind by the whole log."""
    now = log.database.now(connection)
    old = {each.name for each in outdated(connection, PROJECTIONS)}
    head = connection.scalar(sa.select(sa.func.max(stored_event.c.position))) if old else 0
    rows = []
    for each in SUBSCRIBERS:
        since = each.stalled_since(connection, now)
        behind = (now - since).total_seconds() if since is not None else 0.0
        if each.name in old:
            behind = float(head or 0)
        rows.append(SubscriberRow(name=each.name, kind=each.kind, does=each.does, behind=behind))
    return rows
