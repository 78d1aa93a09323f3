"""Writes of what is kept nowhere else, such as tokens whose predecessors are spent."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from typing import Final

from eventstore.errors import is_busy_or_away

logger = logging.getLogger("mastertape.identity")

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
"""Once the database is back, these are written before anybody else would ask the PDS with the old tokens."""


class PatientWrites:
    """Tries until the database takes a write, for as long as the process goes on."""

    def __init__(self) -> None:
        self._give_up_at = math.inf

    def give_up_in(self, seconds: float) -> None:
        """Try for so long and no longer: the process is to end."""
        self._give_up_at = time.monotonic() + seconds

    async def write(self, work: Callable[[], object], **facts: object) -> None:
        """Run blocking work that may be done twice: a commit that nobody answered may have happened."""
        attempt, pause = 1, FIRST_PAUSE
        while True:
            try:
                await asyncio.to_thread(work)
            except Exception as error:
                told = {**facts, "attempt": attempt, "error": type(error).__name__}
                if not is_busy_or_away(error) or time.monotonic() >= self._give_up_at:
                    logger.error("not_written", extra=told)  # noqa: TRY400 - its text may hold what was to be written
                    raise
                logger.log(logging.WARNING if attempt == 1 else logging.DEBUG, "not_written_yet", extra=told)
            else:
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            attempt, pause = attempt + 1, min(2 * pause, LONGEST_PAUSE)
