"""Lets event streams wait for the next event of an account, or of all accounts, and for a change of an account's mirror.

What changed is read once for all streams of an account, however many there are.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Final

from eventstore.coordination.poller import Poller
from eventstore.coordination.threads import Joint, Threads
from eventstore.event_log import EventLog
from identity.accounts.credentials import Credentials, Principal
from outbox.views.overview import lane_marks
from projections.history import AuditFilter, HistoryEntry, events_after, newest_positions

POLL_SECONDS: Final = 0.5
ALL_ACCOUNTS: Final = None
MAX_EVENTS_AT_ONCE: Final = 100

logger: Final = logging.getLogger("mastertape.application")


@dataclass(frozen=True)
class AccountState:
    """The position of the newest event, and a mark that is another one after each change of the mirror."""

    newest: int = 0
    mark: Hashable = None
    """None for all accounts together, and before an account has a lane."""


@dataclass(frozen=True)
class Page:
    """Events as a stream shows them, and the position up to which there are no others."""

    text: str
    until: int


class EventPoller:
    """Knows the state of each account that a stream follows; `None` stands for all accounts."""

    def __init__(self, log: EventLog, threads: Threads, credentials: Credentials) -> None:
        self._log: Final = log
        self._credentials: Final = credentials
        self._usable: Final = Joint[tuple[str, int], frozenset[str]]()
        self._threads: Final = threads
        self._found: Final = Joint[str | None, AccountState]()
        self._pages: Final = Joint[tuple[str | None, int, int], Page]()
        self._poller: Final = Poller(
            self._states, threads, every_seconds=POLL_SECONDS, logger=logger, failed="news_read_failed"
        )

    async def after(
        self, did: str | None, known: AccountState, seconds: float, *, marks_from: float
    ) -> AccountState | None:
        """Wait for a newer event or, from this time of the loop's clock on, another mark.

        None when the time is up, or the process ends.
        """
        clock = asyncio.get_running_loop().time
        newest = known

        def is_news(state: AccountState) -> bool | None:
            nonlocal newest
            newest = state
            is_marked = state.mark != known.mark and clock() >= marks_from
            return state.newest > known.newest or is_marked or None

        return newest if await self._poller.wait(did, is_news, seconds) else None

    def wake(self, did: str | None) -> None:
        """Poll at once if a stream follows the account, or for all streams: a mirror has changed."""
        if did is None or self._poller.is_awaited(did):
            self._poller.wake()

    def stop(self) -> None:
        self._poller.stop()

    async def state(self, did: str | None) -> AccountState:
        """Return the account's state; no event up to its position can still appear."""

        async def read() -> AccountState:
            return (await self._threads.run(self._states, [did]))[did]

        return await self._found.result(did, read)

    async def may_follow(self, principal: Principal, newest: int) -> bool:
        """Whether the token of a stream still works, as of an event; it is read once for all streams of its account."""
        did = principal.did

        def read() -> frozenset[str]:
            return frozenset(each.id for each in self._credentials.issued_to(did))

        usable = await self._usable.result((did, newest), partial(self._threads.run, read))
        return principal.credential_id in usable

    async def page(
        self, did: str | None, after: int, until: int, show: Callable[[HistoryEntry], str]
    ) -> Page:
        """Return the next events after a position, up to another; all streams share one way to `show` them."""

        def read() -> Page:
            with self._log.database.read() as connection:
                found = events_after(
                    connection, AuditFilter(did), after=after, until=until, limit=MAX_EVENTS_AT_ONCE
                )
            return Page("".join(map(show, found.items)), found.cursor or until)

        return await self._pages.result((did, after, until), partial(self._threads.run, read))

    def _states(self, dids: list[str | None]) -> dict[str | None, AccountState]:
        accounts = [did for did in dids if did is not None]
        with self._log.database.read() as connection:
            newest, marks = newest_positions(connection, accounts), lane_marks(connection, accounts)
        found: dict[str | None, AccountState] = {
            did: AccountState(newest.get(did, 0), marks.get(did)) for did in accounts
        }
        if ALL_ACCOUNTS in dids:
            found[ALL_ACCOUNTS] = AccountState(self._log.stable_position())
        return found
