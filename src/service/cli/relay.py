"""`mastertape relay`: a relay alone, in a process that loads nothing of HTTP's."""

import asyncio
import signal

import click

from service.cli.preparing import prepared
from service.config.settings import load
from service.observability.logging import log_to_stderr
from service.process.lifespan import working
from service.wiring.bootstrap import Application


@click.command()
def relay() -> None:
    """Run only a relay: any number of them, on any machines, share the work."""
    settings = load()
    log_to_stderr(settings.log_level)
    asyncio.run(_relay(prepared(settings)))


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
