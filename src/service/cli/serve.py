"""`mastertape serve` and `mastertape relay`: the long-running processes."""

import asyncio
import gc
import signal
import socket
from types import FrameType

import click
import uvicorn
from starlette.types import ASGIApp

from api.bodies.limits import HEADERS_BYTES, URL_BYTES
from api.news import News
from projections.rebuild import rebuild
from service.app import asgi
from service.bootstrap import Application, build
from service.cli.output import bar
from service.connections import HttpConnection
from service.logging import log_to_stderr
from service.migrate import upgrade_database
from service.newest_seen import look_for_restore
from service.readiness import outdated, require_ready
from service.settings import Settings, load
from service.work import working

GRACE_SECONDS = 30
"""How long requests in progress may take to finish."""


@click.command()
def serve() -> None:
    """Serve HTTP, and run a relay beside it unless RELAY is off."""
    settings = load()
    log_to_stderr(settings.log_level)
    with _listener(settings) as listener:
        application = build(settings)
        prepare(application)
        signal.signal(signal.SIGTERM, _leave)  # what uvicorn raises again at its end, when all is done
        server = _Server(_config(settings, asgi(application)), settings.base_url, application.services.news)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            raise SystemExit(0) from None
    if not server.started:
        raise click.ClickException("the service did not start; the log says why")


@click.command()
def relay() -> None:
    """Run only a relay: any number of them, on any machines, share the work."""
    settings = load()
    log_to_stderr(settings.log_level)
    application = build(settings)
    prepare(application)
    asyncio.run(_relay(application))


def prepare(application: Application) -> None:
    """Make our own SQLite file ready; of a database that others share, say what an operator has to do."""
    log = application.log
    if not log.database.is_sqlite:
        require_ready(log)
    else:
        upgrade_database(log.database)
        if stale := outdated(log):
            with bar("rebuilding") as progress:
                rebuild(log, stale, progress=progress)
    look_for_restore(log, application.settings)
    gc.collect()
    gc.freeze()  # what is here now stays: a full collection would go through it again and again, and every thread would wait


class _Server(uvicorn.Server):
    """Says where it is as soon as it answers, and ends streams before it waits for requests to end."""

    def __init__(self, config: uvicorn.Config, url: str, news: News) -> None:
        super().__init__(config)
        self._url = url
        self._news = news

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            click.echo(f"mastertape answers on {self._url}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._news.stop()
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


async def _relay(application: Application) -> None:
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    async with working(application, relay=True) as flights:
        click.echo("the relay is running")
        asked = asyncio.create_task(asked_to_stop.wait())
        await asyncio.wait({flights, asked}, return_when=asyncio.FIRST_COMPLETED)
        failed = flights.done()
        asked.cancel()
    if failed:
        raise click.ClickException("the relay failed; the log says why")
