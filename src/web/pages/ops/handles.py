"""Finds the handles of all accounts that a screen names, with one read."""

from collections.abc import Iterable
from typing import Final

from identity.resolution.identifiers import INVALID_HANDLE
from web.api_client import Api

MOST: Final = 100
"""How many artists the API returns at once: as many as a page has rows."""
DID: Final = "did:"


async def handles_of(api: Api, names: Iterable[str | None]) -> dict[str, str]:
    """Return by DID the handles of those accounts that are here; names that are no DIDs are left out."""
    dids = sorted({name for name in names if name is not None and name.startswith(DID)})[:MOST]
    if not dids:
        return {}
    found = await api.read("/artists", did=dids)
    return {each["did"]: each["handle"] for each in found["items"] if each["handle"] != INVALID_HANDLE}
