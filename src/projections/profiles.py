"""`profiles`: what each account says of itself now. Before its owner has saved one, or it was adopted, an account has none."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa

from aggregates.accounts.profile import Profile
from aggregates.values import Artwork
from eventstore.change import Change, changes_of
from eventstore.projection import Into, ProjectedTable, fingerprint, write_rows
from eventstore.sql.schema import Position, UtcDateTime, metadata
from eventstore.streams.buckets import account_columns
from projections.lists import Cover
from projections.tracks.table import image_columns, prefixed

VERSION: Final = 1

profiles: Final = sa.Table(
    "profiles",
    metadata,
    sa.Column("profile_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("bio", sa.Text),
    *image_columns("avatar"),
    sa.Column("avatar_url", sa.Text),  # of a picture that is elsewhere
    sa.Column("deleted_at", UtcDateTime),
    sa.Column("taken_down_at", UtcDateTime),
    sa.Index("ix_profiles_did", "did"),
)
it: Final = profiles.c
LIVE: Final = it.deleted_at.is_(None)
MAX_PROFILES_NAMING: Final = 100
"""The same bytes, of those looked at for a reader of them."""


class Profiles:
    """The newest state of each profile."""

    name: Final = "profiles"
    fingerprint: Final = fingerprint(VERSION, profiles)
    tables: Final = (ProjectedTable(profiles),)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        latest = {made.profile_id: made for _, _, made in changes_of(Profile, changes)}
        write_rows(connection, into(profiles), [_row(made) for made in latest.values()])


def _row(made: Profile) -> dict[str, Any]:
    names = ("profile_id", "did", "bio", "avatar_url", "deleted_at", "taken_down_at")
    return {name: getattr(made, name) for name in names} | prefixed(made.avatar, "avatar_", Artwork)


def profile_of(connection: sa.Connection, did: str) -> sa.Row[Any] | None:
    """Return the account's profile, even one that went with its account, before that signed in again."""
    return connection.execute(sa.select(profiles).where(it.did == did)).one_or_none()


def profiles_of(connection: sa.Connection, dids: Collection[str]) -> dict[str, sa.Row[Any]]:
    """Return the live profiles of these accounts, by DID."""
    found = connection.execute(sa.select(profiles).where(LIVE, it.did.in_(dids)))
    return {row.did: row for row in found}


def avatars_named(connection: sa.Connection, cid: str) -> list[Cover]:
    """Return the pictures of live profiles that are, or whose thumbnail is, these bytes, as `covers_named` does."""
    columns = (it.avatar_cid, it.avatar_mime, it.avatar_size, it.avatar_thumbnail_cid)
    names = sa.or_(it.avatar_cid == cid, it.avatar_thumbnail_cid == cid)
    query = sa.select(*columns, it.did, it.taken_down_at).where(LIVE, names).limit(MAX_PROFILES_NAMING)
    return [Cover(Artwork(*row[:4]), row.did, row.taken_down_at) for row in connection.execute(query)]
