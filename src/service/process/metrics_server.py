"""A separate listener for monitoring: /metrics, /healthz and /readyz, without sign-in, for `serve` and `relay` alike."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST

from service.config.settings import SettingsError
from service.wiring.bootstrap import Application

TEXT: Final = "text/plain; charset=utf-8"
Answer = tuple[HTTPStatus, str, bytes]


@contextmanager
def monitored(application: Application, is_working: Callable[[], bool]) -> Generator[None]:
    """Answer for as long as the block, where the settings name an address; not ready once it is not working."""
    place = application.settings.metrics
    if place is None:
        yield
        return
    name, _, port = place.rpartition(":")
    try:
        server = ThreadingHTTPServer((name, int(port)), _handler(application, is_working))
    except OSError as error:
        raise SettingsError(f"MASTERTAPE_METRICS: cannot listen on {place}: {error.strerror}") from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(application: Application, is_working: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    def ready() -> Answer:
        reason = "the relay has failed" if not is_working() else application.services.not_ready_because()
        if reason is not None:
            return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"{reason}\n".encode()
        return HTTPStatus.OK, TEXT, b"ready\n"

    answers: dict[str, Callable[[], Answer]] = {
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, application.metrics.text()),
        "/healthz": lambda: (HTTPStatus.OK, TEXT, b"ok\n"),
        "/readyz": ready,
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            unknown: Callable[[], Answer] = lambda: (HTTPStatus.NOT_FOUND, TEXT, b"not found\n")  # noqa: E731
            status, kind, content = answers.get(self.path.partition("?")[0], unknown)()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: it is asked every few seconds."""

    return Handler
