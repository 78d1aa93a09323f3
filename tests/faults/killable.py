"""The service in a process that is killed at a named point and started again: `python -m tests.faults.killable FILE LEASE serve`.

The modules are loaded once; every start is a fork. LEASE, in seconds, is that of refreshes and keys; relays keep theirs, which
nothing waits for after a kill.
"""

import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from types import FrameType

from eventstore import idempotency
from identity.sessions import session_store
from service.cli.main import main
from service.wiring import bootstrap
from tests.faults.failpoints import Trigger, install
from tests.remarks import record_kinds


def shorten_leases(seconds: int) -> None:
    """Let the leases of refreshes and keys end soon, so that tests need not wait for them."""
    session_store.REFRESH_LEASE_TTL = idempotency.LEASE = timedelta(seconds=seconds)
    idempotency.RENEWAL_SECONDS = seconds / 3


def supervise(trigger: Trigger, command: list[str]) -> int:
    """Run the command again and again, as long as it is the trigger that ends it."""
    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            main(command)
        trigger.lives(child)

        def leave(number: int, _frame: FrameType | None, child: int = child) -> None:
            os.kill(child, number)

        signal.signal(signal.SIGTERM, leave)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and trigger.armed):
            return os.waitstatus_to_exitcode(status)
        trigger.disarm()


if __name__ == "__main__":
    path, lease, *words = sys.argv[1:]
    told = Trigger(Path(path))
    install(told)
    bootstrap.record_kinds = record_kinds
    shorten_leases(int(lease))
    sys.exit(supervise(told, words))
