"""The profile of an account: the record that its PDS has already is adopted with the first edit here."""

from collections.abc import Mapping
from dataclasses import dataclass

from aggregates.accounts.profile import Profile
from aggregates.values import Artwork
from application.errors import ProfileNotFoundError
from application.subjects import On, new_record, require_staying
from eventstore.change import of_class
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.accounts.accounts import set_profile
from outbox.pds.client import Remote
from projections.profiles import profile_of
from replay.adoption.adopt import adopt_record
from replay.adoption.plain import PlainRecord
from storage.media import Reserved


@dataclass(frozen=True)
class Beginning:
    """Where a new profile has its record, and the one that is there already, as its PDS has just said."""

    collection: str
    key: str
    host: str = ""
    found: tuple[Remote, PlainRecord] | None = None


def update_profile(
    unit: UnitOfWork, changes: Mapping[str, str | bool | None], beginning: Beginning | None = None
) -> None:
    """Set `display_name`, `bio`, `support_url` or `comments`; None clears, and the profile's name is shown again. Tracks keep their artist's name.

    The bio is that of the profile, unless no login may write one.
    """
    require_staying(unit)
    left = dict(changes)
    if "bio" in left and (profile := _profile(unit, beginning, is_new=left["bio"] is not None)) is not None:
        profile.edit({"bio": left.pop("bio")}, at=unit.now)
        unit.save(profile)
    stream = account_of(unit)
    stream.update_profile(left, at=unit.now)
    if unit.save(stream):
        shown = {name: getattr(stream, name) for name in ("bio", "support_url", "comments")}
        set_profile(unit.connection, unit.account, chosen_name=stream.display_name, **shown)


def set_avatar(
    unit: UnitOfWork,
    avatar: Artwork | None,
    beginning: Beginning | None,
    versions: frozenset[int] | None,
    reserved: Reserved,
) -> Profile:
    """Set the picture, or remove it with None. Raises ProfileNotFoundError where there is none to remove, and VersionMismatchError."""
    profile = _profile(unit, beginning, is_new=avatar is not None)
    if profile is None:
        raise ProfileNotFoundError
    On(Profile, profile.profile_id, versions).require_version(profile)
    if avatar is not None:
        reserved.require(avatar.cids, unit.now)
    profile.set_avatar(avatar, at=unit.now)
    unit.save(profile)
    return profile


def _profile(unit: UnitOfWork, beginning: Beginning | None, *, is_new: bool) -> Profile | None:
    """Return the account's profile, adopted, or made if it `is_new`; None where there is none, or nowhere to begin one."""
    row = profile_of(unit.connection, unit.account)
    if row is not None and (is_new or row.deleted_at is None):
        profile = unit.load(Profile, Profile.create_id(row.profile_id))
        if profile.deleted_at is not None:  # with its account, which begins anew
            profile.undelete(at=unit.now)
            profile.set_avatar(None, at=unit.now)
            profile.edit({"bio": None}, at=unit.now)
        return profile
    if row is not None or beginning is None:
        return None
    if beginning.found is not None:
        remote, record = beginning.found
        adopted = adopt_record(unit, record.key, remote, beginning.host, record.made)
        return of_class(Profile, adopted) if adopted is not None else None
    if not is_new:
        return None
    made = {"profile_id": next_subject_id(unit.connection, unit.account), "bio": None, "avatar_url": None}
    return Profile.register(
        at=unit.now, **made, **new_record(unit, beginning.collection) | {"rkey": beginning.key}
    )
