"""A private copy of atproto-oauth 0.1.0 with our HTTP client, address policy and timeouts, which it has no arguments for.

Only names in the copy are replaced: the library that other code imports is unchanged, and a missing name is an
ImportError (docs/adr/0009-wrapping-atproto-oauth.md).
"""

import asyncio
from contextlib import nullcontext
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final

import httpx

from identity.resolution.address_policy import MAX_URL_CHARACTERS, AddressPolicy, origin_of
from identity.resolution.http_responses import error_name, send_whole, without_secrets

MAX_REPLY_BYTES: Final = 64 * 1024
MAX_DESCRIPTION_LENGTH: Final = 300
METADATA_TIMEOUT_SECONDS: Final = 10.0
TOKEN_TIMEOUT_SECONDS: Final = 30.0
"""Long, since a refresh that times out may have rotated the tokens nevertheless."""

METADATA: Final = "atproto_oauth.metadata"
CLIENT: Final = "atproto_oauth.client"


class TokenCallRefusedError(Exception):
    """An error response of an authorization server. It contains nothing of the request."""

    def __init__(self, reply: httpx.Response) -> None:
        self.status = reply.status_code
        self.error = error_name(reply)
        self.retry_after = reply.headers.get("retry-after")
        try:
            said = reply.json().get("error_description")
        except (ValueError, AttributeError):
            said = None
        description = said[:MAX_DESCRIPTION_LENGTH] if isinstance(said, str) else ""
        super().__init__(f"{self.status} {self.error or ''}: {description}")


class LibraryHttpClient:
    """Replaces the library's httpx client: follows no redirects, and keeps no secrets in errors."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, url: str) -> httpx.Response:
        return await self._send(self._http.build_request("GET", url), METADATA_TIMEOUT_SECONDS)

    async def post(self, url: str, *, data: dict[str, str], headers: dict[str, str]) -> httpx.Response:
        """Send a form; raises TokenCallRefusedError for every error but the wanted nonce, which the library handles."""
        request = self._http.build_request("POST", url, data=data, headers=headers)
        reply = await self._send(request, TOKEN_TIMEOUT_SECONDS)
        if not reply.is_success and error_name(reply) != "use_dpop_nonce":
            raise TokenCallRefusedError(reply)
        return reply

    async def _send(self, request: httpx.Request, seconds: float) -> httpx.Response:
        request.extensions["timeout"] = httpx.Timeout(seconds, connect=METADATA_TIMEOUT_SECONDS).as_dict()
        try:
            async with asyncio.timeout(seconds):
                return await send_whole(self._http, request, limit=MAX_REPLY_BYTES)
        except httpx.HTTPError as error:
            without_secrets(error)
            raise
        except TimeoutError:
            raise httpx.ReadTimeout(f"{request.url.host} took too long") from None


def library(http: httpx.AsyncClient, policy: AddressPolicy) -> ModuleType:
    """Return a copy of atproto_oauth.client that contacts only addresses allowed by `policy`, through `http`."""

    def is_safe_url(url: str, *_: object) -> bool:
        policy.check(url)  # raises an error with the reason
        return True

    def connection(**_: object) -> nullcontext[LibraryHttpClient]:
        return nullcontext(LibraryHttpClient(http))

    metadata = private_copy(METADATA, is_safe_url=is_safe_url, get_hardened_async_client=connection)
    strict = metadata.validate_authserver_metadata

    def validate(document: dict[str, Any], url: str) -> None:
        if any(isinstance(value, str) and len(value) > MAX_URL_CHARACTERS for value in document.values()):
            raise ValueError("an address is too long")
        if policy.allows_origin(url):
            # a development server's issuer has to pass the check for https without a port; its origin must match exactly
            if origin_of(document["issuer"]) != origin_of(url):
                raise ValueError("the issuer is not the origin that was asked")
            document = {**document, "issuer": f"https://{httpx.URL(url).host}"}
        strict(document, url)

    replace(metadata, validate_authserver_metadata=validate)
    return private_copy(
        CLIENT,
        is_safe_url=is_safe_url,
        get_hardened_async_client=connection,
        discover_authserver_from_pds_async=metadata.discover_authserver_from_pds_async,
        fetch_authserver_metadata_async=metadata.fetch_authserver_metadata_async,
    )


def private_copy(name: str, **ours: object) -> ModuleType:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return replace(module, **ours)


def replace(module: ModuleType, **ours: object) -> ModuleType:
    """Replace names of a module; raises ImportError for one that it does not have."""
    missing = ours.keys() - vars(module).keys()
    if missing:
        raise ImportError(f"{module.__name__} has no {', '.join(sorted(missing))} any more")
    vars(module).update(ours)
    return module
