"""Which addresses this service connects to: https at public addresses, and DEV_ORIGINS exactly.

Accounts choose the hosts that we contact, so a URL is checked as written, and again by the addresses that its host
resolves to when the connection is made; the connection goes to exactly the address that was checked.
"""

import asyncio
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import cache
from http.cookiejar import CookieJar
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.resolver
import httpcore
import httpx

from eventstore.coordination.threads import Turns
from identity.errors import UnsafeAddressError

T = TypeVar("T")

DNS_TIMEOUT_SECONDS: Final = 3.0


class HostNotFoundError(httpx.ConnectError):
    """DNS does not know this host name."""


class NameUnavailableError(httpx.ConnectError):
    """DNS did not answer."""


class Dns:
    """Asks the system's name servers. The hosts file is not read: it contains no public host."""

    async def addresses(self, host: str) -> list[str]:
        answers = await _answered(
            host, dns.asyncresolver.resolve_name(f"{host}.", lifetime=DNS_TIMEOUT_SECONDS)
        )
        if answers is None or not (found := list(answers.addresses())):
            raise HostNotFoundError(f"DNS does not know {host}")
        return found

    async def texts(self, name: str) -> list[str]:
        """Return the TXT records of a name, the strings of each joined."""
        asked = dns.asyncresolver.resolve(f"{name}.", "TXT", lifetime=DNS_TIMEOUT_SECONDS)
        answers = await _answered(name, asked)
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answers or ()]


async def _answered(name: str, asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return None
    except dns.exception.DNSException as error:
        raise NameUnavailableError(f"DNS did not answer for {name}: {type(error).__name__}") from None


PUBLIC_PLC: Final = "https://plc.directory"
MAX_REDIRECTS: Final = 3
MAX_CONNECTIONS: Final = 200
"""Of one client."""
MAX_SLICE_BYTES: Final = 8 * 1024
MAX_URL_CHARACTERS: Final = 2048
"""`urlsplit` normalizes a host in quadratic time."""
CONNECT_TIMEOUT_SECONDS: Final = 10.0
MAX_TURN_WAIT_SECONDS: Final = 5.0
"""For one of the connections that a host may take of a client."""
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
# `is_global` of some or all Python versions wrongly includes these: protocol assignments with a cloud's metadata server,
# Azure's host, 6to4 relays, local NAT64, IPv4-compatible addresses, documentation, segment routing
NON_PUBLIC_NETWORKS: Final = tuple(
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
    """Checks URLs. `allowed_origins` match exactly: scheme, host and port."""

    def __init__(self, allowed_origins: Iterable[str] = ()) -> None:
        self._allowed = frozenset(origin_of(url) for url in allowed_origins)
        self._allowed_hosts = frozenset((host, port) for _, host, port in self._allowed)

    def allows_origin(self, url: str) -> bool:
        return origin_of(url) in self._allowed

    def allows_host(self, host: str, port: int) -> bool:
        """Whether one of `allowed_origins` has this host and port: its address is not checked."""
        return (host.lower(), port) in self._allowed_hosts

    def check(self, url: str) -> None:
        """Raise `UnsafeAddressError` unless the URL as written may be requested; nothing is resolved."""
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
            # this includes numbers such as 2130706433, 0x7f.1 and 127.1, which resolvers read as addresses
            raise UnsafeAddressError("the host is not a public name")


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port, normalized; raises UnsafeAddressError for a URL that is too long or has a user name."""
    if len(url) > MAX_URL_CHARACTERS:
        raise UnsafeAddressError("the address is too long")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UnsafeAddressError("the address is not a URL") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise UnsafeAddressError("the address is not a plain http or https URL")
    return parts.scheme, parts.hostname.lower(), DEFAULT_PORTS[parts.scheme] if port is None else port


def literal_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet; an IPv6 address that embeds an IPv4 address counts as that one."""
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
    if any(address in network for network in NON_PUBLIC_NETWORKS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def address_of(url: str, policy: AddressPolicy, names: Dns) -> str:
    """Return the address to connect to for an allowed URL; raises `UnsafeAddressError` for any other."""
    policy.check(url)
    _, host, port = origin_of(url)
    return (await _targets(host, port, policy, names))[0]


async def _targets(host: str, port: int, policy: AddressPolicy, names: Dns) -> list[str]:
    if policy.allows_host(host, port):
        return [host]
    addresses = [host] if literal_address(host) else await names.addresses(host)
    for address in addresses:
        checked = literal_address(address)
        if checked is None or not is_public(checked):
            raise UnsafeAddressError("the host's address is not a public one")
    return sorted(addresses, key=lambda address: ":" in address)  # not every machine has IPv6


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a host, refuses it if any of its addresses is not public, and connects to a checked address."""

    def __init__(
        self, policy: AddressPolicy, names: Dns, network: httpcore.AsyncNetworkBackend | None = None
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
        """Connect to a checked address of the host. TLS still verifies the host's name."""
        try:
            async with asyncio.timeout(timeout):
                *others, last = await _targets(host, port, self._policy, self._names)
                connect, options = self._network.connect_tcp, (port, timeout, local_address, socket_options)
                for target in others:
                    with suppress(httpcore.ConnectError):
                        return Slices(await connect(target, *options))
                return Slices(await connect(last, *options))
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host} was not reached in time") from None

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class Slices(httpcore.AsyncNetworkStream):
    """Hands on little at a time and lets other tasks run between: framing costs many times what its bytes do, and counts as no body."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream: Final = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await asyncio.sleep(0)
        return await self._stream.read(min(max_bytes, MAX_SLICE_BYTES), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return Slices(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """Checks the URL of every request, each hop of a redirect included, and the address of every connection."""

    def __init__(
        self, policy: AddressPolicy, names: Dns, *, limits: httpx.Limits, verify: ssl.SSLContext
    ) -> None:
        super().__init__(verify=verify, limits=limits)
        self._policy = policy
        # httpx (0.28) has no argument for the network backend; a test checks that private addresses are refused
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=PublicNetwork(policy, names),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, if the policy allows the URL. Compressed replies are refused: their size is known only when unpacked."""
        self._policy.check(str(request.url))
        # connecting times out before the whole request does: only a connect error proves that nothing was sent
        times = request.extensions.get("timeout", {})
        connecting = {
            name: min(times.get(name) or CONNECT_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS)
            for name in ("pool", "connect")
        }
        request.extensions["timeout"] = times | connecting
        reply = await super().handle_async_request(request)
        if reply.headers.get("content-encoding", PLAIN).lower() != PLAIN:
            await reply.aclose()
            raise httpx.RemoteProtocolError("the reply is compressed, which was not asked for")
        return reply


class FewToAHost(httpx.AsyncBaseTransport):
    """Sends few requests to a host at a time, so that one that hangs leaves connections for others; raises PoolTimeout."""

    def __init__(self, transport: httpx.AsyncBaseTransport, of_a_host: int, unlimited: str) -> None:
        self._transport: Final = transport
        self._turns: Final = Turns(of_a_host)
        self._unlimited: Final = origin_of(unlimited)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send in a turn of the host, which lasts until the reply is closed."""
        origin = origin_of(str(request.url))
        async with AsyncExitStack() as held:
            if origin != self._unlimited:
                try:
                    async with asyncio.timeout(MAX_TURN_WAIT_SECONDS):
                        await held.enter_async_context(self._turns.of(f"{origin[1]}:{origin[2]}"))
                except TimeoutError:
                    raise httpx.PoolTimeout(f"{origin[1]} has too many requests of ours to answer") from None
            reply = await self._transport.handle_async_request(request)
            if not reply.is_closed:
                reply.stream = _Held(cast("httpx.AsyncByteStream", reply.stream), held.pop_all())
            return reply

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Held(httpx.AsyncByteStream):
    def __init__(self, body: httpx.AsyncByteStream, held: AsyncExitStack) -> None:
        self._body = body
        self._held = held

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            yield chunk

    async def aclose(self) -> None:
        async with self._held:
            await self._body.aclose()


@cache
def _tls() -> ssl.SSLContext:
    """Load the trusted certificates once for all clients."""
    return httpx.create_ssl_context()


def public_client(
    policy: AddressPolicy,
    *,
    names: Dns | None = None,
    max_connections: int = MAX_CONNECTIONS,
    of_a_host: int | None = None,
    unlimited: str = PUBLIC_PLC,
) -> httpx.AsyncClient:
    """Make a client for requests to other hosts: no redirects, no proxies from the environment, no cookies.

    With `of_a_host`, a host takes so many of its connections, but for the one that is `unlimited`.
    """
    # a PDS closes idle connections after 90 s: reusing one at that moment fails without telling whether it was sent
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=50, keepalive_expiry=30)
    transport: httpx.AsyncBaseTransport = GuardedTransport(
        policy, names or Dns(), limits=limits, verify=_tls()
    )
    if of_a_host is not None:
        transport = FewToAHost(transport, of_a_host, unlimited)
    return httpx.AsyncClient(
        transport=transport,
        timeout=30,
        follow_redirects=False,
        max_redirects=MAX_REDIRECTS,
        headers={"user-agent": "mastertape", "accept-encoding": PLAIN},
        cookies=NoCookies(),
    )


class NoCookies(CookieJar):
    """One account's cookies must not be sent with another account's request; to parse those of a host takes time that grows with their square."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Keep none."""
