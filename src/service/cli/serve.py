"""`mastertape serve`: the HTTP API, with a relay in the same process."""

import signal
import socket
from types import FrameType

import click
import uvicorn
from starlette.types import ASGIApp

from application.event_poller import EventPoller
from service.cli.preparing import prepare
from service.config.settings import Settings, load
from service.observability.logging import log_to_stderr
from service.process.app import asgi
from service.process.http_connections import HttpConnection

SHUTDOWN_TIMEOUT_SECONDS = 30
"""For requests in progress."""


@click.command()
def serve() -> None:
    """Serve HTTP, and run a relay beside it unless RELAY is off."""
    settings = load()
    log_to_stderr(settings.log_level)
    with _listener(settings) as listener:
        container = prepare(settings)
        signal.signal(signal.SIGTERM, _exit)  # uvicorn raises the signal again once it has shut down
        server = _Server(
            _config(settings, asgi(container)), settings.base_url, container.services.event_poller
        )
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            raise SystemExit(0) from None
    if not server.started:
        raise click.ClickException("the service did not start; the log says why")


class _Server(uvicorn.Server):
    """Prints the address once it serves, and ends event streams before it waits for requests."""

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
        loop="uvloop",
        ws="none",  # an installed library would otherwise enable WebSockets
        timeout_keep_alive=75,  # longer than that of reverse proxies, so that they never reuse a closed connection
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_SECONDS,
    )


def _listener(settings: Settings) -> socket.socket:
    """Bind the port first, so that a second process fails before it touches the database."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is given; otherwise every response takes 40 ms longer
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


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
