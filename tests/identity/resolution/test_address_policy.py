import asyncio
import gzip
import time
from functools import partial

import httpcore
import httpx
import pytest

from identity.errors import UnsafeAddressError
from identity.resolution.address_policy import AddressPolicy, PublicNetwork, address_of, public_client
from tests.servers.plain_http import reply, serving

UNSAFE_ADDRESSES = [
    "127.0.0.1",
    "0.0.0.0",  # noqa: S104
    "10.1.2.3",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.0.192",  # the metadata of a cloud
    "168.63.129.16",  # of another
    "100.100.100.200",  # of a third
    "192.88.99.1",
    "224.0.0.1",
    "240.0.0.1",
    "::",
    "::1",
    "::7f00:1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::1",
    "2001:db8::1",
    "100::1",
    "::ffff:0:127.0.0.1",
    "::1:2:3",
    "3fff::1",
    "5f00::1",
    "fd00:ec2::254",
]
UNSAFE_URLS = [
    "https://127.0.0.1",
    "https://[::1]",
    "https://[fe80::1%1]",
    "https://2130706433",
    "https://0x7f000001",
    "https://0x7f.1",
    "https://0177.0.0.1",
    "https://127.1",
    "https://127.0.0.1.",
    "https://localhost",
    "https://localhost.",
    "https://pds.localhost",
    "https://pds.local",
    "https://metadata.google.internal",
    "https://router.lan",
    "https://alice.test",
    "https://intranet",
    "https://a..b.com",
    "https://1。1。1。1",
    "https://ⓛocalhost",
    "https://user@pds.example.com",
    "https://pds.example.com:99999",
    "https://pds.example.com\\@127.0.0.1",
    "https://",
    "http://pds.example.com",
    "ftp://pds.example.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "",
    "https://[",
]
PUBLIC_ADDRESSES = ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]


class FixedNames:
    def __init__(self, *addresses):
        self.found = list(addresses)

    async def addresses(self, _host):
        return self.found

    async def texts(self, _name):
        return []


class RecordingNetwork(httpcore.AsyncMockBackend):
    def __init__(self, refused=()):
        super().__init__([])
        self.refused = refused
        self.connected = []

    async def connect_tcp(self, host, port, *args, **kwargs):
        self.connected.append((host, port))
        if host in self.refused:
            raise httpcore.ConnectError
        return await super().connect_tcp(host, port, *args, **kwargs)


@pytest.mark.parametrize("url", UNSAFE_URLS)
def test_an_unsafe_url_is_refused_as_it_is_written(url):
    with pytest.raises(UnsafeAddressError):
        AddressPolicy(["http://localhost:2583"]).check(url)


@pytest.mark.parametrize(
    "url", ["https://pds.example.com", "https://pds.example.com:8443/x", "https://[2606:4700::1]"]
)
def test_a_public_https_url_is_allowed(url):
    AddressPolicy().check(url)


@pytest.mark.parametrize("address", UNSAFE_ADDRESSES)
def test_a_name_that_resolves_to_an_unsafe_address_is_refused_before_connecting(address):
    network = RecordingNetwork()
    guarded = PublicNetwork(AddressPolicy(), FixedNames("1.1.1.1", address), network)
    with pytest.raises(UnsafeAddressError):
        asyncio.run(guarded.connect_tcp("pds.example.com", 443))
    assert network.connected == []


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_the_connection_goes_to_the_checked_address(address):
    network = RecordingNetwork()
    asyncio.run(
        PublicNetwork(AddressPolicy(), FixedNames(address), network).connect_tcp("pds.example.com", 443)
    )
    assert network.connected == [(address, 443)]


def test_address_of_returns_the_checked_address():
    policy = AddressPolicy(["http://localhost:2583"])
    assert asyncio.run(address_of("https://pds.example.com", policy, FixedNames("1.1.1.1"))) == "1.1.1.1"
    assert asyncio.run(address_of("http://localhost:2583", policy, FixedNames())) == "localhost"
    for url, names in (("http://localhost:2584", ["1.1.1.1"]), ("https://a.com", ["1.1.1.1", "10.0.0.1"])):
        with pytest.raises(UnsafeAddressError):
            asyncio.run(address_of(url, policy, FixedNames(*names)))


def test_a_slow_name_server_counts_as_a_connection_that_took_too_long():
    names = FixedNames()
    names.addresses = lambda _: asyncio.Event().wait()
    with pytest.raises(httpcore.ConnectTimeout):
        asyncio.run(PublicNetwork(AddressPolicy(), names).connect_tcp("pds.example.com", 443, timeout=0.01))


def test_the_next_address_is_tried_when_one_refuses():
    network = RecordingNetwork(refused=["1.1.1.1"])
    names = FixedNames("1.1.1.1", "8.8.8.8")
    asyncio.run(PublicNetwork(AddressPolicy(), names, network).connect_tcp("pds.example.com", 443))
    assert network.connected == [("1.1.1.1", 443), ("8.8.8.8", 443)]


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost:2583",
        "http://localhost:2584",
        "http://127.0.0.1:2583",
        "http://localhost",
        "http://x.localhost:2583",
    ],
)
def test_a_development_origin_is_allowed_exactly_and_nothing_near_it(url):
    policy = AddressPolicy(["http://localhost:2583"])
    policy.check("http://localhost:2583/xrpc/x")
    policy.check("HTTP://LOCALHOST:2583")
    with pytest.raises(UnsafeAddressError):
        policy.check(url)


@pytest.fixture
def web():
    """Two origins on loopback; the first redirects to the second, and sets a cookie."""
    seen = []

    def answer(status, handler):
        seen.append((handler.server.server_port, handler.headers.get("cookie")))
        reply(handler, status, location=f"http://127.0.0.1:{second}/secret", set_cookie="a=b")

    with serving(partial(answer, 302)) as first, serving(partial(answer, 200)) as second:
        yield first, second, seen


def get(url, *, allowed=(), names=None, **options):
    async def ask():
        async with public_client(AddressPolicy(allowed), names=names) as http:
            reply = await http.get(url, **options)
            return [reply, await http.get(url, **options)]

    return asyncio.run(ask())


def test_the_client_really_refuses_a_name_that_resolves_to_loopback(web):
    first, _, seen = web
    with pytest.raises(UnsafeAddressError):
        get(f"https://pds.example.com:{first}", names=FixedNames("127.0.0.1"))
    assert seen == []


def test_the_client_really_reaches_a_development_origin_and_keeps_no_cookies(web):
    first, _, seen = web
    replies = get(f"http://localhost:{first}", allowed=[f"http://localhost:{first}"])
    assert [reply.status_code for reply in replies] == [302, 302]
    assert seen == [(first, None), (first, None)]


def test_cookies_of_a_host_are_not_even_parsed():
    async def reply(_request):
        return httpx.Response(404, headers=[("set-cookie", "a=b"), ("set-cookie2", "a," * 32_000)])

    async def cpu_seconds():
        async with public_client(AddressPolicy()) as http:
            http._transport = httpx.MockTransport(reply)  # noqa: SLF001
            began = time.thread_time()
            await http.get("https://pds.example.com")
            return time.thread_time() - began

    assert any(asyncio.run(cpu_seconds()) < 0.1 for _ in range(5))


def test_a_redirect_is_checked_like_any_other_address(web):
    first, second, seen = web
    with pytest.raises(UnsafeAddressError):
        get(f"http://localhost:{first}", allowed=[f"http://localhost:{first}"], follow_redirects=True)
    assert second not in [port for port, _ in seen]


def test_a_reply_of_tiny_chunks_leaves_the_loop_to_others():
    def crumbs(handler):
        handler.send_response(200)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")

    async def others(gaps):
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            gaps.append(-last + (last := time.thread_time()))

    async def longest_gap(origin):
        gaps = []
        beside = asyncio.create_task(others(gaps))
        async with public_client(AddressPolicy([origin])) as http:
            reply = await http.get(origin)
        beside.cancel()
        assert len(reply.content) == 20_000
        return max(gaps)

    with serving(crumbs) as port:
        assert any(asyncio.run(longest_gap(f"http://localhost:{port}")) < 0.05 for _ in range(5))


def test_a_compressed_reply_is_not_unpacked():
    """A kilobyte on the wire would unpack to a megabyte before its size is checked."""
    asked = []

    def bomb(handler):
        asked.append(handler.headers["accept-encoding"])
        reply(handler, 200, gzip.compress(bytes(10_000_000)), content_encoding="gzip")

    with serving(bomb) as port, pytest.raises(httpx.RemoteProtocolError, match="compressed"):
        get(f"http://127.0.0.1:{port}", allowed=[f"http://127.0.0.1:{port}"])
    assert asked == ["identity"]


def test_an_exhausted_connection_pool_is_a_connect_error_and_not_a_slow_server(monkeypatch):
    monkeypatch.setattr("identity.resolution.address_policy.CONNECT_TIMEOUT_SECONDS", 0.1)

    async def story():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            arrived.set()
            await go_on.wait()
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, public_client(AddressPolicy([origin]), max_connections=1) as http:
            first = asyncio.create_task(http.get(origin, timeout=30))
            await arrived.wait()
            async with asyncio.timeout(15):
                with pytest.raises(httpx.PoolTimeout):
                    await http.get(origin, timeout=30)
            go_on.set()
            return await first

    assert asyncio.run(story()).status_code == 204
