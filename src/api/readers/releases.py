"""Reads releases for pages: of their owner, with how large a file may be, and for who has a secret link."""

from typing import Final

from aggregates.releases.release import Release
from aggregates.values import Artwork, Audio, ReleaseState
from api.middleware.request_threads import in_thread
from api.pipeline.pds import blob_limit
from api.responses.release import MusicReleaseBody, PreviewBody, preview_body, release_body
from api.services import Services
from application.errors import MediaNotFoundError
from application.records import AUDIO_BLOB_BYTES
from application.releases.drafts import find_preview
from application.subjects import On, require_owned
from identity.accounts.credentials import Principal

LIMIT_TIMEOUT_SECONDS: Final = 2.0
"""A page waits no longer for what the PDS says of its limit."""


def own_release(principal: Principal, services: Services, release_id: int) -> MusicReleaseBody:
    with services.database.read() as connection:
        release = require_owned(services.log, connection, principal.did, On(Release, release_id))
        return release_body(connection, release, services.database.now(connection))


async def upload_limits(principal: Principal, services: Services) -> dict[str, int]:
    """Return how large a file may be that is uploaded, and for its copy on the PDS."""
    account = await in_thread(services.accounts.get, principal.did)
    host = account.pds_url if account is not None else None
    taken = await blob_limit(services, principal.did, host, LIMIT_TIMEOUT_SECONDS)
    pds_bytes = min(AUDIO_BLOB_BYTES, taken or AUDIO_BLOB_BYTES)
    return {"upload_bytes": services.max_upload_bytes, "pds_bytes": pds_bytes}


def previewed_release(_caller: Principal | None, services: Services, token: str) -> PreviewBody:
    """Return what a secret link shows; raises ReleaseNotFoundError."""
    with services.database.read() as connection:
        release = find_preview(services.log, connection, token)
    account = services.accounts.get(release.did)
    return preview_body(release, account.name if account is not None else "")


def previewed_bytes(services: Services, token: str, name: str) -> Audio | Artwork:
    """Return what a secret link plays or shows under a name: `cover`, or the `upload_id` of a file; raises MediaNotFoundError."""
    with services.database.read() as connection:
        release = find_preview(services.log, connection, token)
    named = {"cover": release.cover, **{each.upload_id: each.audio for each in release.files}}
    found = named.get(name) if release.state != ReleaseState.PUBLISHED else None
    if found is None:
        raise MediaNotFoundError
    return found
