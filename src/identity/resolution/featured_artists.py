"""Resolves the identifiers of featured artists, as typed, to DIDs with their current handles."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from identity.errors import (
    FeatureUnresolvedError,
    IdentityError,
    UnknownIdentityError,
)
from identity.resolution.identifiers import INVALID_HANDLE, is_did
from identity.resolution.resolver import Resolver

TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Feature:
    """A featured artist of a track."""

    did: str
    handle: str


async def resolve_features(resolver: Resolver, identifiers: Sequence[str]) -> list[Feature]:
    """Resolve handles and DIDs concurrently, in the given order; FeatureUnresolvedError names the first that fails."""
    wanted = [identifier.strip().removeprefix("@") for identifier in identifiers]
    tasks = [asyncio.create_task(_resolve(resolver, identifier)) for identifier in wanted]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=TIMEOUT_SECONDS)
        return [_result(task, identifier) for task, identifier in zip(tasks, wanted, strict=True)]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _resolve(resolver: Resolver, identifier: str) -> Feature:
    did = await resolver.did_of(identifier)
    try:
        document = await resolver.did_document(did)
        return Feature(did, await resolver.verified_handle(did, document, resolved_from=identifier))
    except IdentityError as error:
        if isinstance(error, UnknownIdentityError) and did != identifier:
            raise
        return Feature(did, INVALID_HANDLE)


def _result(task: asyncio.Task[Feature], identifier: str) -> Feature:
    if not task.done():
        if is_did(identifier):
            return Feature(identifier, INVALID_HANDLE)
        raise FeatureUnresolvedError(identifier, "no response in time")
    try:
        return task.result()
    except IdentityError as error:
        raise FeatureUnresolvedError(identifier, str(error)) from error
