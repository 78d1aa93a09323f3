"""Runs `mastertape` as a subprocess."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from devpds.ports import free_port
from service.config.settings import PREFIX
from tests.servers.preloaded import Forked

MASTERTAPE = Path(sys.executable).parent / "mastertape"
TIMEOUT_SECONDS = 180


def run(*args: str, **settings: object) -> subprocess.CompletedProcess[str]:
    env = environment({"PORT": free_port(), **settings})
    return subprocess.run([MASTERTAPE, *args], env=env, capture_output=True, text=True, check=False)


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return bare | {PREFIX + name: str(value) for name, value in settings.items()}


class Daemon:
    def __init__(self, log: Path, *args: str, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        with log.open("ab") as file:
            self.process = Forked(args, environment({"PORT": self.port, **settings}), file)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while text not in self.output:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"never printed {text!r}:\n{self.output}")
            time.sleep(0.05)

    def end(self, signal: int) -> int:
        self.process.send_signal(signal)
        return self.process.wait(TIMEOUT_SECONDS)

    @property
    def output(self) -> str:
        return self.log.read_text()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)


@contextmanager
def daemon(log: Path, *args: str, **settings: object) -> Iterator[Daemon]:
    started = Daemon(log, *args, **settings)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
