"""Resolves a handle or DID to the account's PDS; a handle counts only if handle and DID point to each other."""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote, unquote

import httpx

from aggregates.values import Feature
from eventstore.coordination.threads import Joint, Turns
from eventstore.untrusted import parsed
from identity.errors import (
    INVALID_HANDLE,
    FeatureUnresolvedError,
    IdentityError,
    IdentityUnreachableError,
    UnknownIdentityError,
    UnsafeAddressError,
)
from identity.resolution.address_policy import (
    HOST_NAME,
    PRIVATE_DOMAINS,
    PUBLIC_PLC,
    AddressPolicy,
    Dns,
    HostNotFoundError,
    NameUnavailableError,
    origin_of,
)
from identity.resolution.http_responses import send_whole

DID_PLC: Final = re.compile(r"did:plc:[a-z2-7]{24}")
DID_WEB: Final = re.compile(r"did:web:([a-z0-9.-]{1,253})(%3A[0-9]{1,5})?")


def is_did(text: str) -> bool:
    """Whether this is a DID of a method that ATProto knows (atproto.com/specs/did)."""
    return bool(DID_PLC.fullmatch(text) or DID_WEB.fullmatch(text))


TIMEOUT_SECONDS: Final = 10.0
MAX_DOCUMENT_BYTES: Final = 64 * 1024
PDS_SERVICE: Final = "#atproto_pds"
PDS_TYPE: Final = "AtprotoPersonalDataServer"


@dataclass(frozen=True)
class Identity:
    """An account and its PDS. `handle` is `handle.invalid` if it could not be verified."""

    did: str
    handle: str
    pds_url: str


def is_handle(text: str) -> bool:
    """Whether this is a valid handle (atproto.com/specs/handle); `.test` handles are for development."""
    return bool(HOST_NAME.fullmatch(text)) and text.rsplit(".", 1)[1] not in PRIVATE_DOMAINS - {"test"}


class Resolver:
    """Asks DNS, web servers and the PLC directory, after checking the syntax.

    `http` should come from `address_policy.public_client`, with `dev_origins` and the origin of `plc_url` allowed.
    """

    def __init__(
        self,
        plc_url: str | None,
        dev_origins: Sequence[str],
        http: httpx.AsyncClient,
        *,
        names: Dns | None = None,
        turns: Turns | None = None,
    ) -> None:
        """With `turns`, each request takes one of its host, but for those to the PLC directory, which count in all."""
        self._turns = turns
        self._plc_url = (plc_url or PUBLIC_PLC).rstrip("/")
        self._dev_origins = [origin.rstrip("/") for origin in dev_origins]
        self._policy = AddressPolicy(dev_origins)
        self._http = http
        self._names = names or Dns()

    async def resolve(self, identifier: str) -> Identity:
        """Return the identity of a handle (with or without @) or a DID."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                did = await self.did_of(identifier)
                document = await self.did_document(did)
                handle = await self.verified_handle(did, document, resolved_from=identifier)
                return Identity(did, handle, self._pds_url(did, document))
        except TimeoutError:
            raise IdentityUnreachableError(f"{identifier} was not resolved in time") from None

    async def pds_of(self, did: str) -> str:
        """Return the PDS in a DID's document, without verifying the handle."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return self._pds_url(did, await self.did_document(did))
        except TimeoutError:
            raise IdentityUnreachableError(f"{did} was not resolved in time") from None

    async def did_of(self, identifier: str) -> str:
        """Return the DID itself, or the one that a handle points to, which is not verified in the other direction."""
        identifier = normalized(identifier)
        if identifier.startswith("did:"):
            if not is_did(identifier):
                raise UnknownIdentityError(f"{identifier} is not a DID that ATProto knows")
            return identifier
        handle = identifier.lower()
        if not is_handle(handle):
            raise UnknownIdentityError(f"{identifier} is neither a handle nor a DID")
        did = await (self._ask_dev_origins(handle) if handle.endswith(".test") else self._ask_domain(handle))
        if did is None or not is_did(did):
            raise UnknownIdentityError(f"{handle} points to no DID")
        return did

    async def did_document(self, did: str) -> dict[str, Any]:
        """Return the document of a DID, from the PLC directory or its own web server."""
        authority = unquote(did.removeprefix("did:web:"))
        # the specification allows a port, and normalized http, for localhost in development only
        is_local = f"http://{authority}" in self._dev_origins
        if DID_PLC.fullmatch(did):
            url = f"{self._plc_url}/{quote(did, safe=':')}"
        elif DID_WEB.fullmatch(did) and (is_local or HOST_NAME.fullmatch(authority)):
            url = f"{'http' if is_local else 'https'}://{authority}/.well-known/did.json"
        else:
            raise UnknownIdentityError(f"{did} is not a DID that ATProto knows")
        reply = await self._get(url)
        if reply is None:
            raise UnknownIdentityError(f"{did} is not known")
        try:
            document = parsed(reply)
        except ValueError:
            document = None
        if not isinstance(document, dict) or document.get("id") != did:
            raise IdentityUnreachableError(f"{did}: its document could not be read")
        return document

    async def verified_handle(self, did: str, document: dict[str, Any], *, resolved_from: str = "") -> str:
        """Return the handle that the document claims if it points back to the DID, otherwise `handle.invalid`.

        `resolved_from` is the identifier that has just been resolved to this DID; it is not resolved again.
        """
        names = document.get("alsoKnownAs")
        addresses = (name for name in (names if isinstance(names, list) else ()) if isinstance(name, str))
        first = next((name for name in addresses if name.startswith("at://")), "")
        claimed = first.removeprefix("at://").lower()
        if not is_handle(claimed):
            return INVALID_HANDLE
        if claimed == normalized(resolved_from).lower():
            return claimed
        try:
            confirmed = await self.did_of(claimed) == did
        except (UnknownIdentityError, IdentityUnreachableError, UnsafeAddressError):
            confirmed = False
        return claimed if confirmed else INVALID_HANDLE

    def _pds_url(self, did: str, document: dict[str, Any]) -> str:
        services = document.get("service")
        for service in services if isinstance(services, list) else ():
            url = service.get("serviceEndpoint") if isinstance(service, dict) else None
            if (
                isinstance(url, str)
                and service.get("id") in {PDS_SERVICE, did + PDS_SERVICE}
                and service.get("type") == PDS_TYPE
            ):
                break
        else:
            raise UnknownIdentityError(f"{did} has no PDS")
        self._policy.check(url)
        try:
            found = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError):
            raise UnsafeAddressError("the PDS's address is not a URL") from None
        if found.raw_path != b"/" or "#" in url:
            raise UnsafeAddressError("the PDS's address must have no path")
        return str(found).rstrip("/")  # normalized, so that the same PDS compares equal

    async def _ask_dev_origins(self, handle: str) -> str | None:
        unreachable: IdentityUnreachableError | None = None
        for origin in self._dev_origins:
            url = f"{origin}/xrpc/com.atproto.identity.resolveHandle?handle={handle}"
            try:
                reply = await self._get(url)
                answer = None if reply is None else parsed(reply)
            except ValueError:
                continue
            except IdentityUnreachableError as error:
                unreachable = error
                continue
            if isinstance(answer, dict) and isinstance(answer.get("did"), str):
                return str(answer["did"])
        if unreachable is not None:
            raise unreachable
        return None

    async def _ask_domain(self, handle: str) -> str | None:
        """Ask DNS first, then the web server; a failure of DNS counts only if the web server has no answer."""
        dns_failure: NameUnavailableError | None = None
        try:
            texts = await self._names.texts(f"_atproto.{handle}")
        except NameUnavailableError as error:
            texts, dns_failure = [], error
        dids = {text.removeprefix("did=") for text in texts if text.startswith("did=")}
        if dids:
            return dids.pop() if len(dids) == 1 else None  # the specification treats several answers as none
        reply = await self._get(f"https://{handle}/.well-known/atproto-did", redirects=True)
        if reply is None and dns_failure is not None:
            raise IdentityUnreachableError(str(dns_failure))
        return None if reply is None else reply.decode("utf-8", "replace").strip()

    async def _get(self, url: str, *, redirects: bool = False) -> bytes | None:
        """Return a small body, or None if the server or DNS answers that there is none."""
        asks_directory = origin_of(url) == origin_of(self._plc_url)
        if not asks_directory:
            self._policy.check(url)
        host = httpx.URL(url).host
        try:
            check = self._policy.check if redirects else None
            turn = self._turns.of(None if asks_directory else host) if self._turns else nullcontext()
            async with turn:
                try:
                    reply = await self._ask(url, check)
                except httpx.RemoteProtocolError:  # servers close a kept connection as it is used again
                    reply = await self._ask(url, check)
        except HostNotFoundError:
            if url.startswith(f"{self._plc_url}/"):  # without the directory, nothing is known about the DID
                raise IdentityUnreachableError(f"{host} was not found") from None
            return None
        except UnsafeAddressError:
            raise
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise IdentityUnreachableError(f"{host} did not answer: {type(error).__name__}") from error
        if reply.status_code in {400, 404, 410}:
            return None
        if reply.status_code != httpx.codes.OK:
            raise IdentityUnreachableError(f"{host} answered {reply.status_code}")
        return reply.content

    async def _ask(self, url: str, check: Callable[[str], None] | None) -> httpx.Response:
        request = self._http.build_request("GET", url)
        return await send_whole(self._http, request, limit=MAX_DOCUMENT_BYTES, redirects=check)


def normalized(identifier: str) -> str:
    return identifier.strip().removeprefix("@")


LOOKUP_TIMEOUT_SECONDS: Final = 5.0
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
        wanted = [*map(normalized, identifiers)]
        lookups = [
            self._lookups.task((account, each), partial(self._resolve, account, each)) for each in wanted
        ]
        if lookups:
            await asyncio.wait(lookups)
        return [_result(lookup, identifier) for lookup, identifier in zip(lookups, wanted, strict=True)]

    async def _resolve(self, account: str, identifier: str) -> Feature:
        """Raises TimeoutError: the wait for a turn counts."""
        async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS), self._turns.of(account):
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
