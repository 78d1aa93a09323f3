"""Reads records of the caller's for pages: one of any kind, how many wait, and titles of the tracks that they name."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

from aggregates.published import Published, Subject
from api.json_response import body_from
from api.requests.parameters import URI, subject_at
from api.responses.mirror import ShownKind
from api.responses.track import MirrorBody
from api.services import Services
from application.authorization import may_see
from application.subjects import A, find, require_owned, require_reader
from identity.accounts.credentials import Principal
from outbox.mirror.tables import target
from outbox.mirror.targets import PUT
from outbox.operations.account_deletion import adopted_alone
from outbox.views.status import DECIDES_STATE, STATE, TARGETS_AT_WORK, mirrors, unfinished_ids, with_ids
from projections.lists import track_list
from projections.tracks.queries import tracks_at


class SubjectBody(BaseModel):
    """What every kind has, of a subject for a page of it; None where its kind has no such field."""

    id: int
    did: str
    version: int
    deleted_at: datetime | None
    taken_down_at: datetime | None
    title: str | None
    slug: str | None
    track_id: int | None
    text: str | None
    mirror: MirrorBody


def own_subject(principal: Principal, services: Services, kind: ShownKind[A], subject_id: int) -> SubjectBody:
    """Return the caller's own, a deleted one too; raises as `require_owned`."""
    with services.database.read() as connection:
        on = kind.on(subject_id)
        found = require_owned(services.log, connection, principal.did, on, deleted_too=True)
        return _body(connection, found)


def any_subject(operator: Principal, services: Services, kind: ShownKind[A], subject_id: int) -> SubjectBody:
    """Return any account's for an operator, a deleted one too; raises as `require_reader`."""
    with services.database.read() as connection:
        found = require_reader(services.log, connection, operator, kind.on(subject_id))
        return _body(connection, found)


def _body(connection: sa.Connection, found: Published) -> SubjectBody:
    kind, subject_id = Subject.of(found)
    fields = {name: getattr(found, name, None) for name in ("slug", "track_id", "text")}
    return body_from(
        SubjectBody,
        found,
        id=subject_id,
        version=found.visible_version,
        title=_title(found),
        mirror=mirrors(connection, found.did, kind, [subject_id])[subject_id],
        **fields,
    )


def _title(found: Published) -> str | None:
    return getattr(found, "title", None) or getattr(found, "name", None)


def shown_at(
    services: Services, connection: sa.Connection, kinds: Sequence[ShownKind[Any]], uri: str
) -> tuple[ShownKind[Any], Published] | None:
    """Return what has this record, or had it, and of which of these kinds it is."""
    for kind in kinds:
        subject_id = subject_at(connection, uri, kind.aggregate)
        found = find(services.log, connection, kind.on(subject_id)) if subject_id is not None else None
        if found is not None:
            return kind, found
    return None


def names_at(
    principal: Principal, services: Services, kinds: Sequence[ShownKind[Any]], uris: Sequence[str]
) -> dict[str, Any]:
    """Return of these records, by URI, what of the caller's has them: the end of its addresses, and its title."""
    names = dict[str, dict[str, str]]()
    with services.database.read() as connection:
        for uri in uris:
            kind, found = shown_at(services, connection, kinds, uri) or (None, None)
            if kind is not None and found is not None and found.did == principal.did:
                subject_id, called = found.subject_id, kind.called.capitalize()
                title = _title(found) or f"{called} {subject_id}"
                names[uri] = {"route": kind.route(subject_id), "title": title}
    return {"names": names}


def read_waiting(principal: Principal, services: Services) -> dict[str, Any]:
    """Count for a page the caller's records that the PDS does not have as the log says, by kind and state; with the oldest of each."""
    word, list_ = sa.func.coalesce(track_list.c.list_type, target.kind).label("word"), track_list.c
    same = sa.and_(list_.did == target.did, list_.list_id == target.subject_id)
    number, first = sa.func.count(target.subject_id.distinct()), sa.func.min(target.subject_id)
    is_wanted = (DECIDES_STATE, sa.or_(target.former, target.desired_op == PUT))
    found = (
        sa.select(word, STATE.label("mirror_state"), number.label("records"), first.label("first_id"))
        .select_from(TARGETS_AT_WORK.outerjoin(track_list, same))
        .where(target.did == principal.did, with_ids(*unfinished_ids(principal.did)), *is_wanted)
        .group_by("word", "mirror_state")
    )
    with services.database.read() as connection:
        rows = connection.execute(found).mappings().all()
    return {"items": [{**row, "state": row["mirror_state"]} for row in rows]}


def count_adopted(principal: Principal, services: Services) -> dict[str, int]:
    """Count for a page the records that stay when the caller leaves, since other programs made them."""
    with services.database.read() as connection:
        return {"adopted": adopted_alone(connection, principal.did)}


def titles_at(caller: Principal | None, services: Services, uris: Sequence[str]) -> dict[str, Any]:
    """Return the titles of the tracks whose records have these URIs, of those that the caller may know of."""
    with services.database.read() as connection:
        found = tracks_at(connection, [uri for uri in uris if URI.fullmatch(uri)])
    titles = {
        uri: view.title
        for uri, view in found.items()
        if view.deleted_at is None and may_see(caller, view.did, view.taken_down_at)
    }
    return {"titles": titles}
