"""What lists are to refer to: their own account's tracks as their PDS has them, or none, and those of other accounts at their newest.

A track of another account that is gone stays in a list as it was; so does what no account here has, or what is no track.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from aggregates.published import Subject
from aggregates.track import Track
from aggregates.track_list import TrackList
from aggregates.values import ListItem
from eventstore.database import MAX_ITEMS_PER_QUERY, pages
from outbox.lists.items import list_follower, list_item
from outbox.mirror.states import UnsentOutcome
from outbox.mirror.tables import IS_ATTEMPT_OF_TARGET, attempt, mirror_target, target
from outbox.mirror.targets import DELETE
from outbox.pds.client import RecordKey

References = Mapping[str, ListItem]
"""What a list is to refer to instead, by the URIs that it has."""

_item: Final = list_item.c
_follower: Final = list_follower.c
_named: Final = mirror_target.alias("named").c
"""The record that a list names, which may be in a collection that its subject has left."""
_NAME: Final = "at://" + _named.did + "/" + _named.collection + "/" + _named.rkey
_CID: Final = sa.case((target.desired_op != DELETE, target.observed_cid))
"""By which a list refers to a record: none where its PDS has, or is to have, no such record."""
_IS_NEWEST: Final = sa.and_(
    ~target.former,
    target.kind == sa.literal_column(f"'{Track.TOPIC}'"),  # lists that follow lists would never end
    *(_named[name] == target[name] for name in ("did", "kind", "subject_id")),
)


def _refers_otherwise(uri: Any, former: Any, cid: Any) -> sa.ColumnElement[bool]:
    """Whether an item is written by another CID than this, of a record that it names by this URI; by any, where the record has moved."""
    differs = sa.case((former, cid.is_not(None)), else_=_item.cid.is_distinct_from(cid))
    return sa.and_(_item.uri == uri, _item.written, differs)


_REFERS_OTHERWISE: Final = sa.and_(_item.did == _named.did, _refers_otherwise(_NAME, _named.former, _CID))
_FOLLOWS_ANOTHER: Final = sa.and_(
    _follower.did == _named.did,
    _follower.uri == _NAME,
    _CID.is_not(None),
    _follower.cid.is_distinct_from(_CID),
)
_FOUND_CID: Final = (
    sa.select(sa.case((attempt.outcome == UnsentOutcome.ADOPTED, attempt.request_cid), else_=""))
    .where(IS_ATTEMPT_OF_TARGET)
    .order_by(attempt.gen, attempt.id)
    .limit(1)
    .scalar_subquery()
)
_HAS_CHANGED: Final = target.observed_cid.is_distinct_from(_FOUND_CID)
"""Whether a record has changed since it was adopted, if it was: what refers to an earlier one was found so."""
_PLACE: Final = ("did", "collection", "rkey")
_NAMES: Final = sa.select(
    *(_NAME.label("uri"), _named.former, target.collection, target.rkey, _CID.label("cid")),
    _HAS_CHANGED.label("has_changed"),
).where(_IS_NEWEST)
_TEXTS: Final = [
    str(each.compile(compile_kwargs={"literal_binds": True}))
    for each in (_IS_NEWEST, _REFERS_OTHERWISE, _FOLLOWS_ANOTHER)
]
_EXISTS: Final = (
    "exists (select 1 from mirror_target named where {} and ("
    "exists (select 1 from list_item where {}) or exists (select 1 from list_follower where {})))"
)
IS_STALE: Final = sa.literal_column(_EXISTS.format(*_TEXTS), sa.Boolean).label("is_stale")
"""Whether lists refer to a record otherwise. As text: of what SQLite returns, SQLAlchemy leaves out the tables."""
_NEWEST: Final = sa.select(
    *(_named[name].label(f"named_{name}") for name in (*_PLACE, "former")),
    *(target.collection, target.rkey, _CID.label("cid")),
    sa.case((_HAS_CHANGED, target.acked_at)).label("changed_at"),
).where(_IS_NEWEST)


class Newest(NamedTuple):
    """What to refer to, and since when its PDS has it; None of one that is as it was adopted."""

    item: ListItem
    since: datetime | None


def newest_of(connection: sa.Connection, did: str, uris: Iterable[str]) -> dict[str, Newest]:
    """Return what lists of an account are to refer to, of these records those that an account here has."""
    found: dict[str, Newest] = {}
    keys = {RecordKey.of_uri(uri) for uri in uris}
    for some in pages(keys):
        which = [_named[name].in_({getattr(key, name) for key in some}) for name in _PLACE]
        for row in connection.execute(_NEWEST.where(*which)):
            key = RecordKey(*row[:3])
            if key in keys and (row.cid is not None or (key.did == did and not row.named_former)):
                uri = RecordKey(key.did, row.collection, row.rkey).uri
                found[key.uri] = Newest(ListItem(uri, row.cid), row.changed_at)
    return found


def items_of(connection: sa.Connection, did: str, cids: Mapping[str, str | None]) -> dict[str, ListItem]:
    """Return new items of an account's lists, by URI; the CIDs are for records that no account here has."""
    newest = newest_of(connection, did, cids)
    return {uri: newest[uri].item if uri in newest else ListItem(uri, cid) for uri, cid in cids.items()}


def references_of(connection: sa.Connection, made: TrackList) -> References:
    """Return what a list is to refer to, by the URIs that it has."""
    followed = [item.uri for item in made.items if made.follows(item)]
    return {uri: each.item for uri, each in newest_of(connection, made.did, followed).items()}


def stale_references(
    connection: sa.Connection,
    did: str,
    subjects: Iterable[Subject] | None = None,
    *,
    before: datetime | None = None,
) -> dict[int, References]:
    """Return what an account's lists have to refer to otherwise of its own records, by list; only of these subjects, or those that changed before, if given."""
    query = _NAMES.where(target.did == did)
    if subjects is not None:
        query = query.where(target.subject_id.in_([each.id for each in subjects]))
    if before is not None:
        query = query.where(target.acked_at < before)
    # without statistics of new lists, PostgreSQL would compare each item with each two records
    newest = query.cte("newest").prefix_with("MATERIALIZED", dialect="postgresql")
    named = newest.c
    query = (
        sa.select(_item.list_id, _item.uri, named.collection, named.rkey, named.cid)
        .where(_item.did == did, _refers_otherwise(named.uri, named.former, named.cid), named.has_changed)
        .order_by(_item.list_id)
    )
    found: dict[int, dict[str, ListItem]] = defaultdict(dict)
    for row in connection.execute(query):
        key = RecordKey(did, row.collection, row.rkey)
        found[row.list_id][row.uri] = ListItem(key.uri, row.cid)
    return dict(found)


def stale_references_elsewhere(
    connection: sa.Connection, did: str, *, before: datetime | None = None
) -> dict[int, References]:
    """Return what an account's lists have to refer to otherwise of the records of other accounts, as `stale_references` does."""
    is_own = _item.uri.startswith(f"at://{did}/", autoescape=True)
    found: dict[int, dict[str, ListItem]] = defaultdict(dict)
    for items in connection.execute(_ITEMS.where(_item.did == did, ~is_own)).partitions():
        newest = newest_of(connection, did, {item.uri for item in items})
        for item in items:
            now = newest.get(item.uri)
            if now is None or now.since is None or now.item == ListItem(item.uri, item.cid):
                continue
            if before is None or now.since < before:
                found[item.list_id][item.uri] = now.item
    return dict(found)


_ITEMS: Final = (
    sa.select(_item.list_id, _item.uri, _item.cid)
    .where(_item.written)
    .order_by(_item.list_id)
    .execution_options(yield_per=MAX_ITEMS_PER_QUERY)
)


def followers_to_tell(
    connection: sa.Connection,
    did: str,
    *which: sa.ColumnElement[bool],
    at_most: int,
    after: tuple[str, int] | None = None,
) -> list[Any]:
    """Return lists of other accounts that follow records of the account, and were not told of the newest: URI, CID, list and its account.

    With `after`, those that come behind one, by URI and list, in that order.
    """
    query = _TO_TELL.where(_follower.did == did, target.did == did, *which).limit(at_most)
    if after is not None:
        key = (_follower.uri, _follower.list_id)
        query = query.where(sa.tuple_(*key) > sa.tuple_(*after)).order_by(*key)
    return list(connection.execute(query))


_TO_TELL: Final = sa.select(_follower.uri, _follower.list_id, _follower.author, _CID.label("cid")).where(
    _IS_NEWEST, _FOLLOWS_ANOTHER
)


class ReferenceState(StrEnum):
    """How far a list's record is from the records that it refers to."""

    CURRENT = "current"
    BEHIND = "behind"
    UNFOLLOWED = "unfollowed"
    """Records of other accounts have changed, and its owner wants the list to stay as it is."""


class ReferenceStatus(NamedTuple):
    state: ReferenceState
    since: datetime | None = None


def status_of(connection: sa.Connection, made: TrackList) -> ReferenceStatus:
    """Return how far a list is behind the records of accounts here, and since when."""
    uris = [item.uri for item in made.items] if made.wants_record else []
    newest = newest_of(connection, made.did, uris)
    changed = [
        (made.follows(item), since)
        for item in made.items
        if item.uri in newest and newest[item.uri].item != item and (since := newest[item.uri].since)
    ]
    if not changed:
        return ReferenceStatus(ReferenceState.CURRENT)
    is_behind = any(follows for follows, _ in changed)
    times = [at for follows, at in changed if follows == is_behind]
    state = ReferenceState.BEHIND if is_behind else ReferenceState.UNFOLLOWED
    return ReferenceStatus(state, min(times))
