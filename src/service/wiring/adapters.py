"""Adapters between sibling packages: each implements a protocol of one package with parts of another."""

import asyncio
from collections.abc import Iterator
from typing import Final

import httpx
import sqlalchemy as sa

from application.errors import SupportersUnreachableError
from eventstore.coordination.commit_signals import announce
from eventstore.sql.database import Database
from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from identity.resolution.address_policy import AddressPolicy, Dns, address_of
from identity.resolution.http_responses import MAX_ERROR_BYTES, send_whole
from identity.resolution.resolver import Resolver
from outbox.mirror.lanes import resume_lane
from outbox.ports import DirectoryUnavailableError
from storage.errors import BytesMissingError, MediaGoneError
from storage.media import Media


class IdentityDirectory:
    """The outbox's Directory. DID documents are resolved anew each time."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver: Final = resolver

    async def host_of(self, did: str) -> str | None:
        """Return the origin of the account's PDS, None for an unknown DID; raises DirectoryUnavailableError."""
        try:
            return await self._resolver.pds_of(did)
        except UnknownIdentityError:
            return None
        except (IdentityUnreachableError, UnsafeAddressError) as error:
            raise DirectoryUnavailableError(str(error)) from error


class IdentityAddresses:
    """The outbox's Addresses, under the same policy as HTTP requests."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy: Final = policy
        self._names: Final = Dns()

    async def of(self, origin: str) -> str:
        """Resolve and check the origin; raises UnsafeAddressError and DNS errors."""
        return await address_of(origin, self._policy, self._names)


class StorageAudio:
    def __init__(self, media: Media) -> None:
        self._media: Final = media

    def read(self, cid: str) -> Iterator[bytes]:
        """Stream the bytes of the live copy; raises FileNotFoundError."""
        try:
            return self._media.read(cid)
        except (MediaGoneError, BytesMissingError) as error:
            raise FileNotFoundError(str(error)) from error


def lane_signed_in(database: Database, connection: sa.Connection, did: str, pds_url: str) -> None:
    """Resume the account's lane at its current PDS, in the transaction of a sign-in."""
    resume_lane(connection, did, pds_url, database.now(connection))
    announce(connection, did)


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
