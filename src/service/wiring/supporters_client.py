"""Asks the address in SUPPORTERS_URL whether somebody supports an artist. No answer is not a yes."""

import asyncio
from typing import Final

import httpx

from application.errors import SupportersUnreachableError

PATIENCE: Final = 3.0


class HttpSupporters:
    """`GET ?artist=DID&supporter=DID` -> `{"supporter": bool}`."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http

    async def vouch(self, artist: str, supporter: str) -> bool:
        """Whether `supporter` supports `artist`."""
        try:
            async with asyncio.timeout(PATIENCE):
                url = httpx.URL(self._url).copy_merge_params({"artist": artist, "supporter": supporter})
                reply = await self._http.get(url, timeout=PATIENCE)
            vouched = reply.raise_for_status().json()["supporter"]
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise SupportersUnreachableError from error
        if not isinstance(vouched, bool):
            raise SupportersUnreachableError
        return vouched
