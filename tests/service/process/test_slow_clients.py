"""Slow, late, endless and disconnected clients on real sockets: the service keeps neither a connection, a file nor memory for them."""

import gc
import logging
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import uvicorn

from api.middleware import http_layer as limits
from devpds.ports import free_port
from identity.accounts.credentials import CredentialKind
from service.cli.serve import _config, asgi
from service.config.settings import Settings
from service.process import http_connections as connections
from service.wiring.bootstrap import Container, build
from tests.servers.databases import clone_sqlite
from tests.service.process.endless import ENDLESS, GET
from tests.waits import until

DID = "did:plc:" + "a" * 24
TIMEOUT_SECONDS = 30
LARGEST_READ_BYTES = 256 * 1024
"""That uvloop takes from a socket at once."""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short limits, but longer than a busy machine takes."""
    monkeypatch.setattr(connections, "REQUEST_HEAD_TIMEOUT_SECONDS", 2.0)
    monkeypatch.setattr(connections, "STALLED_RESPONSE_TIMEOUT_SECONDS", 2.0)
    monkeypatch.setattr(limits, "PATIENCE_SECONDS", 2.0)


@contextmanager
def serving(folder: Path, template: Path) -> Iterator[tuple[uvicorn.Server, Container]]:
    clone_sqlite(template, folder / "tape.db")
    url = f"sqlite:///{folder / 'tape.db'}"
    settings = Settings(data=folder, database_url=url, port=free_port(), relay=False, rate_limits=False)
    made = build(settings)
    server = uvicorn.Server(_config(settings, asgi(made)))
    server.capture_signals = threading.Lock  # signals are for main threads
    listener = socket.create_server(("127.0.0.1", settings.port))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)  # a slow client is noticed early
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until(lambda: server.started)
    try:
        yield server, made
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def standing(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[uvicorn.Server, Container]]:
    with serving(tmp_path_factory.mktemp("serving"), sqlite_template) as served:
        yield served


@pytest.fixture
def running(standing: tuple[uvicorn.Server, Container]) -> Iterator[tuple[uvicorn.Server, Container]]:
    """A service that keeps nothing for the clients of the test before."""
    yield standing
    state = standing[0].server_state
    until(lambda: not state.connections and not state.tasks)


@pytest.fixture
def served(running: tuple[uvicorn.Server, Container]) -> Container:
    return running[1]


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def connected(served: Container) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.settings.port), timeout=TIMEOUT_SECONDS)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the service closes the connection."""
    said = b""
    try:
        while chunk := connection.recv(65536):
            said += chunk
    except ConnectionResetError:
        pass
    return said


def sent_until(condition: Callable[[], bool], connection: socket.socket, piece: bytes) -> None:
    while not condition():
        connection.sendall(piece)


def waiting_bytes(server: uvicorn.Server) -> int:
    waiting = [
        connection.transport.get_write_buffer_size()
        for connection in server.server_state.connections.copy()
        if isinstance(connection, connections.HttpConnection) and connection.transport is not None
    ]
    return sum(waiting)


def is_answered_or_waits(server: uvicorn.Server, requests: int) -> bool:
    return waiting_bytes(server) > 0 or server.server_state.total_requests == requests


def trickled(connection: socket.socket, piece: bytes) -> bytes:
    """Send a piece now and then until the service closes the connection; gives what it said."""
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.1):
            try:
                connection.sendall(piece)
            except OSError:
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return all_of(connection)
    finally:
        ended.set()
        sender.join()


def upload_head(served: Container, length: int) -> bytes:
    with served.database.write() as connection:
        served.services.accounts.upsert(
            connection, did=DID, handle="a.test", pds_url="https://pds.example.com", display_name="A"
        )
        issued = served.services.credentials.issue(connection, did=DID, kind=CredentialKind.API, name="t")
    token = getattr(issued, "token", issued).get_secret_value()
    return (
        f"POST /tracks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
    ).encode()


def staged(served: Container) -> list[str]:
    folder = served.services.staging
    return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("begin", [b"", b"GET /healthz HTTP/1.1\r\n"])
def test_a_head_that_does_not_end_does_not_keep_its_connection(served: Container, begin: bytes) -> None:
    with closing(connected(served)) as connection:
        connection.sendall(begin)
        assert trickled(connection, b"x: y\r\n" if begin else b"") == b""


@pytest.mark.usefixtures("short")
def test_the_second_head_has_no_more_time_than_the_first(served: Container) -> None:
    with closing(connected(served)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: b'"ok"' in connection.recv(65536, socket.MSG_PEEK))
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert trickled(connection, b"x: y\r\n").count(b"HTTP/1.1") == 1


@pytest.mark.usefixtures("short")
def test_a_byte_now_and_then_does_not_keep_an_upload(served: Container) -> None:
    with closing(connected(served)) as connection:
        connection.sendall(upload_head(served, 10_000_000) + bytes(1_000_000))
        until(lambda: bool(staged(served)))
        said = trickled(connection, b"x")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in said
    assert b"content-security-policy" in said.lower()
    until(lambda: not staged(served))


@pytest.mark.usefixtures("short")
def test_a_client_that_takes_nothing_of_its_response_does_not_keep_its_connection(
    running: tuple[uvicorn.Server, Container],
) -> None:
    (server, served), asked = running, 20
    with closing(connected(served)) as connection:
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * asked)
        until(lambda: bool(waiting_bytes(server)))
        until(lambda: not server.server_state.connections)
        assert 0 < all_of(connection).count(b"HTTP/1.1 200 ") < asked


@pytest.mark.usefixtures("short")
def test_a_client_that_leaves_a_part_of_its_last_small_response_does_not_keep_its_connection(
    running: tuple[uvicorn.Server, Container],
) -> None:
    """Less than uvloop usually buffers before it calls pause_writing; close() alone would wait for it."""
    server, served = running
    with closing(connected(served)) as connection:
        asked = server.server_state.total_requests
        while not waiting_bytes(server):
            connection.sendall((GET + b"\r\n") * 16)
            asked += 16
            until(partial(is_answered_or_waits, server, asked))
        assert waiting_bytes(server) < LARGEST_READ_BYTES // 4
        until(lambda: not server.server_state.connections)


def test_an_upgrade_request_is_answered_as_plain_http_and_logs_nothing(
    served: Container, caplog: pytest.LogCaptureFixture
) -> None:
    asked = (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with closing(connected(served)) as connection:
        connection.sendall(asked)
        said = all_of(connection)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"default-src 'none'" in said
    assert warnings_in(caplog) == []


def test_a_client_that_disconnects_during_an_upload_leaves_no_files(served: Container) -> None:
    with closing(connected(served)) as connection:
        connection.sendall(upload_head(served, 10_000_000) + bytes(2_000_000))
        until(lambda: bool(staged(served)))
    until(lambda: not staged(served))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y",
        b"POST /me/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0",
        b"POST /me/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0;a=b",
        b"POST /me/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b",
        b"POST /me/x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 4",
    ],
)
def test_malformed_http_gets_the_usual_error_body_and_logs_nothing(
    served: Container, caplog: pytest.LogCaptureFixture, nonsense: bytes
) -> None:
    with closing(connected(served)) as connection:
        connection.sendall(nonsense + b"\r\n\r\n")
        said = all_of(connection)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b'"error":"bad_request"' in said
    assert b"default-src 'none'" in said
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("by", ["the client", "the service"])
def test_a_connection_that_closes_while_responses_wait_to_be_written_logs_nothing(
    served: Container, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    paused, lost = threading.Event(), threading.Event()
    pause, end = connections.HttpConnection.pause_writing, connections.HttpConnection.connection_lost

    def pause_writing(connection: connections.HttpConnection) -> None:
        paused.set()
        pause(connection)

    def connection_lost(connection: connections.HttpConnection, error: Exception | None) -> None:
        end(connection, error)
        connection.loop.call_later(0.1, lost.set)  # once the responses that waited have gone on

    monkeypatch.setattr(connections.HttpConnection, "pause_writing", pause_writing)
    monkeypatch.setattr(connections.HttpConnection, "connection_lost", connection_lost)
    with closing(connected(served)) as connection:
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        assert paused.wait(TIMEOUT_SECONDS)
        if by == "the service":
            connection.sendall(b"\x16\x03\x01\x02\r\n\r\n")
            assert all_of(connection).count(b"HTTP/1.1 200 ") < 20
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert lost.wait(TIMEOUT_SECONDS)
    gc.collect()  # with it goes a task whose error was never looked at
    assert warnings_in(caplog) == []


OF_A_LENGTH = (b"Content-Length: 99999999999", b"x" * 1024)


@pytest.mark.parametrize(("begin", "piece"), ENDLESS.values(), ids=ENDLESS)
def test_of_what_has_no_end_little_is_read_and_the_connection_is_closed(
    served: Container, monkeypatch: pytest.MonkeyPatch, begin: bytes, piece: bytes
) -> None:
    """The client sends at once what it has, and takes no response."""
    read, receive = [0], connections.HttpConnection.data_received

    def data_received(connection: connections.HttpConnection, data: bytes) -> None:
        read[0] += len(data)
        receive(connection, data)

    monkeypatch.setattr(connections.HttpConnection, "data_received", data_received)
    with closing(connected(served)) as connection:
        connection.sendall(begin)
        with pytest.raises(ConnectionError):
            sent_until(
                lambda: read[0] > 20 * LARGEST_READ_BYTES, connection, piece * (64 * 1024 // len(piece))
            )
    most = connections.MAX_UNPARSED_BYTES + connections.MAX_UNNEEDED_BODY_BYTES
    assert read[0] <= most + 2 * LARGEST_READ_BYTES


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("path", "length", "piece"),
    [
        ("/healthz", *OF_A_LENGTH),
        ("/me", *OF_A_LENGTH),
        ("/auth/logout", *OF_A_LENGTH),
        ("/auth/logout", b"Transfer-Encoding: chunked", b"400\r\n" + b";" * 0x400 + b"\r\n"),
    ],
)
def test_a_body_without_end_is_read_for_a_time_and_not_kept(
    served: Container, path: str, length: bytes, piece: bytes
) -> None:
    """Whether its route wants no body, refuses the caller, or reads what it may have."""
    with closing(connected(served)) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % (path.encode(), length))
        tracemalloc.start()
        said = trickled(connection, piece * 100)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert said.startswith(b"HTTP/1.1 4")
    assert most < 8 * limits.FIELDS_BYTES


@pytest.mark.parametrize(("size", "length"), [(1, 10_000), (5, 500_000)])
def test_small_chunks_are_a_body_like_any_other(served: Container, size: int, length: int) -> None:
    """Five bytes are what the frame of so small a chunk takes; a few smaller ones are no harm."""
    with closing(connected(served)) as connection:
        head = b"POST /auth/logout HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        body = b'{"did": "%s"}' % (b";" * (length - 11))
        chunks = b"".join(b"%x\r\n%s\r\n" % (size, body[at : at + size]) for at in range(0, length, size))
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        said = all_of(connection)
    assert said.startswith(b"HTTP/1.1 ")
    assert b"bad_request" not in said


def test_as_many_pipelined_requests_as_may_wait_are_answered(served: Container) -> None:
    asked = connections.MAX_PIPELINED_REQUESTS
    with closing(connected(served)) as connection:
        connection.sendall((GET + b"\r\n") * asked + GET + b"Connection: close\r\n\r\n")
        assert all_of(connection).count(b"HTTP/1.1 200 ") == asked + 1


@pytest.mark.parametrize(
    ("begin", "rest", "status"),
    [
        (b"", GET + b"\r\n", b"200"),
        (b"POST /auth/app-password HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{", b"}", b"4"),
    ],
    ids=["its first", "one under way"],
)
def test_a_request_of_a_connection_from_before_the_service_ends_is_answered(
    tmp_path: Path, sqlite_template: Path, begin: bytes, rest: bytes, status: bytes
) -> None:
    with serving(tmp_path, sqlite_template) as (server, made), closing(connected(made)) as connection:
        connection.sendall(begin)
        opened = server.server_state.connections
        until(lambda: [each.cycle is not None for each in opened.copy()] == [begin != b""])
        server.should_exit = True
        until(lambda: not server.servers[0].is_serving())
        connection.sendall(rest)
        assert all_of(connection).startswith(b"HTTP/1.1 " + status)
