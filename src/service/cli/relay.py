"""`mastertape relay`: a relay in a process without HTTP, which it does not import."""

import asyncio
import signal

import click

from service.cli.preparing import prepare
from service.config.settings import load
from service.observability.logging import log_to_stderr
from service.process.lifespan import background_work
from service.wiring.bootstrap import Container


@click.command()
def relay() -> None:
    """Run only a relay: any number of them, on any machines, share the work."""
    settings = load()
    log_to_stderr(settings.log_level)
    asyncio.run(_relay(prepare(settings, relay=True)))


async def _relay(container: Container) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with background_work(container, relay=True) as relay_task:
        click.echo("the relay is running")
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({relay_task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        failed = relay_task.done()
        stopping.cancel()
    if failed:
        raise click.ClickException("the relay failed; the log says why")
