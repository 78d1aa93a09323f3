"""`mastertape serve`: HTTP, and a relay beside it."""

import signal
import socket
from types import FrameType

import click
import uvicorn
from starlette.types import ASGIApp

from api.middleware.request_limits import HEADERS_BYTES, URL_BYTES
from application.event_poller import EventPoller
from service.cli.preparing import prepared
from service.config.settings import Settings, load
from service.observability.logging import log_to_stderr
from service.process.app import asgi
from service.process.http_connections import HttpConnection

GRACE_SECONDS = 30
"""How long requests in progress may take to finish."""


@click.command()
def serve() -> None:
    """Serve HTTP, and run a relay beside it unless RELAY is off."""
    settings = load()
    log_to_stderr(settings.log_level)
    with _listener(settings) as listener:
        application = prepared(settings)
        signal.signal(signal.SIGTERM, _leave)  # what uvicorn raises again at its end, when all is done
        server = _Server(
            _config(settings, asgi(application)), settings.base_url, application.services.event_poller
        )
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            raise SystemExit(0) from None
    if not server.started:
        raise click.ClickException("the service did not start; the log says why")


class _Server(uvicorn.Server):
    """Says where it is as soon as it answers, and ends streams before it waits for requests to end."""

    def __init__(self, config: uvicorn.Config, url: str, event_poller: EventPoller) -> None:
        super().__init__(config)
        self._url = url
        self._event_poller = event_poller

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            click.echo(f"mastertape answers on {self._url}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._event_poller.stop()
        await super().shutdown(sockets)


def _config(settings: Settings, app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        http=HttpConnection,
        ws="none",  # nobody here speaks it, though a library that could is installed
        h11_max_incomplete_event_size=URL_BYTES + HEADERS_BYTES,
        timeout_keep_alive=75,  # longer than the proxies in front, so that they never meet a closed connection
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _listener(settings: Settings) -> socket.socket:
    """Take the port before anything else, so that a second process stops before it touches the database."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's delay off only where the protocol is named; with it, every answer takes 40 ms more
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise click.ClickException(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from error
    return listener


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
