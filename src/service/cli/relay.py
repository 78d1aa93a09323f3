"""`mastertape relay`: a relay in a process without HTTP, which it does not import."""

import asyncio
import signal
from socket import socket

import click

from service.cli.preparing import prepare
from service.config.settings import load, override
from service.observability.logging import log_to_stderr
from service.process.lifespan import background_work
from service.process.supervisor import end_with_supervisor
from service.wiring.bootstrap import Container, Inherited


def relay(*, host: str | None, port: int | None, supervised: bool, metrics: int | None) -> None:
    if port is not None:
        override(metrics=f"{host or '127.0.0.1'}:{port}")
    elif host is not None:
        raise click.UsageError("--host needs --port: a relay listens on no port of its own")
    settings = load()
    log_to_stderr(settings.log_level)
    inherited = Inherited(metrics=socket(fileno=metrics) if metrics is not None else None)
    asyncio.run(_relay(prepare(settings, inherited, relay=True), supervised=supervised))


async def _relay(container: Container, *, supervised: bool) -> None:
    stop = asyncio.Event()
    if supervised:
        end_with_supervisor(stop.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    container.relay.on_settled = container.announcer.announce_settled  # requests wait elsewhere
    async with background_work(container, relay=True) as relay_task:
        click.echo("the relay is running")
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({relay_task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        failed = relay_task.done()
        stopping.cancel()
    if failed:
        raise click.ClickException("the relay failed; the log says why")
