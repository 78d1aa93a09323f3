"""Adapters between sibling packages: each implements a protocol of one package with parts of another."""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from eventstore.coordination.commit_signals import announce
from eventstore.sql.database import Database
from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from identity.resolution.address_policy import AddressPolicy, Dns, address_of
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
