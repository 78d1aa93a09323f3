"""`mastertape`, or what kills it, by forks of one process that has loaded its modules: loading them takes longer than most tests of a service.

The demo, the README's commands, and what `run` runs, start it as a user does.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, BinaryIO, NoReturn

import demo.service
from demo.service import MASTERTAPE
from devpds.process import Process
from service.cli.main import freeze_startup_objects

MESSAGE_BYTES = 128 * 1024
KILLABLE = "tests.faults.killable"
MODULES = {str(MASTERTAPE): "service.cli.main", KILLABLE: KILLABLE}
"""Of each program, the module whose `main` it runs."""


class Forked:
    """What `subprocess.Popen` is for a program; it ends when this process does."""

    stdin = None

    def __init__(
        self, args: Iterable[str], env: Mapping[str, str], output: BinaryIO, program: str = str(MASTERTAPE)
    ) -> None:
        self.returncode: int | None = None
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            message = json.dumps([program, [*args], {**env}]).encode()
            socket.send_fds(_loaded(), [message], [output.fileno(), its.fileno()])
        self.pid = int(self._socket.recv(MESSAGE_BYTES))

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._socket], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("mastertape", timeout or 0)
            self.returncode = int(self._socket.recv(MESSAGE_BYTES))
            self._socket.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Process(Process):
    def _spawn(self, log: BinaryIO) -> Any:
        at = next((place for place, arg in enumerate(self.args) if arg in MODULES), None)
        if at is None or "LD_PRELOAD" in self.env:  # a fork has loaded its libraries
            return super()._spawn(log)
        unset = {each.removeprefix("--unset=") for each in self.args[:at]}
        env = {name: value for name, value in (os.environ | self.env).items() if name not in unset}
        return Forked(self.args[at + 1 :], env, log, self.args[at])


class Service(demo.service.Service):
    process_type = _Process


@cache
def _loaded() -> socket.socket:
    """Start the process that is forked, and return where it takes requests."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())],
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C ends the tests, which ends it
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers
    while True:
        message, received, *_ = socket.recv_fds(requests, MESSAGE_BYTES, 2)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _keep(*json.loads(message), *received)
        for each in received:
            os.close(each)


def _keep(program: str, args: list[str], env: dict[str, str], output: int, asked: int) -> NoReturn:
    """Start the program, tell how it ends, and kill it where nobody listens any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.close(asked)
        _run(program, args, env, output)
    with socket.socket(fileno=asked) as asking, suppress(BrokenPipeError):
        asking.send(str(child).encode())
        if asking in select.select([asking, os.pidfd_open(child)], [], [])[0]:
            os.killpg(child, signal.SIGKILL)  # and what it has started
        asking.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    os._exit(0)


def _run(program: str, args: list[str], env: dict[str, str], output: int) -> NoReturn:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [program, *args]
    sys.exit(import_module(MODULES[program]).main(args))


if __name__ == "__main__":
    with freeze_startup_objects():
        import service.cli.main
        import service.cli.output
        import service.cli.relay
        import service.cli.serve  # noqa: F401
        import tests.faults.killable  # noqa: F401
    _serve(socket.socket(fileno=int(sys.argv[1])))
