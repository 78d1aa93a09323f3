"""Reads artists: the accounts that have signed in here."""

from datetime import datetime
from typing import Final

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.auth.authentication import OptionalCaller, ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse
from api.plyr.reading import ROUTER
from api.routers.artists import artist_with_did, artist_with_handle
from identity.accounts.accounts import Account

router: Final = APIRouter(**ROUTER)


class ArtistResponse(BaseModel):
    """The peer's profile of an artist."""

    did: str
    handle: str
    display_name: str
    bio: str | None = None
    avatar_url: str | None = None
    support_url: str | None = None
    show_liked_on_profile: bool = False
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, account: Account) -> "ArtistResponse":
        return cls(
            did=account.did,
            handle=account.handle,
            display_name=account.name,
            bio=account.bio,
            created_at=account.created_at,
            updated_at=account.updated_at,
        )


@router.get("/auth/me")
def read_caller(principal: SignedIn) -> Response:
    """Read whose token it is."""
    return AsciiJsonResponse(
        {
            "did": principal.did,
            "handle": principal.handle,
            "linked_accounts": [],
            "enabled_flags": [],
        }
    )


@router.get("/artists/me")
def read_own_profile(principal: SignedIn, services: ServicesDep) -> Response:
    """Read the caller's profile."""
    return _profile(artist_with_did(services, principal.did))


@router.get("/artists/by-handle/{handle}")
def read_artist_by_handle(handle: str, _: OptionalCaller, services: ServicesDep) -> Response:
    """Read the profile of the artist with a handle."""
    return _profile(artist_with_handle(services, handle))


@router.get("/artists/{did}")
def read_artist(did: str, _: OptionalCaller, services: ServicesDep) -> Response:
    """Read the profile of the artist with a DID."""
    return _profile(artist_with_did(services, did))


def _profile(artist: Account) -> Response:
    return AsciiJsonResponse(ArtistResponse.of(artist))
