"""The command line as its users run it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from devpds.server import free_port
from service.config.settings import PREFIX

MASTERTAPE = Path(sys.executable).parent / "mastertape"
PATIENCE_SECONDS = 60


def run(*args: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; one that would listen is given a port that nobody has."""
    env = environment({"PORT": free_port(), **settings})
    return subprocess.run([MASTERTAPE, *args], env=env, capture_output=True, text=True, check=False)


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with these settings of ours and no others."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return bare | {PREFIX + name: str(value) for name, value in settings.items()}


class Daemon:
    """A command that stays until it is told to go."""

    def __init__(self, log: Path, *args: str, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [MASTERTAPE, *args],
                env=environment({"PORT": self.port, **settings}),
                stdout=output,
                stderr=output,
            )

    def wait_for(self, text: str) -> None:
        """Wait until it has said so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.said:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"never said {text!r}:\n{self.said}")
            time.sleep(0.05)

    def end(self, signal: int) -> int:
        """Send the signal and give the exit code."""
        self.process.send_signal(signal)
        return self.process.wait(PATIENCE_SECONDS)

    @property
    def said(self) -> str:
        """All that it has written."""
        return self.log.read_text()

    def get(self, path: str) -> httpx.Response:
        """GET."""
        return httpx.get(self.url + path, timeout=30)


@contextmanager
def daemon(log: Path, *args: str, **settings: object) -> Iterator[Daemon]:
    """A command for as long as the block."""
    started = Daemon(log, *args, **settings)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
