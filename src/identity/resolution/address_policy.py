"""Where this service may connect to: https at public addresses, and the exact origins a developer named.

Whoever signs in chooses the host names that we then ask, so a name is judged twice: as it is written, and by what
it resolves to at the moment of connecting. The connection goes to the very address that was judged.
"""

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Iterable
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpcore
import httpx

from identity.errors import UnsafeAddressError
from identity.resolution.dns import Dns, Names

MAX_REDIRECTS: Final = 3
CONNECT_SECONDS: Final = 10.0
PLAIN: Final = "identity"
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# names that public DNS never holds (RFC 6761, RFC 6762, RFC 8375, RFC 9476 and ICANN's .internal)
PRIVATE_DOMAINS: Final = frozenset(
    {"alt", "arpa", "example", "internal", "invalid", "lan", "local", "localhost", "onion", "test"}
)
HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
)
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# what `is_global` of some or all Python versions calls public, and is not: protocol assignments with a cloud's metadata
# in them, Azure's host, 6to4 relays, local NAT64, what may stand for an IPv4 address, documentation, segment routing
NEVER: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",
            "168.63.129.16/32",
            "192.88.99.0/24",
            "64:ff9b:1::/48",
            "::/64",
            "3fff::/20",
            "5f00::/16",
        ),
    )
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressPolicy:
    """Judges URLs. `allowed_origins` are exact: scheme, host and port."""

    def __init__(self, allowed_origins: Iterable[str] = ()) -> None:
        self._allowed = frozenset(origin_of(url) for url in allowed_origins)
        self._allowed_hosts = frozenset((host, port) for _, host, port in self._allowed)

    def allows_origin(self, url: str) -> bool:
        """Whether this is one of the named origins."""
        return origin_of(url) in self._allowed

    def allows_host(self, host: str, port: int) -> bool:
        """Whether one of the named origins is there: its address is not judged."""
        return (host.lower(), port) in self._allowed_hosts

    def check(self, url: str) -> None:
        """Raise `UnsafeAddressError` unless the URL may be asked, as far as can be told from how it is written."""
        scheme, host, _ = origin_of(url)
        if self.allows_origin(url):
            return
        if scheme != "https":
            raise UnsafeAddressError("only https URLs are allowed")
        address = literal_address(host)
        if address is not None:
            if not is_public(address):
                raise UnsafeAddressError("the address is not a public one")
        elif not HOST_NAME.fullmatch(host) or host.rsplit(".", 1)[1] in PRIVATE_DOMAINS:
            # also numbers such as 2130706433, 0x7f.1 and 127.1, which resolvers read as addresses
            raise UnsafeAddressError("the host is not a public name")


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port in their one spelling; a URL with a user name in it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UnsafeAddressError("the address is not a URL") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise UnsafeAddressError("the address is not a plain http or https URL")
    return parts.scheme, parts.hostname.lower(), DEFAULT_PORTS[parts.scheme] if port is None else port


def literal_address(host: str) -> Address | None:
    """The IP address that a host is written as, if it is one; a zone index is never public."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet; for those that carry an IPv4 address, that one counts."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        carried = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            carried = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if carried is not None:
            return is_public(carried)
        if address.teredo is not None or address.is_site_local:
            return False
    if any(address in network for network in NEVER):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def address_of(url: str, policy: AddressPolicy, names: Names) -> str:
    """Return the address to connect to for an allowed URL; raises `UnsafeAddressError` for any other."""
    policy.check(url)
    _, host, port = origin_of(url)
    return (await _targets(host, port, policy, names))[0]


async def _targets(host: str, port: int, policy: AddressPolicy, names: Names) -> list[str]:
    if policy.allows_host(host, port):
        return [host]
    addresses = [host] if literal_address(host) else await names.addresses(host)
    for address in addresses:
        judged = literal_address(address)
        if judged is None or not is_public(judged):
            raise UnsafeAddressError("the host's address is not a public one")
    return sorted(addresses, key=lambda address: ":" in address)  # not every machine has IPv6


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a host, refuses it if any of its addresses is not public, and connects to one that was checked."""

    def __init__(
        self, policy: AddressPolicy, names: Names, network: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        self._policy = policy
        self._names = names
        self._network = network or cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect as httpcore asks, after the address was judged. TLS still verifies the host's name."""
        try:
            async with asyncio.timeout(timeout):
                targets = await _targets(host, port, self._policy, self._names)
                for target in targets[:-1]:
                    try:
                        return await self._network.connect_tcp(
                            target, port, timeout, local_address, socket_options
                        )
                    except httpcore.ConnectError:
                        continue
                return await self._network.connect_tcp(
                    targets[-1], port, timeout, local_address, socket_options
                )
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host} was not reached in time") from None

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Never: there is no public one."""
        raise UnsafeAddressError("unix sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        """Wait between httpcore's own connection attempts."""
        await self._network.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """Checks the URL of every request, each hop of a redirect included, and the address of every connection."""

    def __init__(
        self, policy: AddressPolicy, names: Names, *, limits: httpx.Limits, verify: ssl.SSLContext
    ) -> None:
        super().__init__(verify=verify, limits=limits)
        self._policy = policy
        # httpx has no argument for the network backend (0.28); a test holds this to refuse a private address
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=PublicNetwork(policy, names),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, if the URL may be asked. A few compressed bytes would become many before anybody counts them."""
        self._policy.check(str(request.url))
        _connect_soon(request)
        reply = await super().handle_async_request(request)
        if reply.headers.get("content-encoding", PLAIN).lower() != PLAIN:
            await reply.aclose()
            raise httpx.RemoteProtocolError("the reply is compressed, which was not asked for")
        return reply


def _connect_soon(request: httpx.Request) -> None:
    """Have a wait for a connection end before the request's whole time does: only then is it told that nothing was sent."""
    given = request.extensions.get("timeout", {})
    soon = {name: min(given.get(name) or CONNECT_SECONDS, CONNECT_SECONDS) for name in ("pool", "connect")}
    request.extensions["timeout"] = {**given, **soon}


@cache
def _tls() -> ssl.SSLContext:
    """Who is trusted, read once: all clients share it."""
    return httpx.create_ssl_context()


def public_client(
    policy: AddressPolicy, *, names: Names | None = None, max_connections: int = 200
) -> httpx.AsyncClient:
    """The client that everything outside is asked with: no redirects, no proxies of the environment, no cookies."""
    # below the 90 s after which a PDS closes an idle connection: a reused one could fail ambiguously
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=50, keepalive_expiry=30)
    transport = GuardedTransport(policy, names or Dns(), limits=limits, verify=_tls())
    return httpx.AsyncClient(
        transport=transport,
        timeout=30,
        follow_redirects=False,
        max_redirects=MAX_REDIRECTS,
        headers={"user-agent": "mastertape", "accept-encoding": PLAIN},
        cookies=CookieJar(
            DefaultCookiePolicy(allowed_domains=[])
        ),  # one account's must not go with another's request
    )
