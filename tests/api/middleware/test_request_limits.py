"""Size and time limits of requests, and malformed bodies, queries and hosts."""

import asyncio
import gc
import json
from itertools import product

import httpx
import pytest

from api.errors import BodyTooLargeError
from api.middleware import http_layer as limits
from api.middleware.http_layer import FIELDS_BYTES, HEADERS_BYTES, URL_BYTES
from api.pipeline.concurrency import MAX_CONCURRENT_UPLOADS
from tests.api.no_sign_in import without_sign_in
from tests.api.world import ids_of, refusal, upload_with_all
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

pytestmark = ON_SQLITE

JSON = {"Content-Type": "application/json"}
BODIES = [
    "PATCH /tracks/{}",
    "POST /ops/lanes",
    "POST /auth/app-password",
    "POST /auth/switch",
    "PUT /tracks/{}/audio",
]
"""Of each kind of reader: ours and the framework's, of commands, of sign-ins, of files."""


@pytest.fixture
def client(world):
    with without_sign_in(world) as client:
        yield client


@pytest.fixture
def track(client, admin):
    return upload_with_all(client, admin)


def send(client, route, track, headers, **body):
    method, path = route.format(track["id"]).split()
    return client.request(method, path, headers=headers, **body)


def endless(times=10_000):
    for _ in range(times):
        yield b" " * 1024


def test_no_body_without_a_file_has_more_than_its_limit(subtests, client, world, admin, track):
    before = world.state()
    kinds = ("application/json", "multipart/form-data; boundary=b", "text/plain")
    for route, kind, announced in product(BODIES[:4], kinds, (True, False)):
        with subtests.test(f"{route} {kind} {announced}"):
            content = b" " * (23 * FIELDS_BYTES) if announced else endless(25 * 1024)
            answer = send(client, route, track, {**admin.headers, "Content-Type": kind}, content=content)
            assert refusal(answer) == (413, "too_large")
            assert answer.json()["detail"]["limit"] >= FIELDS_BYTES
    assert world.state() == before


def test_of_a_request_that_was_refused_nothing_stays_in_memory(client, admin, track):
    for route in BODIES[:2] * 3:
        answer = send(client, route, track, {**admin.headers, **JSON}, content=b" " * (3 * FIELDS_BYTES))
        assert refusal(answer) == (413, "too_large")
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, BodyTooLargeError)]


def test_no_body_is_read_before_the_caller_is_authenticated(client, track):
    answer = send(client, "POST /ops/lanes", track, JSON, content=endless())
    assert refusal(answer) == (401, "not_authenticated")


AMBIGUOUS = [
    (b'{"did": "a", "did": "b"}', "application/json"),
    (b'{"title": "a", "x": {"y": 1, "y": 2}}', "application/json"),
    (b"did=a&did=b", "application/x-www-form-urlencoded"),
    (b"--b\r\n" + b"X: y\r\n" * 1000 + b"\r\n\r\n--b--", "multipart/form-data; boundary=b"),
    (b"--b\r\nContent-Disposition: " + b"y" * 100_000 + b"\r\n\r\n", "multipart/form-data; boundary=b"),
    (b"--" + b"b" * 300 + b"\r\n", "multipart/form-data; boundary=" + "b" * 300),
    (b'{"to_version": ' + b"9" * 5000 + b"}", "application/json"),
]


def test_what_could_be_read_in_two_ways_or_is_out_of_measure_is_not_read(subtests, client, admin, track):
    for (content, kind), route in product(AMBIGUOUS, BODIES[:2] + BODIES[3:4]):
        with subtests.test(f"{route} {content[:60]}"):
            answer = send(client, route, track, {**admin.headers, "Content-Type": kind}, content=content)
            assert refusal(answer) == (422, "unparsable")


STRANGE = [
    "[" * 100_000,
    '{"a":' * 50_000,
    '{"to_version": 1e999, "did": 1e999, "action": 1e999}',
    '{"to_version": ' + "9" * 4000 + ', "action": "pause", "did": "' + "9" * 4000 + '"}',
    *(
        json.dumps(dict.fromkeys(("identifier", "password", "name", "did", "keep", "reason", "host", "title"), text))
        for text in ("\0", "\ud800", "a\udfff", "\u202e" * 100, "x" * 100_000)
    ),
    json.dumps({"action": "pause", "did": "did:plc:x", "reason": "\ud800\0"}),
    json.dumps({"identifier": "a.test", "password": "p", "scope": ["x"], "expires_in_days": {}}),
    json.dumps({"identifier": "a.test", "password": "p", "expires_in_days": 10**30}),
    json.dumps({"identifier": "a.test", "password": "p", "name": "\ud800"}),
    "true", "null", "1", '"x"', "[]", "\ufeff{}", "{}" * 2, "\x00",
]  # fmt: skip
ROUTES = [
    "PATCH /tracks/{}", "POST /tracks/{}/revert", "POST /tracks/{}/mirror/resolve", "POST /me/migrate-to-pds",
    "POST /ops/lanes", "POST /ops/failures", "POST /auth/app-password", "POST /auth/switch", "POST /auth/logout", "POST /auth/tokens",
]  # fmt: skip


def test_strange_json_is_never_our_fault(subtests, client, admin, track):
    for route in ROUTES:
        for content in STRANGE:
            with subtests.test(f"{route} {content[:60]!r}"):
                sent = content.encode("utf-8", "surrogatepass")
                answer = send(client, route, track, {**admin.headers, **JSON}, content=sent)
                assert answer.status_code < 500
                if answer.status_code >= 400:
                    refusal(answer)


VALUES = (
    "%00", "%ff", "%ED%A0%80", "9" * 400, "-1", "1e5", "'", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "%25", "",
)  # fmt: skip


@pytest.mark.timeout(300)  # a thousand requests
def test_strange_queries_are_never_our_fault(subtests, client, admin, track):
    """Each parameter that any route takes, with each of these."""
    names = {
        **ids_of(track),
        "artist": "alice.test",
        "cid": track["file_id"],
        "extension": "mp3",
        "did": admin.did,
    }
    for path, methods in client.app.openapi()["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", ()):
            for value in VALUES if parameter.get("in") == "query" else ():
                address = f"{path.format(**names)}?{parameter['name']}={value}"
                status = client.get(address, headers={**admin.headers, "Prefer": "wait=0"}).status_code
                if status >= 500 and not (
                    status == 503 and parameter["name"] == "handle"
                ):  # no caller can send such a request
                    with subtests.test(address[:80]):
                        raise AssertionError(status)


def test_a_strange_host_is_never_our_fault(subtests, client):
    hosts = ("[", "a b", "x" * 5000, "\xff", "127.0.0.1:99999", "[::1", "@", "")
    for host, path in product(hosts, ("/auth/login?handle=a.test", "/me", "/healthz")):
        with subtests.test(f"{host[:20]} {path}"):
            assert client.get(path, headers={"Host": host.encode("latin-1")}).status_code < 500


def test_a_long_address_and_large_headers_are_refused_unread(client):
    assert refusal(client.get("/tracks?q=" + "x" * URL_BYTES)) == (414, "url_too_long")
    assert refusal(client.get("/tracks/" + "x" * URL_BYTES)) == (414, "url_too_long")
    large = {f"x-{n}": "y" * 1000 for n in range(HEADERS_BYTES // 1000 + 1)}
    assert refusal(client.get("/healthz", headers=large)) == (431, "headers_too_large")


async def trickle(chunk=b" "):
    while True:
        await asyncio.sleep(0.01)
        yield chunk


@pytest.mark.anyio
async def test_a_body_that_comes_too_slowly_is_given_up(world, admin, track, monkeypatch):
    monkeypatch.setattr(limits, "PATIENCE_SECONDS", 0.5)

    def ask(http, route):
        kind = "multipart/form-data; boundary=b" if "audio" in route else "application/json"
        return send(http, route, track, {**admin.headers, "Content-Type": kind}, content=trickle())

    async with asyncio.timeout(30), world.async_client(admin) as http:
        answers = await asyncio.gather(*(ask(http, route) for route in BODIES))
    assert [refusal(answer) for answer in answers] == [(408, "too_slow")] * len(BODIES)
    staging = world.services.staging
    assert not staging.exists() or not list(staging.iterdir())


@pytest.mark.anyio
async def test_a_slow_body_that_goes_on_is_taken(world, admin, monkeypatch):
    """Seventy pieces, each in good time, over longer than the patience."""
    monkeypatch.setattr(limits, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(limits, "SLOWEST", 100)
    request = httpx.Request("POST", "http://test/tracks", data={"title": "t"}, files={"file": samples.mp3(5)})
    content = request.read()
    size = len(content) // 70 + 1

    async def pieces():
        for at in range(0, len(content), size):
            await asyncio.sleep(0.04)
            yield content[at : at + size]

    async with world.async_client(admin) as http:
        answer = await http.post("/tracks", content=pieces(), headers=dict(request.headers) | admin.headers)
    assert answer.status_code == 201, answer.text


@pytest.mark.anyio
async def test_an_account_has_only_so_many_uploads_under_way(world, admin, bob):
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    go_on = asyncio.Event()

    async def waits():
        yield b"--b\r\n"
        await go_on.wait()

    async with world.async_client() as http:

        def begins(person):
            return asyncio.create_task(
                http.post("/tracks", content=waits(), headers={**person.headers, **kind})
            )

        under_way = [begins(admin) for _ in range(MAX_CONCURRENT_UPLOADS)]
        await until_async(lambda: world.app.state.uploads._under_way[admin.did] == MAX_CONCURRENT_UPLOADS)  # noqa: SLF001
        refused = await http.post("/tracks", content=b"", headers={**admin.headers, **kind})
        other = begins(bob)
        go_on.set()
        assert refusal(refused) == (429, "rate_limited")
        assert refused.headers["retry-after"] == "5"
        assert {(await each).status_code for each in [*under_way, other]} == {422}
        assert (await http.post("/tracks", content=b"", headers={**admin.headers, **kind})).status_code == 422
