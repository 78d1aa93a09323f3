"""Serves /metrics, /healthz and /readyz on the address of the METRICS setting, without sign-in, for `serve` and `relay`."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST

from service.config.settings import SettingsError
from service.wiring.bootstrap import Container

TEXT: Final = "text/plain; charset=utf-8"
Reply = tuple[HTTPStatus, str, bytes]


def metrics_listener(address: str) -> socket.socket:
    """Listen on HOST:PORT; raises SettingsError."""
    host, _, port = address.rpartition(":")
    try:
        return socket.create_server((host, int(port)), reuse_port=False)
    except OSError as error:
        raise SettingsError(f"MASTERTAPE_METRICS: cannot listen on {address}: {error.strerror}") from error


@contextmanager
def serve_metrics(container: Container, is_working: Callable[[], bool]) -> Generator[None]:
    """Serve during the block, if there is a listener; /readyz fails once `is_working` returns False."""
    listener = container.metrics_listener
    if listener is None:
        yield
        return
    server = _Server(listener, _handler(container, is_working))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Accepts from a socket that listens already, perhaps together with another process."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        listener.setblocking(False)  # another process may have taken the connection


def _handler(container: Container, is_working: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    def ready() -> Reply:
        reason = "the relay has failed" if not is_working() else container.services.not_ready_because()
        if reason is not None:
            return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"{reason}\n".encode()
        return HTTPStatus.OK, TEXT, b"ready\n"

    routes: dict[str, Callable[[], Reply]] = {
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, container.metrics.text()),
        "/healthz": lambda: (HTTPStatus.OK, TEXT, b"ok\n"),
        "/readyz": ready,
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            unknown: Callable[[], Reply] = lambda: (HTTPStatus.NOT_FOUND, TEXT, b"not found\n")  # noqa: E731
            status, kind, content = routes.get(self.path.partition("?")[0], unknown)()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing: monitoring asks every few seconds."""

    return Handler
