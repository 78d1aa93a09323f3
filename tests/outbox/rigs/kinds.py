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


@pytest.fixture(params=[pytest.param("tracks", marks=pytest.mark.pds), *OTHERS])
async def any_kind(request: pytest.FixtureRequest, migrated_url: str) -> AsyncIterator[Rig]:
    """Tracks at a real PDS, and the other kinds at one in memory."""
    if request.param == "tracks":
        pds, account = map(request.getfixturevalue, ("pds", "pds_account"))
        rig = rig_on(migrated_url, pds, account)
    else:
        rig = memory_rig_on(migrated_url, OTHERS[request.param])
    async with rig as made:
        yield made
