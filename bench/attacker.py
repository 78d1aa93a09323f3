"""Attacks a service, in a process of its own so that it shares no interpreter with the bench: `python -m bench.attacker NAME`.

Its target is a JSON object on standard input; it goes on until it is ended. Each account and each address sends as many requests
as the rate limits let it.
"""

import asyncio
import contextlib
import io
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Final

import httpx
import numpy as np
import soundfile
from PIL import Image

REQUESTS_PER_MINUTE: Final = 100
UPLOADS_PER_MINUTE: Final = 20
ATTACKERS_ADDRESS: Final = "127.0.0.2"
HEADER_BYTES: Final = 30_000
STREAMS: Final = 300
TRAILER_SECONDS: Final = 5.0
BURN_SLICE_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Target:
    """The service, what the attacker has there (an account's token and a track of it at the same place), and servers that never answer."""

    url: str
    port: int
    tokens: list[str]
    tracks: list[int]
    page: str
    audio: str
    silent_ports: list[int]
    cores: float
    """Processor time a second that `burn` takes."""

    def client(self, account: int | None = 0) -> httpx.AsyncClient:
        """Return a client of one of the accounts, or of nobody's."""
        headers = {} if account is None else {"authorization": f"Bearer {self.tokens[account]}"}
        limits = httpx.Limits(max_connections=None)
        transport = httpx.AsyncHTTPTransport(local_address=ATTACKERS_ADDRESS, limits=limits)
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60, transport=transport)

    def track(self, account: int = 0) -> str:
        return f"/tracks/{self.tracks[account]}"


async def hostile_ranges(target: Target) -> None:
    header = f"bytes={' ' * (HEADER_BYTES // 2)}-{' ' * (HEADER_BYTES // 2)}x"
    async with target.client(None) as client:
        await _paced(lambda: client.get(target.audio, headers={"range": header}))


async def hostile_preconditions(target: Target) -> None:
    header = f'"a{" " * HEADER_BYTES}b'
    async with target.client() as client:
        await _paced(lambda: client.patch(target.track(), headers={"if-match": header}, json={}))


async def endless_trailers(target: Target) -> None:
    async def send() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: bench\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        ends = time.monotonic() + TRAILER_SECONDS
        while time.monotonic() < ends:
            writer.write(b"a:b\r\n" * 1000)
            await writer.drain()
        writer.close()

    await _paced(send)


async def costly_liner_notes(target: Target) -> None:
    async with target.client() as owner:
        notes = "." * 4997 + "a."
        (await owner.patch(target.track(), json={"description": notes})).raise_for_status()
    async with target.client(None) as client:
        await _paced(lambda: client.get(target.page, headers={"accept": "text/html"}))


async def silent_names(target: Target) -> None:
    """Every account names artists whose servers accept connections and never answer."""

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.wait_closed()

    features = [f"did:web:localhost%3A{port}" for port in target.silent_ports]
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as accounts:
        for port in target.silent_ports:
            await stack.enter_async_context(await asyncio.start_server(hold, "127.0.0.1", port))
        for account in range(3):
            client = await stack.enter_async_context(target.client(account))
            send = _patching(client, target.track(account), features)
            accounts.create_task(_paced(send))


def _patching(client: httpx.AsyncClient, track: str, features: list[str]) -> Callable[[], Awaitable[object]]:
    return lambda: client.patch(track, json={"features": features})


async def large_covers(target: Target) -> None:
    data = io.BytesIO()
    Image.new("RGB", (8000, 5000), "teal").save(data, "PNG")
    cover = {"image": ("cover.png", data.getvalue(), "image/png")}
    async with target.client() as client:
        await _paced(lambda: client.patch(target.track(), files=cover))


async def wide_json(target: Target) -> None:
    body = b'{"did":[' + b"{},[]," * 170_000 + b"0]}"
    headers = {"content-type": "application/json"}
    async with target.client(None) as client:
        await _paced(lambda: client.post("/auth/logout", content=body, headers=headers))


async def error_pages(target: Target) -> None:
    cookie = "; ".join(f"mastertape_session={token}" for token in target.tokens[:5])
    async with target.client(None) as client:
        await _paced(lambda: client.get("/nope", headers={"accept": "text/html", "cookie": cookie}))


async def verifications(target: Target) -> None:
    async with target.client() as client:
        await _paced(lambda: client.post("/me/verify"))


async def silent_flacs(target: Target) -> None:
    """Uploads whose audio is short to send and long to decode."""

    def flac() -> bytes:
        data, samples = io.BytesIO(), np.zeros(48_000 * 600, dtype=np.int16)
        samples[:16] = [random.randrange(-9, 9) for _ in range(16)]  # noqa: S311 - new bytes each time
        soundfile.write(data, samples, 48_000, format="FLAC")
        return data.getvalue()

    async def upload() -> object:
        files = {"file": ("silence.flac", await asyncio.to_thread(flac))}
        return await client.post("/tracks", data={"title": "Silence"}, files=files)

    async with target.client() as client:
        await _paced(upload, UPLOADS_PER_MINUTE)


async def many_streams(target: Target) -> None:
    """One account opens many event streams, and edits one track after the other."""
    head = f"GET /events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {target.tokens[0]}\r\n\r\n".encode()

    async def stream() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(head)
        while await reader.read(65_536):
            pass
        writer.close()

    numbers = iter(range(10**9))
    async with target.client() as client, asyncio.TaskGroup() as streams:
        for _ in range(STREAMS):
            streams.create_task(stream())
        await _paced(lambda: client.patch(target.track(), json={"title": f"Take {next(numbers)}"}))


async def bulk_copies(target: Target) -> None:
    """A form of the studio that names very many tracks."""
    cookie = f"mastertape_session={target.tokens[0]}"
    headers = {"origin": target.url, "accept": "text/html", "cookie": cookie}
    async with target.client(None) as client:
        await _paced(
            lambda: client.post(
                "/studio/copy", data={"id": [str(number) for number in range(900)]}, headers=headers
            )
        )


async def burn(target: Target) -> None:
    """Take processor time and nothing else, of one core at most."""
    while True:
        ends = time.process_time() + BURN_SLICE_SECONDS * min(target.cores, 1.0)
        began = time.monotonic()
        while time.process_time() < ends:
            pass
        time.sleep(max(0.0, BURN_SLICE_SECONDS - (time.monotonic() - began)))  # noqa: ASYNC251 - nothing else runs here


async def nothing(_: Target) -> None:
    """The host does the harm."""
    await asyncio.Event().wait()


ATTACKS: Final[dict[str, Callable[[Target], Coroutine[None, None, None]]]] = {
    "hostile_ranges": hostile_ranges,
    "hostile_preconditions": hostile_preconditions,
    "endless_trailers": endless_trailers,
    "costly_liner_notes": costly_liner_notes,
    "silent_names": silent_names,
    "large_covers": large_covers,
    "wide_json": wide_json,
    "error_pages": error_pages,
    "verifications": verifications,
    "silent_flacs": silent_flacs,
    "many_streams": many_streams,
    "bulk_copies": bulk_copies,
    "burn": burn,
    "nothing": nothing,
}


async def _paced(send: Callable[[], Awaitable[object]], per_minute: int = REQUESTS_PER_MINUTE) -> None:
    """Send without waiting for the answers, which may be refusals and broken connections."""

    async def once() -> None:
        with contextlib.suppress(httpx.HTTPError, OSError):
            await send()

    async with asyncio.TaskGroup() as under_way:
        while True:
            under_way.create_task(once())
            await asyncio.sleep(60 / per_minute)


if __name__ == "__main__":
    asyncio.run(ATTACKS[sys.argv[1]](Target(**json.load(sys.stdin))))
