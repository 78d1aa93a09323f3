"""A server process that ends when this process does."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

# The shell execs the child, so its pid is the child's. The subshell that it leaves behind reads from a pipe of ours, which the
# kernel closes however we die, and then kills the child.
LEASH = 'exec 3<&0; (read -r _ <&3 || kill -{signal} $$) & exec "$@" </dev/null 3<&-'


class ProcessError(RuntimeError):
    """The process did not start or become ready."""


class Process:
    """One server process: start, stop, kill and start again."""

    def __init__(
        self,
        args: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.args = [str(arg) for arg in args]
        self.log = log
        self.env = dict(env or {})
        self.cwd = cwd
        self.user = user
        self.stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        if self._child is None:
            raise ProcessError(f"{self.args[0]} was not started")
        return self._child.pid

    def start(self, ready: Callable[[], bool], *, seconds: float = 180) -> None:
        """Start unless running, and return once `ready` is true; raises ProcessError."""
        if self.running:
            return
        self._reap()
        with self.log.open("ab") as log:
            self._child = self._spawn(log)
        self._await(ready, seconds)

    def stop(self, *, seconds: float = 20) -> None:
        """Send the stop signal; kill the process if it does not end in time."""
        if self._child is None:
            return
        if self.running:
            self._child.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """Kill the process, as a crash would."""
        if self.running and self._child is not None:
            self._child.kill()
        self._reap()

    def _spawn(self, log: BinaryIO) -> "subprocess.Popen[bytes]":
        leash = LEASH.format(signal=self.stop_signal.name.removeprefix("SIG"))
        return subprocess.Popen(
            ["/bin/sh", "-c", leash, "leash", *self.args],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | self.env,
            cwd=self.cwd,
            user=self.user,
            start_new_session=True,  # Ctrl-C reaches only us, and we stop the servers in order
        )

    def _reap(self) -> None:
        if self._child is None:
            return
        self._child.wait()
        if self._child.stdin is not None and not self._child.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.write(
                    b"\n"
                )  # a line instead of the end of input: the subshell ends without a kill
                self._child.stdin.flush()
            self._child.stdin.close()

    def _await(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                tail = self.log.read_text(errors="replace")[-2000:]
                raise ProcessError(f"{' '.join(self.args)} did not get ready in {seconds:.0f} s:\n{tail}")
            time.sleep(0.05)
