"""After a restore: the database says what was true at an earlier point, and the PDSes are ahead of it.

`recover` ends what may have been used up since, and lets nothing be sent for an account until its records were looked
at. `look_over` is that look's end: what is newer on the PDS is held for its owner, and the account goes on.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from eventstore.commit_signals import announce
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from eventstore.locks import lock_for_append
from eventstore.restore_detection import (
    POSITIONS_SKIPPED,
    ends_before,
    newest_issued,
    newest_position,
    notice,
    restored_because,
    settle,
)
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.after_restore import active_dids, end_logins
from identity.accounts.after_restore import revoke_tokens as revoke_all
from identity.accounts.credentials import count_usable_tokens
from identity.sessions.session_store import SessionKind
from outbox.conflicts.newer_on_pds import keep_newer
from outbox.mirror.lanes import park_lane
from outbox.mirror.observe_only import (
    accounts_to_observe,
    is_account_observed,
    observe_all,
    observed_accounts,
    stop_observing,
)
from outbox.mirror.requeue import suspect
from outbox.mirror.tables import mirror_lane
from outbox.mirror.targets import wake_lane
from outbox.record.record import RecordUrls
from replay.reconcile.drift import DriftKind
from replay.reconcile.verify import Verified

RESTORED: Final = "restored"
"""Why these logins ended."""
DECLARED: Final = "an operator says so"
TO_BE_LOOKED_AT: Final = frozenset({DriftKind.MISSING, DriftKind.FOREIGN_EDIT, DriftKind.STALE})


@dataclass(frozen=True)
class Recovery:
    """What was done, or would be: why the database is taken for a restored one, and what that means."""

    because: str | None
    position: int
    next_position: int
    logins_ended: int = 0
    tokens: int = 0
    """Credentials of ours that work: also those that were revoked after the point."""
    accounts: int = 0
    """How many accounts nothing is sent for until `verify pds` has looked at them."""


def outlook(log: EventLog, *, seen: int = 0, nothing_lost: bool = False, force: bool = False) -> Recovery:
    """Say what `recover` would do, and change nothing; `seen` is the newest position that was ever seen."""
    with log.database.read() as connection:
        because, issued = restored_because(connection), newest_issued(connection)
        if because is None and (issued < seen or force):
            because = ends_before(connection, seen) if issued < seen else DECLARED
            issued += POSITIONS_SKIPPED
        logins, accounts = 0, observed_accounts(connection)
        if because is not None and nothing_lost:
            accounts = 0
        elif because is not None:
            logins = len(active_dids(connection, SessionKind.OAUTH))
            accounts = accounts_to_observe(connection)
        tokens = count_usable_tokens(connection, log.database.now(connection))
        return Recovery(because, newest_position(connection), issued + 1, logins, tokens, accounts)


def recover(
    log: EventLog, *, nothing_lost: bool = False, force: bool = False, revoke_tokens: bool = False
) -> Recovery:
    """Make a restored database fit to be worked on: all of it or nothing, and nothing the second time.

    `nothing_lost` is somebody's word that the log is whole, as after a failover without loss; `force` is their word that
    it was restored although nobody noticed.
    """
    if force and not _is_noticed(log):
        notice(log.database, DECLARED)
    with log.database.write() as connection:
        lock_for_append(connection, log.table, None)
        now = log.database.now(connection)
        because, logins = restored_because(connection), 0
        if because is not None:
            if nothing_lost:
                stop_observing(connection)
            else:
                observe_all(connection)
                logins = _end_logins(connection, log)
            if revoke_tokens:
                revoke_all(connection, now)
            settle(connection, log.database)
            announce(connection)
        return Recovery(
            because,
            newest_position(connection),
            newest_issued(connection) + 1,
            logins,
            count_usable_tokens(connection, now),
            observed_accounts(connection),
        )


def _is_noticed(log: EventLog) -> bool:
    with log.database.read() as connection:
        return restored_because(connection) is not None


def _end_logins(connection: Connection, log: EventLog) -> int:
    """End what a token that is used twice would end at the PDS as well: OAuth's logins.

    Who renews an app password's login twice gets the same tokens, or has to sign in; nothing ends by it.
    """
    dids = active_dids(connection, SessionKind.OAUTH)
    for did in dids:  # lanes before sessions
        park_lane(connection, did)
    end_logins(connection, SessionKind.OAUTH, RESTORED, log.database.now(connection))
    return len(dids)


def look_over(log: EventLog, found: Verified, urls: RecordUrls, envelope: Envelope) -> bool:
    """Hold what is newer on the PDS than in the log, have looked at what else differs, and let the account go on.

    False when there was nothing to let go on: its repo could not be read, or it is no observed one.
    """
    did = found.repo.did
    if found.problem is not None or not _is_observed(log, did):
        return False
    return log.transact(did, envelope, lambda unit: _look_over(unit, found, urls))


def _is_observed(log: EventLog, did: str) -> bool:
    with log.database.read() as connection:
        return is_account_observed(connection, did)


def _look_over(unit: UnitOfWork, found: Verified, urls: RecordUrls) -> bool:
    did = found.repo.did
    unit.connection.execute(select(mirror_lane.c.did).where(mirror_lane.c.did == did).with_for_update())
    if not is_account_observed(unit.connection, did):
        return False  # somebody else looked: what was found is older than what the relay has sent since
    for drift in found.drifts:
        if drift.kind is DriftKind.NEWER and drift.newer is not None and drift.found_cid is not None:
            keep_newer(unit, drift.key, drift.found_cid, drift.newer, urls)
    doubtful = [each.track_id for each in found.drifts if each.kind in TO_BE_LOOKED_AT]
    suspect(unit.connection, [track_id for track_id in doubtful if track_id is not None], unit.now)
    stop_observing(unit.connection, did)
    wake_lane(unit.connection, did, unit.now)
    announce(unit.connection)
    return True
