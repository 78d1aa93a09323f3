"""Resolves the identifiers of featured artists, as typed, to DIDs with their current handles."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from aggregates.values import Feature
from eventstore.coordination.threads import Joint, Turns
from identity.errors import INVALID_HANDLE, FeatureUnresolvedError, IdentityError, UnknownIdentityError
from identity.resolution.resolver import Resolver, is_did

TIMEOUT_SECONDS: Final = 5.0
MAX_LOOKUPS_OF_AN_ACCOUNT: Final = 4
MAX_REQUESTS_TO_A_HOST: Final = 2
MAX_REQUESTS: Final = 20


def turns_of_lookups() -> Turns:
    return Turns(MAX_REQUESTS_TO_A_HOST, MAX_REQUESTS)


class FeaturedArtists:
    """Looks up a few names of an account at once, and each name once for all of its requests that ask for it meanwhile."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver: Final = resolver
        self._turns: Final = Turns(MAX_LOOKUPS_OF_AN_ACCOUNT)
        self._lookups: Final = Joint[tuple[str, str], Feature]()

    async def resolve(self, account: str, identifiers: Sequence[str]) -> list[Feature]:
        """Resolve handles and DIDs for an account, in the given order; FeatureUnresolvedError names the first that fails."""
        wanted = [identifier.strip().removeprefix("@") for identifier in identifiers]
        lookups = [
            self._lookups.task((account, each), partial(self._resolve, account, each)) for each in wanted
        ]
        if lookups:
            await asyncio.wait(lookups)
        return [_result(lookup, identifier) for lookup, identifier in zip(lookups, wanted, strict=True)]

    async def _resolve(self, account: str, identifier: str) -> Feature:
        """Raises TimeoutError: the wait for a turn counts."""
        async with asyncio.timeout(TIMEOUT_SECONDS), self._turns.of(account):
            did = await self._resolver.did_of(identifier)
            try:
                document = await self._resolver.did_document(did)
                handle = await self._resolver.verified_handle(did, document, resolved_from=identifier)
            except IdentityError as error:
                if isinstance(error, UnknownIdentityError) and did != identifier:
                    raise
                return Feature(did, INVALID_HANDLE)
            return Feature(did, handle)


def _result(lookup: asyncio.Task[Feature], identifier: str) -> Feature:
    try:
        return lookup.result()
    except TimeoutError:
        if is_did(identifier):
            return Feature(identifier, INVALID_HANDLE)
        raise FeatureUnresolvedError(identifier, "no response in time") from None
    except IdentityError as error:
        raise FeatureUnresolvedError(identifier, str(error)) from error
