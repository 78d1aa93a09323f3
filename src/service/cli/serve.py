"""`mastertape serve`: the HTTP API, with a relay in the same process."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import click
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.middleware.rate_limits import memory_file
from application.event_poller import EventPoller
from service.cli.preparing import prepare
from service.config.settings import Settings, load, override
from service.observability.logging import log_to_stderr
from service.process.http_connections import HttpConnection
from service.process.lifespan import background_work
from service.process.metrics_server import metrics_listener
from service.process.supervisor import ProcessNotStartedError, Program, Supervisor, end_with_supervisor
from service.wiring.bootstrap import Container, Inherited
from web.app import create_app

SHUTDOWN_TIMEOUT_SECONDS = 30
"""For requests in progress."""


def serve(
    *,
    host: str | None,
    port: int | None,
    workers: int,
    listener: int | None,
    rate_limits: int | None,
    metrics: int | None,
) -> None:
    override(host=host, port=port)
    settings = load()
    log_to_stderr(settings.log_level)
    if listener is not None:
        inherited = Inherited(rate_limits, socket.socket(fileno=metrics) if metrics is not None else None)
        _serve(settings.model_copy(update={"metrics": None}), socket.socket(fileno=listener), inherited)
        return
    with _listener(settings) as bound:
        if workers == 1:
            _serve(settings, bound)
        else:
            _supervise(settings, bound, workers)


def _serve(settings: Settings, listener: socket.socket, inherited: Inherited | None = None) -> None:
    container = prepare(settings, inherited, relay=settings.relay)
    # uvicorn raises the signal again once it has shut down
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = _Server(
        _config(settings, asgi(container, supervised=inherited is not None)),
        settings.base_url,
        container.services.event_poller,
        supervised=inherited is not None,
    )
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    if not server.started:
        raise click.ClickException("the service did not start; the log says why")


def _supervise(settings: Settings, listener: socket.socket, workers: int) -> None:
    """Run the API in so many processes, and the relay in one, until a signal ends them."""
    if settings.database_url.startswith("sqlite"):
        raise click.ClickException(
            f"{workers} workers need PostgreSQL: SQLite lets one process write at a time. "
            "Set MASTERTAPE_DATABASE_URL, or leave --workers out."
        )
    limits = memory_file()
    shared = ["serve", "--listener", str(listener.fileno()), "--rate-limits", str(limits)]
    programs = [
        Program(f"worker {number}", shared, (listener.fileno(), limits)) for number in range(1, workers + 1)
    ]
    if settings.relay:
        programs.insert(0, Program("relay", ["relay", "--supervised"]))
    if settings.metrics is not None:  # the first of all serves them; all count into its figures
        metrics = metrics_listener(settings.metrics).detach()
        first = programs[0]
        arguments = [*first.arguments, "--metrics", str(metrics)]
        programs[0] = Program(first.name, arguments, (*first.descriptors, metrics))
    with tempfile.TemporaryDirectory(prefix="mastertape-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            supervisor = Supervisor(programs)
            asyncio.run(supervisor.run(f"mastertape answers on {settings.base_url}"))
        except ProcessNotStartedError as error:
            raise click.ClickException(f"{error} did not start; the log says why") from None


class _Server(uvicorn.Server):
    """Prints the address once it serves, and ends event streams before it waits for requests."""

    def __init__(
        self, config: uvicorn.Config, url: str, event_poller: EventPoller, *, supervised: bool
    ) -> None:
        super().__init__(config)
        self._supervised, self._url, self._event_poller = supervised, url, event_poller

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            with suppress(BrokenPipeError):  # the supervisor was killed; what was taken is answered
                click.echo(f"mastertape answers on {self._url}")
        if self._supervised:
            end_with_supervisor(lambda: self.handle_exit(signal.SIGTERM, None))

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


def asgi(container: Container, *, supervised: bool = False) -> ASGIApp:
    """Return the ASGI application; it closes `container` on shutdown. Where it is supervised, the relay is another process."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        has_relay = container.settings.relay
        work = background_work(
            container, relay=has_relay and not supervised, beside_relay=has_relay and supervised
        )
        async with work:
            yield

    app = create_app(container.services)
    app.router.lifespan_context = lifespan
    if container.tracer is not None:
        container.tracer.watch_app(app)
    return app
