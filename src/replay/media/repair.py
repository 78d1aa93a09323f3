"""Bytes that are missing or damaged here, from the blobs that artists have at their PDSes: the CID proves them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import select

from identity.resolution.address_policy import AddressPolicy
from outbox.mirror.hosts import Hosts
from outbox.mirror.tables import mirror_lane
from outbox.threads import in_thread
from projections.media_references import media_references
from projections.tracks import tracks
from replay.adoption.fetcher import Fetcher
from replay.errors import BytesUnavailableError, PdsTroubleError
from replay.media.check import MediaFinding, MediaKind
from storage.media import Media, mark_deleting
from storage.upload import Staged

DAMAGED: Final = "its bytes were damaged and have been fetched again"


@dataclass(frozen=True)
class _Blob:
    """Where the bytes may be had, and what they are."""

    did: str
    host: str
    mime: str
    size: int


class MediaRepair:
    """Fetches what a check has found; what no PDS has stays as it is."""

    def __init__(
        self, storage: Media, http: httpx.AsyncClient, policy: AddressPolicy, staging: Path, hosts: Hosts
    ) -> None:
        self._storage = storage
        self._fetcher = Fetcher(http, policy, staging, hosts)

    async def repair(self, finding: MediaFinding) -> bool:
        """Have the bytes live again, and say whether they are."""
        for blob in await in_thread(self._blobs, finding.cid):
            staged = await self._fetched(finding.cid, blob)
            if staged is not None:
                with staged:
                    await in_thread(self._keep, finding, staged, blob)
                return True
        return False

    async def _fetched(self, cid: str, blob: _Blob) -> Staged | None:
        try:
            return await self._fetcher.blob(blob.host, blob.did, cid, blob.size)
        except (BytesUnavailableError, PdsTroubleError):
            return None

    def _keep(self, finding: MediaFinding, staged: Staged, blob: _Blob) -> None:
        if finding.kind is not MediaKind.MISSING and finding.key is not None:
            with self._storage.database.write() as connection:
                mark_deleting(connection, [finding.key], DAMAGED)
        with staged.open() as source:
            self._storage.add(finding.cid, source, staged.size, blob.mime)

    def _blobs(self, cid: str) -> Sequence[_Blob]:
        """Return the accounts whose tracks have this audio, and are known to have a PDS."""
        names = media_references.c
        query = (
            select(names.did, mirror_lane.c.host, tracks.c.audio_mime, tracks.c.audio_size)
            .join(tracks, tracks.c.track_id == names.track_id)
            .join(mirror_lane, mirror_lane.c.did == names.did)
            .where(names.cid == cid, tracks.c.audio_cid == cid, mirror_lane.c.host != "")
            .distinct()
        )
        with self._storage.database.read() as connection:
            return [_Blob(*row) for row in connection.execute(query)]
