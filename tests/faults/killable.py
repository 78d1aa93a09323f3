"""The service in a process that is killed at a named point and started again, with the arguments FILE LEASE serve.

Every start is a fork. LEASE, in seconds, is that of refreshes and keys, and the time in which lists
follow records; relays keep their leases, which nothing waits for after a kill.
"""

import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType

from application.lists import liked, texts
from application.releases import publishing
from eventstore import idempotency
from identity.sessions import session_store
from outbox.lists import references
from service.cli.main import main as mastertape
from tests.faults.failpoints import Trigger, install


def shorten_leases(seconds: int) -> None:
    """Let the leases of refreshes and keys end soon, so that tests need not wait for them."""
    session_store.REFRESH_LEASE_TTL = idempotency.LEASE = timedelta(seconds=seconds)
    idempotency.RENEWAL_SECONDS = seconds / 3


def shorten_pauses(seconds: int) -> None:
    """Let lists follow records soon after they have, and jobs go on soon whose process was killed."""
    references.OWN = replace(references.OWN, seconds=seconds)
    references.ELSEWHERE = replace(references.ELSEWHERE, seconds=seconds)
    references.REFERENCE_SECONDS = 10.0  # a tenth of which is a job's first pause
    liked.DEBOUNCE = timedelta(seconds=1)
    texts.FIRST_PAUSE_SECONDS = publishing.FIRST_PAUSE_SECONDS = 1.0


def supervise(trigger: Trigger, command: list[str]) -> int:
    """Run the command again and again, as long as it is the trigger that ends it."""
    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            mastertape(command)
        trigger.lives(child)

        def leave(number: int, _frame: FrameType | None, child: int = child) -> None:
            os.kill(child, number)

        signal.signal(signal.SIGTERM, leave)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and trigger.armed):
            return os.waitstatus_to_exitcode(status)
        trigger.disarm()


def main(args: list[str]) -> int:
    path, lease, *words = args
    trigger = Trigger(Path(path))
    install(trigger)
    shorten_pauses(int(lease))
    shorten_leases(int(lease))
    return supervise(trigger, words)
