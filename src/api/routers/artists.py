"""Reads artists: the accounts that have signed in here, as they show themselves."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError
from api.auth.authentication import OptionalCaller, ServicesDep
from api.errors import ArtistNotFoundError
from api.json_response import body_from
from api.openapi import errors
from api.requests.known_names import StrictRoute
from api.requests.parameters import MAX_PAGE_LENGTH
from api.services import Services
from eventstore.untrusted import is_storable
from identity.accounts.accounts import Account

router = APIRouter(tags=["artists"], route_class=StrictRoute)

MAX_ARTISTS: Final = MAX_PAGE_LENGTH


class ArtistBody(BaseModel):
    """An artist, and the PDS on which the records of their tracks are."""

    did: str
    handle: str = Field(description="`handle.invalid` while the DID document does not confirm one")
    display_name: str = Field(description="the name set here, else that of the profile on the PDS")
    bio: str | None
    pds_url: str

    @classmethod
    def of(cls, account: Account) -> "ArtistBody":
        return body_from(cls, account, display_name=account.name)


class ArtistsBody(BaseModel):
    """Those of the artists that are here."""

    items: list[ArtistBody]


class Wanted(BaseModel):
    """The artists to read."""

    did: list[str] = Field(description=f"1 to {MAX_ARTISTS} DIDs")


@router.get("/artists", responses=errors(400, 422, 503))
def list_artists(
    _caller: OptionalCaller, services: ServicesDep, wanted: Annotated[Wanted, Query()]
) -> ArtistsBody:
    """Read several artists; those who have not signed in here, or are leaving, are left out."""
    if len(wanted.did) > MAX_ARTISTS:
        raise InvalidFieldError("did", f"may be there {MAX_ARTISTS} times")
    found = services.accounts.of_dids([did for did in wanted.did if is_storable(did)])
    return ArtistsBody(items=[ArtistBody.of(account) for account in found])


@router.get("/artists/{artist}", responses=errors(404, 503))
def read_artist(
    _caller: OptionalCaller,
    services: ServicesDep,
    artist: Annotated[str, Path(description="a handle or a DID")],
) -> ArtistBody:
    """Read an artist who has signed in here."""
    return ArtistBody.of(artist_of(services, artist))


def artist_of(services: Services, name: str) -> Account:
    """Return the account with this DID or handle; raises ArtistNotFoundError, also where it is leaving."""
    find = services.accounts.get if name.startswith("did:") else services.accounts.by_handle
    account = find(name) if is_storable(name) else None
    if account is None or account.leaving_since is not None:
        raise ArtistNotFoundError
    return account
