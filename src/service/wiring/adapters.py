"""Where the siblings meet: each of these speaks one package's protocol with another package's parts."""

import uuid
from collections.abc import Iterator
from typing import Any, Final

import httpx
from sqlalchemy import Connection

from eventstore.commit_signals import announce
from eventstore.database import Database
from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from identity.errors import SessionUnavailableError as CannotUseSessionError
from identity.errors import SignInRequiredError as MustSignInError
from identity.resolution.address_policy import AddressPolicy, address_of
from identity.resolution.dns import Dns
from identity.resolution.resolver import Resolver
from identity.resolution.signing_keys import signing_key
from identity.sessions.pds_sessions import PdsSessions
from outbox.mirror.lanes import park_lane, resume_lane
from outbox.ports import BodyFactory, DirectoryUnavailableError, SessionUnavailableError, SignInRequiredError
from storage.errors import BytesMissingError, MediaGoneError
from storage.media import Media


class SessionsOfIdentity:
    """The outbox's Sessions, with the tokens that identity keeps."""

    def __init__(self, sessions: PdsSessions) -> None:
        self._sessions: Final = sessions

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        host: str,
        params: dict[str, Any] | None = None,
        json: Any = None,
        body: BodyFactory | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> httpx.Response:
        """Send, and rename what identity says when it can't."""
        try:
            return await self._sessions.request(
                did,
                method,
                nsid,
                pds_url=host,
                params=params,
                json=json,
                body=body,
                headers=headers,
                timeout=timeout,
            )
        except MustSignInError as error:
            raise SignInRequiredError(str(error)) from error
        except CannotUseSessionError as error:
            nobody_was_asked = error.cause is None and error.status is None
            raise SessionUnavailableError(str(error), is_ours=nobody_was_asked) from error


class DirectoryOfIdentity:
    """The outbox's Directory: the documents of DIDs, resolved anew each time."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver: Final = resolver

    async def host_of(self, did: str) -> str | None:
        """Ask for the PDS, and rename what identity says when it can't tell."""
        try:
            return await self._resolver.pds_of(did)
        except UnknownIdentityError:
            return None
        except (IdentityUnreachableError, UnsafeAddressError) as error:
            raise DirectoryUnavailableError(str(error)) from error


class KeysOfIdentity:
    """The outbox's SigningKeys, from the documents of DIDs."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver: Final = resolver

    async def signing_key(self, did: str) -> str:
        """Ask for the key, and rename what identity says when it can't tell."""
        try:
            return await signing_key(self._resolver, did)
        except (IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError) as error:
            raise DirectoryUnavailableError(str(error)) from error


class AddressesOfIdentity:
    """The outbox's Addresses, judged as those of all requests are."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy: Final = policy
        self._names: Final = Dns()

    async def of(self, origin: str) -> str:
        """Resolve and judge; raises UnsafeAddressError, and what DNS says."""
        return await address_of(origin, self._policy, self._names)


class AudioOfStorage:
    """The outbox's AudioSource."""

    def __init__(self, media: Media) -> None:
        self._media: Final = media

    def read(self, cid: str) -> Iterator[bytes]:
        """Stream the bytes of the live copy."""
        try:
            return self._media.read(cid)
        except (MediaGoneError, BytesMissingError) as error:
            raise FileNotFoundError(str(error)) from error


class LanesOfAccounts:
    """What a sign-in, or a session's end, means for the account's lane: in the same transaction."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    def signed_in(self, connection: Connection, did: str, pds_url: str) -> None:
        """Let the lane go on, at the PDS that the account has now."""
        resume_lane(connection, did, pds_url, self._database.now(connection))
        announce(connection)

    def must_sign_in(self, connection: Connection, did: str) -> None:
        """Let the lane wait for its owner."""
        park_lane(connection, did)


def process_name() -> str:
    """Return a unique name of this process, for leases."""
    return uuid.uuid4().hex
