"""Asks the service at SUPPORTERS_URL whether a listener supports an artist. No answer counts as an error, never as a yes."""

import asyncio
from typing import Final

import httpx

from application.errors import SupportersUnreachableError
from identity.resolution.http_responses import MAX_ERROR_BYTES, send_whole

REQUEST_TIMEOUT_SECONDS: Final = 3.0


class HttpSupporters:
    """`GET ?artist=DID&supporter=DID` -> `{"supporter": bool}`."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http

    async def supports(self, artist: str, supporter: str) -> bool:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                url = httpx.URL(self._url).copy_merge_params({"artist": artist, "supporter": supporter})
                request = self._http.build_request("GET", url, timeout=REQUEST_TIMEOUT_SECONDS)
                reply = await send_whole(self._http, request, limit=MAX_ERROR_BYTES)
            is_supporter = reply.raise_for_status().json()["supporter"]
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise SupportersUnreachableError from error
        if not isinstance(is_supporter, bool):
            raise SupportersUnreachableError
        return is_supporter
