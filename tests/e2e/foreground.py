"""A program of this repository that runs in a terminal until Ctrl-C."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waits import until

END_SECONDS = 60


class Foreground:
    def __init__(self, log: Path, *args: str | Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen([sys.executable, "-m", *args], stdout=file, stderr=file)

    @property
    def output(self) -> str:
        return self._log.read_text()

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(END_SECONDS)


@contextmanager
def foreground(log: Path, *args: str | Path, said: str, seconds: float) -> Iterator[Foreground]:
    """Run a module until it has printed this, and end it afterwards, whatever happens."""
    program = Foreground(log, *args)
    try:
        until(lambda: said in program.output or program.process.poll() is not None, within=seconds)
        assert program.process.poll() is None, program.output
        yield program
    finally:
        program.process.kill()
        program.process.wait()
