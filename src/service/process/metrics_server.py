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

    def answer(path: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, container.metrics.text()
        if path == "/healthz":
            return HTTPStatus.OK, TEXT, b"ok\n"
        if path != "/readyz":
            return HTTPStatus.NOT_FOUND, TEXT, b"not found\n"
        reason = container.services.not_ready_because() if is_working() else "the relay has failed"
        if reason is not None:
            return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"{reason}\n".encode()
        return HTTPStatus.OK, TEXT, b"ready\n"

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            status, kind, content = answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing: monitoring asks every few seconds."""

    server = _Server(listener, Handler)
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
