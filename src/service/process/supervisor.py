"""Runs the processes of `serve --workers`: API processes that accept from one socket, and a relay.

A process that ends is started again. SIGHUP replaces one after the other: the new one answers before the old one ends.
A process ends with its supervisor, however that ended, since it then finds the end of its standard input.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

logger: Final = logging.getLogger("mastertape.service")

STDIN: Final = 0
STOP_TIMEOUT_SECONDS: Final = 90.0
"""Longer than a process waits for its requests and its relay."""
FIRST_RESTART_PAUSE_SECONDS: Final = 1.0
MAX_RESTART_PAUSE_SECONDS: Final = 30.0


class ProcessNotStartedError(Exception):
    """A process ended before it was ready; its log says why."""


@dataclass(frozen=True)
class Program:
    """A `mastertape` command, and the descriptors that it inherits."""

    name: str
    arguments: Sequence[str]
    descriptors: Sequence[int] = ()

    async def start(self) -> asyncio.subprocess.Process:
        """Start it and wait for its first line, which says that it is ready; raises ProcessNotStartedError."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", "import mastertape; mastertape.main()", *self.arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=self.descriptors,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then ends the others in order
        )
        try:
            if process.stdout is not None and await process.stdout.readline():
                return process
        except asyncio.CancelledError:
            await stop(process)
            raise
        await process.wait()
        raise ProcessNotStartedError(self.name)


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a process in order; kill it when it does not end in time."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@dataclass
class Supervisor:
    """Keeps one process of each program running until SIGTERM or SIGINT."""

    programs: Sequence[Program]
    _running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, ready: str) -> None:
        """Start all and print `ready`; raises ProcessNotStartedError where one does not start, and ends the others."""
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        try:
            async with asyncio.TaskGroup() as starting:
                for program in self.programs:
                    starting.create_task(self._start(program))
            print(ready, flush=True)  # noqa: T201 - what `serve` says without workers
            replace = asyncio.Event()
            loop.add_signal_handler(signal.SIGHUP, replace.set)
            work = (*map(self._keep_running, self.programs), self._replace_whenever(replace))
            tasks = [asyncio.create_task(each) for each in work]
            await stopping.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except* ProcessNotStartedError as group:
            raise group.exceptions[0] from None
        finally:
            await asyncio.gather(*(stop(process) for process in self._running.values()))

    async def _start(self, program: Program) -> None:
        self._running[program.name] = await program.start()

    async def _keep_running(self, program: Program) -> None:
        clock, pause = asyncio.get_running_loop().time, FIRST_RESTART_PAUSE_SECONDS
        while True:
            process, began = self._running[program.name], clock()
            status = await process.wait()
            mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
            if process is not self._running[program.name]:
                continue  # it was replaced
            if clock() - began > MAX_RESTART_PAUSE_SECONDS:
                pause = FIRST_RESTART_PAUSE_SECONDS
            logger.error("process_ended", extra={"program": program.name, "status": status, "pause": pause})
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_RESTART_PAUSE_SECONDS)
            async with self._starting:
                if process is self._running[program.name]:  # a replacement may have begun meanwhile
                    with suppress(ProcessNotStartedError):
                        await self._start(program)

    async def _replace_whenever(self, asked: asyncio.Event) -> None:
        """Replace one program after the other, as far as they start."""
        while await asked.wait():
            asked.clear()
            async with self._starting:
                for program in self.programs:
                    old = self._running[program.name]
                    try:
                        new = await program.start()
                    except ProcessNotStartedError:
                        logger.error("process_not_replaced", extra={"program": program.name})  # noqa: TRY400
                        break
                    self._running[program.name] = new
                    await stop(old)
                    logger.info("process_replaced", extra={"program": program.name, "pid": new.pid})


def end_with_supervisor(end: Callable[[], None]) -> None:
    """Call `end` once the standard input of this process ends; its loop must be running."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(STDIN, 1):
            loop.remove_reader(STDIN)
            end()

    loop.add_reader(STDIN, read)
