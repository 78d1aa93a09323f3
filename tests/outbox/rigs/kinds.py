"""A rig for each kind of record: what a test does to a track, it does to a remark and a list too."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aggregates.track_list import TrackList
from devpds.server import DevPds
from tests.dsl import a_list, some_item
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on, rig_on
from tests.remarks import Remark, a_remark
from tests.servers.atproto import PdsAccount


class RemarksRig(Rig):
    OF = Remark
    TEXT = "text"

    def upload(self, track_id: int = 1, **_: Any) -> Remark:  # type: ignore[override]
        return self.saves(a_remark(track_id, did=self.did))

    def edit(self, track_id: int = 1, **changes: Any) -> Remark:  # type: ignore[override]
        return self.command(track_id, lambda remark: remark.reword(changes["title"], at=self.clock()))


class ListsRig(Rig):
    OF = TrackList
    TEXT = "name"

    def upload(self, track_id: int = 1, **_: Any) -> TrackList:  # type: ignore[override]
        return self.saves(a_list(track_id, did=self.did, items=(some_item("A"),)))

    def edit(self, track_id: int = 1, **changes: Any) -> TrackList:  # type: ignore[override]
        return self.command(track_id, lambda it: it.edit({"name": changes["title"]}, at=self.clock()))


KINDS = pytest.fixture(params=[Rig, RemarksRig, ListsRig], ids=["tracks", "remarks", "lists"])


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
