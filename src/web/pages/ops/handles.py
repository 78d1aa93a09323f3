"""Finds the handles of all accounts that a screen names, with one read."""

from collections.abc import Iterable
from typing import Final

from api.routers.artists import Wanted, list_artists, read_artist
from identity.accounts.credentials import Principal
from identity.resolution.identifiers import INVALID_HANDLE
from web.ask import Ask

MOST: Final = 100
"""How many artists the API returns at once: as many as a page has rows."""
DID: Final = "did:"


async def did_of(ask: Ask[Principal], name: str) -> str:
    """Return the DID of an account that is named by its handle; any other name as it is."""
    handle = name.strip().removeprefix("@")
    if handle.startswith(DID) or "." not in handle:
        return handle
    found = await ask.find(read_artist, handle)
    return handle if found is None else str(found["did"])


async def handles_of(ask: Ask[Principal], names: Iterable[str | None]) -> dict[str, str]:
    """Return by DID the handles of those accounts that are here; names that are no DIDs are left out."""
    dids = sorted({name for name in names if name is not None and name.startswith(DID)})[:MOST]
    if not dids:
        return {}
    found = await ask(list_artists, Wanted(did=dids))
    return {each["did"]: each["handle"] for each in found["items"] if each["handle"] != INVALID_HANDLE}
