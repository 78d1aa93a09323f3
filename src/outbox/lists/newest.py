"""What lists are to refer to: their own account's tracks as their PDS has them, or none, and those of other accounts at their newest.

A track of another account that is gone stays in a list as it was; so does what no account here has, or what is no track.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from aggregates.lists.track_list import TrackList
from aggregates.published import Subject
from aggregates.tracks.track import Track
from aggregates.values import ListItem
from eventstore.sql.database import MAX_ITEMS_PER_QUERY
from eventstore.sql.prepared import Prepared, among
from eventstore.streams.record_uris import Which, rows_by_uri, uri_column
from outbox.lists.items import list_follower, list_item
from outbox.mirror.states import UnsentOutcome
from outbox.mirror.tables import IS_ATTEMPT_OF_TARGET, attempt, mirror_target, target
from outbox.mirror.targets import DELETE

References = Mapping[str, ListItem]
"""What a list is to refer to instead, by the URIs that it has."""

_item: Final = list_item.c
_follower: Final = list_follower.c
_NAMED: Final = mirror_target.alias("named")
_named: Final = _NAMED.c
"""The record that a list names, which may be in a collection that its subject has left."""


_CID: Final = sa.case((target.desired_op != DELETE, target.observed_cid))
"""By which a list refers to a record: none where its PDS has, or is to have, no such record."""
# lists that follow lists would never end
_IS_TRACK: Final = sa.and_(~target.former, target.kind == sa.literal_column(f"'{Track.TOPIC}'"))
_IS_NEWEST: Final = sa.and_(
    _IS_TRACK, *(_named[name] == target[name] for name in ("did", "kind", "subject_id"))
)


def _refers_otherwise(uri: Any, former: Any, cid: Any) -> sa.ColumnElement[bool]:
    """Whether an item is written by another CID than this, of a record that it names by this URI; by any, where the record has moved."""
    differs = sa.case((former, cid.is_not(None)), else_=_item.cid.is_distinct_from(cid))
    return sa.and_(_item.uri == uri, _item.written, differs)


_REFERS_OTHERWISE: Final = sa.and_(
    _item.did == _named.did, _refers_otherwise(uri_column(_named), _named.former, _CID)
)


def _follows_another(uri: Any, _former: Any, cid: Any) -> sa.ColumnElement[bool]:
    return sa.and_(_follower.uri == uri, cid.is_not(None), _follower.cid.is_distinct_from(cid))


_FOLLOWS_ANOTHER: Final = sa.and_(
    _follower.did == _named.did, _follows_another(uri_column(_named), _named.former, _CID)
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
_CHANGED: Final = sa.select(uri_column(target), target.acked_at).where(_IS_TRACK, _HAS_CHANGED)
_SHOWN: Final = (uri_column(target).label("newest"), _CID.label("cid"))
_BY_NAME, _BY_FORMER_NAME = (
    sa.select(uri_column(of).label("uri"), of.did, of.former, *_SHOWN).where(is_newest)
    for of, is_newest in ((target, _IS_TRACK), (_named, sa.and_(_named.former, _IS_NEWEST)))
)


def _newest(which: Which, *more: sa.ColumnElement[Any]) -> sa.CompoundSelect[Any]:
    """Select what named records are now; apart where they have moved: PostgreSQL may compare each two records of an account for it."""
    each = ((_BY_NAME, target), (_BY_FORMER_NAME, _named))
    return sa.union_all(*(query.add_columns(*more).where(*which(of)) for query, of in each))


def _referring(table: sa.Table, how: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    found: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(table).where(how)
    return found.correlate(_NAMED, mirror_target).exists()


_REFERRED_OTHERWISE: Final = sa.or_(
    _referring(list_item, _REFERS_OTHERWISE), _referring(list_follower, _FOLLOWS_ANOTHER)
)
_STALE: Final = (
    sa.select(sa.literal_column("1"))
    .select_from(_NAMED)
    .where(_IS_NEWEST, _REFERRED_OTHERWISE)
    .correlate(mirror_target)
    .exists()
)


class _IsStale(sa.ColumnElement[bool]):
    type = sa.Boolean()
    inherit_cache = True


@compiles(_IsStale)
def _with_tables(_: _IsStale, compiler: Any, **options: Any) -> Any:
    """Name the tables of its columns: SQLAlchemy leaves them out of what SQLite returns."""
    return compiler.process(_STALE, **{**options, "include_table": True})


IS_STALE: Final = _IsStale().label("is_stale")
"""Whether lists refer to a record otherwise."""

_FOLLOWS: Final = (_item.did == target.did, _item.uri == uri_column(target), _item.written)
IS_LISTED: Final = sa.and_(_IS_TRACK, _referring(list_item, sa.and_(*_FOLLOWS))).label("is_listed")
"""Whether lists of its account have a record, whichever of its CIDs they refer to."""


def _lists_of(dialect: str) -> sa.Select[Any]:
    did: sa.BindParameter[Any] = sa.bindparam("did")
    which = (_item.did == did, among(_item.uri, "uris", dialect), _item.written)
    return (
        sa.select(mirror_target, sa.false().label("is_open"))
        .where(
            target.did == did,
            target.kind == sa.literal_column(f"'{TrackList.TOPIC}'"),
            target.subject_id.in_(sa.select(_item.list_id).where(*which)),
            target.acked_gen >= target.desired_gen,
            target.desired_op != DELETE,
            target.observed_body.is_not(None),
            ~sa.or_(target.former, target.detached, target.backfill, target.conflict_cid.is_not(None)),
        )
        .order_by(target.subject_id)
        .limit(sa.bindparam("at_most", type_=sa.Integer))
    )


LISTS_OF: Final = Prepared(_lists_of)
"""Selects the first lists of an account that have any of these records, as their PDS has been given them."""


def newest_of(connection: sa.Connection, did: str, uris: Iterable[str]) -> dict[str, ListItem]:
    """Return what lists of an account are to refer to, of these records those that an account here has."""
    named = {*uris}
    rows = [*rows_by_uri(connection, lambda which: _BY_NAME.where(*which(target)), named)]
    others = named.difference(row.uri for row in rows)
    rows += rows_by_uri(connection, lambda which: _BY_FORMER_NAME.where(*which(_named)), others)
    return {
        uri: ListItem(newest, cid)
        for uri, of, has_moved, newest, cid in rows
        if cid is not None or (of == did and not has_moved)
    }


def _changed_at(connection: sa.Connection, uris: Collection[str]) -> dict[str, datetime | None]:
    """Return when a PDS was given these newest records, by URI; of those alone that have changed since they were adopted, if they were."""
    return dict(rows_by_uri(connection, lambda which: _CHANGED.where(*which(target)), uris))


def items_of(connection: sa.Connection, did: str, cids: Mapping[str, str | None]) -> dict[str, ListItem]:
    """Return new items of an account's lists, by URI; the CIDs are for records that no account here has."""
    return {uri: ListItem(uri, cid) for uri, cid in cids.items()} | newest_of(connection, did, cids)


def references_of(connection: sa.Connection, made: TrackList) -> References:
    """Return what a list is to refer to, by the URIs that it has."""
    return newest_of(connection, made.did, [item.uri for item in made.items if made.follows(item)])


def stale_references(
    connection: sa.Connection,
    did: str,
    subjects: Iterable[Subject] | None = None,
    *,
    before: datetime | None = None,
) -> dict[int, References]:
    """Return what an account's lists have to refer to otherwise of its own records, by list; only of these subjects, or those that changed before, if given."""
    of_account = sa.select(_item.list_id, _item.uri).where(_item.did == did)
    newest = _newest_named_by(of_account, _refers_otherwise, did, subjects)
    query = of_account.add_columns(newest.newest, newest.cid).where(
        newest.has_changed, _refers_otherwise(newest.uri, newest.former, newest.cid)
    )
    if before is not None:
        query = query.where(newest.acked_at < before)
    found = defaultdict[int, dict[str, ListItem]](dict)
    for list_id, uri, *item in connection.execute(query.order_by(_item.list_id)):
        found[list_id][uri] = ListItem(*item)
    return dict(found)


def _newest_named_by(
    rows: sa.Select[*tuple[Any, ...]],
    otherwise: Callable[[Any, Any, Any], sa.ColumnElement[bool]],
    did: str,
    subjects: Iterable[Subject] | None,
) -> Any:
    """Return columns of an account's records, or of these, that some of the rows name otherwise.

    They are looked for one by one: PostgreSQL, where it has no statistics yet of new lists, would compare each row with each record.
    """
    ids = [each.id for each in subjects] if subjects is not None else None

    def which(of: Any) -> list[sa.ColumnElement[bool]]:
        named: sa.Select[Any] = rows.with_only_columns(sa.literal_column("1"))
        first = named.where(otherwise(uri_column(of), of.former, _CID)).limit(1).scalar_subquery()
        these = [of.subject_id.in_(ids)] if ids is not None else []
        return [of.did == did, *these, first.is_not(None)]

    found = _newest(which, _HAS_CHANGED.label("has_changed"), target.acked_at).cte("newest")
    return found.prefix_with("MATERIALIZED", dialect="postgresql").c


def stale_references_elsewhere(
    connection: sa.Connection, did: str, *, before: datetime | None = None
) -> dict[int, References]:
    """Return what an account's lists have to refer to otherwise of the records of other accounts, as `stale_references` does."""
    is_own = _item.uri.startswith(f"at://{did}/", autoescape=True)
    found = defaultdict[int, dict[str, ListItem]](dict)
    for items in connection.execute(_ITEMS.where(_item.did == did, ~is_own)).partitions():
        newest = newest_of(connection, did, {item.uri for item in items})
        stale = [item for item in items if newest.get(item.uri) not in {None, ListItem(item.uri, item.cid)}]
        changed = _changed_at(connection, {newest[item.uri].uri for item in stale})
        for item in stale:
            since = changed.get(newest[item.uri].uri)
            if since is not None and (before is None or since < before):
                found[item.list_id][item.uri] = newest[item.uri]
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
    subjects: Iterable[Subject] | None = None,
    at_most: int,
    after: tuple[str, int] | None = None,
) -> list[Any]:
    """Return lists of other accounts that follow records of the account, or these, and were not told of the newest: URI, CID, list and its account.

    With `after`, those that come behind one, by URI and list, in that order.
    """
    of_account = sa.select(_follower.uri, _follower.list_id, _follower.author).where(
        _follower.did == did, *which
    )
    newest = _newest_named_by(of_account, _follows_another, did, subjects)
    query = of_account.add_columns(newest.cid).where(_follows_another(newest.uri, newest.former, newest.cid))
    if after is not None:
        key = (_follower.uri, _follower.list_id)
        query = query.where(sa.tuple_(*key) > sa.tuple_(*after)).order_by(*key)
    return list(connection.execute(query.limit(at_most)))


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
    stale = [item for item in made.items if newest.get(item.uri) not in {None, item}]
    times = _changed_at(connection, {newest[item.uri].uri for item in stale})
    found = ((made.follows(item), times.get(newest[item.uri].uri)) for item in stale)
    changed = [(follows, since) for follows, since in found if since is not None]
    if not changed:
        return ReferenceStatus(ReferenceState.CURRENT)
    is_behind = any(follows for follows, _ in changed)
    since = min(at for follows, at in changed if follows == is_behind)
    return ReferenceStatus(ReferenceState.BEHIND if is_behind else ReferenceState.UNFOLLOWED, since)
