"""A profile as JSON: for its owner, with its record's mirror; and what others are shown of it."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel, Field

from aggregates.accounts.profile import Profile
from aggregates.published import Subject
from api.json_response import Versioned, result_of
from api.responses.mirror import ShownKind, bodies_of
from api.responses.reader import SubjectReader, body_of_record
from api.responses.track import MirrorBody
from api.services import Services
from application.authorization import may_have_bytes, may_see
from application.subjects import On, find
from eventstore.idempotency import CommandResult
from identity.accounts.accounts import Account
from identity.accounts.credentials import Principal
from outbox.tracks.record import RecordUrls
from outbox.views.status import Mirror, mirrors
from projections.profiles import profiles_of


class ProfileBody(Versioned):
    """A profile. `uri` and `cid` are those of its record, without a CID until the PDS has confirmed it; `mirror` says how far it is."""

    did: str
    bio: str | None
    avatar_url: str | None
    created_at: str
    uri: str
    cid: str | None
    taken_down_at: datetime | None = Field(
        description="since when an operator hides the profile from all but its owner and operators"
    )
    mirror: MirrorBody


PROFILES: Final = ShownKind(Profile, *bodies_of("profile"))


def saved_profile(reader: SubjectReader, subject: Subject) -> CommandResult:
    return result_of(_body(reader.services, *reader.state(Profile, subject)))


def own_profile(services: Services, connection: sa.Connection, did: str) -> ProfileBody | None:
    """Return the profile of an account; None before one is saved here, or adopted."""
    row = profiles_of(connection, [did]).get(did)
    profile = find(services.log, connection, On(Profile, row.profile_id)) if row is not None else None
    if profile is None:
        return None
    return _body(
        services, profile, mirrors(connection, did, Profile.TOPIC, [profile.profile_id])[profile.profile_id]
    )


def _body(services: Services, made: Profile, mirror: Mirror) -> ProfileBody:
    avatar_url = services.urls.artwork(made.avatar.cid) if made.avatar is not None else made.avatar_url
    return body_of_record(ProfileBody, made, mirror, avatar_url=avatar_url)


def avatars_of(connection: sa.Connection, urls: RecordUrls, dids: Collection[str]) -> dict[str, str | None]:
    """Return the addresses of the pictures of the accounts whose profile all may see, by DID."""
    rows = profiles_of(connection, dids).items()
    return {did: _avatar_url(row, urls) for did, row in rows if row.taken_down_at is None}


def _avatar_url(row: sa.Row[Any], urls: RecordUrls) -> str | None:
    return urls.artwork(row.avatar_cid) if row.avatar_cid else row.avatar_url


B = TypeVar("B", bound=BaseModel)


def artists_as(
    body: type[B], services: Services, accounts: Collection[Account], caller: Principal | None
) -> list[B]:
    """Return accounts as artists, with what their profiles say to the caller, or before there is one the bio that was set here."""
    with services.database.read() as connection:
        found = profiles_of(connection, [account.did for account in accounts])

    def said_by(account: Account) -> dict[str, str | None]:
        row = found.get(account.did)
        if row is None:
            return {"bio": account.bio, "avatar_url": None}
        if not may_see(caller, account.did, row.taken_down_at):
            return {"bio": None, "avatar_url": None}
        has_picture = may_have_bytes(caller, row)
        return {"bio": row.bio, "avatar_url": _avatar_url(row, services.urls) if has_picture else None}

    return [
        body.model_validate({**vars(each), "display_name": each.name, **said_by(each)}) for each in accounts
    ]
