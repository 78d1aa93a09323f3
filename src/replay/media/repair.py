"""Repairs missing and damaged bytes from the blobs at the artists' PDSes, whose CIDs prove them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import select

from eventstore.coordination.threads import Threads
from identity.resolution.address_policy import AddressPolicy
from outbox.mirror.hosts import Hosts
from outbox.mirror.tables import mirror_lane
from projections.media_references import media_references
from projections.tracks.table import tracks
from replay.adoption.fetcher import Fetcher
from replay.errors import BytesUnavailableError, PdsTroubleError
from replay.media.check import MediaFinding, MediaKind
from storage.derived.renditions import forget, sources_of
from storage.media import Media, mark_deleting
from storage.upload import Staged

DAMAGED: Final = "its bytes were damaged and have been fetched again"

FORGOTTEN: Final = "it was missing or damaged, and is made again of its cover"


class MediaRepair:
    """Repairs the findings of a check, one at a time; a finding that no PDS can repair is left as it is."""

    def __init__(
        self, storage: Media, http: httpx.AsyncClient, policy: AddressPolicy, staging: Path, hosts: Hosts
    ) -> None:
        self._storage = storage
        self._threads = Threads("repair", 1)
        self._fetcher = Fetcher(http, policy, staging, hosts, self._threads)

    async def repair(self, finding: MediaFinding) -> bool:
        """Fetch the bytes and store them; False where no PDS has them. A rendition is forgotten, and made again."""
        if await self._threads.run(self._is_forgotten, finding):
            return True
        for blob in await self._threads.run(self._blobs, finding.cid):
            try:
                staged = await self._fetcher.blob(blob.host, blob.did, finding.cid, blob.audio_size)
            except (BytesUnavailableError, PdsTroubleError):
                continue
            with staged:
                await self._threads.run(self._store, finding, staged, blob.audio_mime)
            return True
        return False

    def _store(self, finding: MediaFinding, staged: Staged, mime: str) -> None:
        if finding.kind is not MediaKind.MISSING and finding.key is not None:
            with self._storage.database.write() as connection:
                mark_deleting(connection, [finding.key], DAMAGED)
        with staged.open() as source:
            self._storage.add(finding.cid, source, staged.size, mime)

    def _is_forgotten(self, finding: MediaFinding) -> bool:
        """Forget a rendition that no track names itself, as it does its thumbnail."""
        with self._storage.database.write() as connection:
            sources = sources_of(connection, [finding.cid]).get(finding.cid, set())
            names = select(media_references.c.track_id).where(media_references.c.cid == finding.cid).limit(1)
            if not sources or connection.scalar(names) is not None:
                return False
            forget(connection, sources, self._storage.database.now(connection))
            if finding.key is not None:
                mark_deleting(connection, [finding.key], FORGOTTEN)
        return True

    def _blobs(self, cid: str) -> Sequence[Any]:
        """Return the accounts whose tracks have this audio, with their PDSes, and its type and size."""
        names = media_references.c
        query = (
            select(names.did, mirror_lane.c.host, tracks.c.audio_mime, tracks.c.audio_size)
            .join(tracks, tracks.c.track_id == names.track_id)
            .join(mirror_lane, mirror_lane.c.did == names.did)
            .where(names.cid == cid, tracks.c.audio_cid == cid, mirror_lane.c.host != "")
            .distinct()
        )
        with self._storage.database.read() as connection:
            return connection.execute(query).all()
