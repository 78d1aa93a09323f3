"""Reads records of the caller's for pages: one of any kind, how many wait, and titles of the tracks that they name."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from pydantic import BaseModel

from api.json_response import Page, body_from
from api.requests.parameters import URI
from api.responses.mirror import ShownKind
from api.responses.track import MirrorBody
from api.services import Services
from application.authorization import may_see_track
from application.subjects import A, require_owned
from identity.accounts.credentials import Principal
from outbox.mirror.tables import target
from outbox.mirror.targets import PUT
from outbox.views.status import DECIDES_STATE, STATE, TARGETS_AT_WORK, mirrors, unfinished_ids, with_ids
from projections.lists import track_list
from projections.tracks.queries import tracks_at


class OwnSubjectBody(BaseModel):
    """What every kind has, of a subject for a page of it; `track_id` and `text` are those of a like or a comment."""

    id: int
    did: str
    version: int
    deleted_at: datetime | None
    track_id: int | None
    text: str | None
    mirror: MirrorBody


def own_subject(
    principal: Principal, services: Services, kind: ShownKind[A], subject_id: int
) -> OwnSubjectBody:
    """Return the caller's own, a deleted one too; raises as `require_owned`."""
    with services.database.read() as connection:
        on = kind.on(subject_id)
        found = require_owned(services.log, connection, principal.did, on, deleted_too=True)
        mirror = mirrors(connection, found.did, kind.name, [subject_id])[subject_id]
    return body_from(
        OwnSubjectBody,
        found,
        id=subject_id,
        version=found.visible_version,
        track_id=getattr(found, "track_id", None),
        text=getattr(found, "text", None),
        mirror=mirror,
    )


class WaitingRow(BaseModel):
    """How many records of a kind, by its word, are in a state, and the oldest of them."""

    word: str
    state: str
    records: int
    first_id: int


def read_waiting(principal: Principal, services: Services) -> Page[WaitingRow]:
    """Count for a page the caller's records that the PDS does not have as the log says."""
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
        rows = connection.execute(found).all()
    items = [body_from(WaitingRow, row, state=row.mirror_state) for row in rows]
    return Page[WaitingRow](items=items, cursor=None)


class TitlesBody(BaseModel):
    titles: dict[str, str]


def titles_at(caller: Principal | None, services: Services, uris: Sequence[str]) -> TitlesBody:
    """Return the titles of the tracks whose records have these URIs, of those that the caller may know of."""
    with services.database.read() as connection:
        found = tracks_at(connection, [uri for uri in uris if URI.fullmatch(uri)])
    return TitlesBody(
        titles={
            uri: view.title
            for uri, view in found.items()
            if view.deleted_at is None and may_see_track(caller, view.did, view.taken_down_at)
        }
    )
