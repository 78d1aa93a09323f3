"""An upload that the PDS refuses before it has read the body, or reads no further, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from identity.sessions import signed_requests
from identity.sessions.session_store import Session, SessionKind, Tokens
from identity.sessions.signed_requests import Call, PdsCalls

pytestmark = pytest.mark.anyio
DID = "did:plc:" + "a" * 24
SIZE = 8 * 1024 * 1024
REFUSAL = b'{"error":"PayloadTooLarge"}'


class Strict:
    """A server that refuses uploads at once without reading them, and keeps the connection open."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.closed = asyncio.Event()
        self.unread = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.lower())
        is_upload = b"uploadBlob" in head
        content = REFUSAL if is_upload else b"{}"
        status = b"413 Payload Too Large" if is_upload else b"200 OK"
        writer.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\ncontent-length: "
            + str(len(content)).encode() + b"\r\n\r\n" + content
        )  # fmt: skip
        await writer.drain()
        if is_upload:
            while chunk := await reader.read(65536):  # what is still coming, until the client hangs up
                self.unread += len(chunk)
            self.closed.set()
        writer.close()


def session(port: int) -> Session:
    return Session(
        did=DID,
        kind=SessionKind.APP_PASSWORD,
        pds_url=f"http://127.0.0.1:{port}",
        sealed=b"",
        scope="",
        generation=1,
        refresh_until=None,
        access_expires_at=None,
        loaded_at=datetime.now(UTC),
    )


TOKENS = Tokens(access=SecretStr("a"), refresh=SecretStr("r"), scope="", access_expires_at=None)


async def body() -> AsyncIterator[bytes]:
    for _ in range(SIZE // 65536):
        yield b"x" * 65536


UPLOAD = Call("POST", "com.atproto.repo.uploadBlob", 30.0, body=body, headers={"content-length": str(SIZE)})


@pytest.mark.parametrize(("slow", "error"), [("STALL", httpx.WriteTimeout), ("ANSWER", httpx.ReadTimeout)])
async def test_it_is_given_up_when_the_pds_takes_nothing_more_or_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, slow: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(signed_requests, f"{slow}_TIMEOUT_SECONDS", 1.0)
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if slow == "ANSWER":
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(SIZE)
        await over.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with httpx.AsyncClient() as http:
        with pytest.raises(error):
            await PdsCalls(http).send(session(server.sockets[0].getsockname()[1]), TOKENS, UPLOAD)
    over.set()
    server.close()
    await server.wait_closed()


async def test_its_connection_is_closed_and_the_next_request_gets_another() -> None:
    strict = Strict()
    server = await asyncio.start_server(strict, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async with httpx.AsyncClient() as http:
        calls = PdsCalls(http)
        refused = await calls.send(session(port), TOKENS, UPLOAD)
        await asyncio.wait_for(strict.closed.wait(), 30)
        put = await calls.send(
            session(port), TOKENS, Call("POST", "com.atproto.repo.putRecord", 30.0, json={})
        )
    server.close()
    await server.wait_closed()

    assert (refused.status_code, refused.json()["error"]) == (413, "PayloadTooLarge")
    assert put.is_success
    assert b"connection: close" in strict.heads[0]
    assert f"content-length: {SIZE}".encode() in strict.heads[0]
    assert b"transfer-encoding" not in strict.heads[0]
    assert b"connection: close" not in strict.heads[1]
