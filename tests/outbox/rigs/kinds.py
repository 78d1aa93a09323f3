"""A rig for each kind of record: what a test does to a track, it does to a comment and a list too."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aggregates.accounts.profile import Profile
from aggregates.lists.track_list import TrackList
from aggregates.reactions.comment import Comment
from devpds.server import DevPds
from tests.dsl import A_RECORD, a_comment, a_list, a_profile, some_item
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on, rig_on
from tests.servers.atproto import PdsAccount
from tests.servers.databases import AND_CITUS


class CommentsRig(Rig):
    OF = Comment
    TEXT = "text"

    def upload(self, track_id: int = 1, **_: Any) -> Comment:  # type: ignore[override]
        return self.saves(a_comment(track_id, did=self.did, track_cid=A_RECORD["cid"]))

    def edit(self, track_id: int = 1, **changes: Any) -> Comment:  # type: ignore[override]
        return self.command(track_id, lambda it: it.edit({"text": changes["title"]}, at=self.clock()))


class ProfilesRig(Rig):
    OF = Profile
    TEXT = "bio"

    def upload(self, track_id: int = 1, **_: Any) -> Profile:  # type: ignore[override]
        return self.saves(a_profile(track_id, did=self.did, bio="Words", rkey=f"self{track_id}"))

    def edit(self, track_id: int = 1, **changes: Any) -> Profile:  # type: ignore[override]
        return self.command(track_id, lambda it: it.edit({"bio": changes["title"]}, at=self.clock()))


class ListsRig(Rig):
    OF = TrackList
    TEXT = "name"

    def upload(self, track_id: int = 1, **_: Any) -> TrackList:  # type: ignore[override]
        return self.saves(a_list(track_id, did=self.did, items=(some_item("A"),)))

    def edit(self, track_id: int = 1, **changes: Any) -> TrackList:  # type: ignore[override]
        return self.command(track_id, lambda it: it.edit({"name": changes["title"]}, at=self.clock()))


OTHERS = {"comments": CommentsRig, "profiles": ProfilesRig, "lists": ListsRig}


KINDS = pytest.fixture(params=[Rig, *OTHERS.values()], ids=["tracks", *OTHERS])


@KINDS
async def each(
    request: pytest.FixtureRequest, migrated_url: str, pds: DevPds, pds_account: PdsAccount
) -> AsyncIterator[Rig]:
    async with rig_on(migrated_url, pds, pds_account, request.param) as made:
        yield made


@KINDS
async def each_desk(request: pytest.FixtureRequest, migrated_url: str) -> AsyncIterator[Rig]:
    async with memory_rig_on(migrated_url, request.param) as made:
        yield made


@pytest.fixture(
    params=[
        pytest.param("postgres", id="tracks", marks=[pytest.mark.pds, pytest.mark.postgres]),
        *(pytest.param(each, id=f"tracks-{each}", marks=pytest.mark.pds) for each in AND_CITUS),
        *OTHERS,
    ]
)
async def any_kind(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Tracks on PostgreSQL and at a real PDS, and the other kinds on SQLite and at one in memory."""
    if (of := OTHERS.get(request.param)) is not None:
        rig = memory_rig_on(request.getfixturevalue("migrated_sqlite"), of)
    else:
        url, pds, account = map(request.getfixturevalue, (f"migrated_{request.param}", "pds", "pds_account"))
        rig = rig_on(url, pds, account)
    async with rig as made:
        yield made
