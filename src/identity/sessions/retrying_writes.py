"""Retries writes of data that exists nowhere else, such as new tokens whose predecessors are spent."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from typing import Final

from eventstore.errors import is_busy_or_away

logger = logging.getLogger("mastertape.identity")

FIRST_PAUSE_SECONDS: Final = 0.1
MAX_PAUSE_SECONDS: Final = 2.0
"""Once the database is back, the new tokens are stored before another process sends the old ones to the PDS."""


class RetryingWrites:
    """Retries a write until the database accepts it or the process ends."""

    def __init__(self) -> None:
        self._give_up_at = math.inf

    def stop_retrying_after(self, seconds: float) -> None:
        """Limit all retries to `seconds` from now, since the process is ending."""
        self._give_up_at = time.monotonic() + seconds

    async def write(self, work: Callable[[], object], **facts: object) -> None:
        """Run blocking work that must be idempotent: a commit whose answer was lost may have happened."""
        attempt, pause = 1, FIRST_PAUSE_SECONDS
        while True:
            try:
                await asyncio.to_thread(work)
            except Exception as error:
                fields = {**facts, "attempt": attempt, "error": type(error).__name__}
                if not is_busy_or_away(error) or time.monotonic() >= self._give_up_at:
                    logger.error("not_written", extra=fields)  # noqa: TRY400 - its text may contain the tokens
                    raise
                logger.log(
                    logging.WARNING if attempt == 1 else logging.DEBUG, "not_written_yet", extra=fields
                )
            else:
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            attempt, pause = attempt + 1, min(2 * pause, MAX_PAUSE_SECONDS)
