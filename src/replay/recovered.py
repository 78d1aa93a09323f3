"""After a restore of the database to an earlier point: nothing is sent for an account before its records were verified.

1. `recover` ends logins whose tokens may have been used since, and pauses the delivery of every account.
2. The caller verifies an account (replay.reconcile.verify).
3. `resume_account` holds what is newer on the PDS for its owner, and resumes the delivery of the account.
"""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from eventstore.change import Envelope
from eventstore.coordination.commit_signals import announce
from eventstore.coordination.restore_detection import (
    POSITIONS_SKIPPED,
    ends_before,
    mark_recovered,
    mark_restored,
    newest_issued,
    newest_position,
    restored_because,
)
from eventstore.event_log import EventLog
from eventstore.streams.append import lock_log
from eventstore.unit_of_work import UnitOfWork
from eventstore.untrusted import parsed
from identity.accounts.credentials import count_usable_tokens, revoke_all_tokens
from identity.sessions.session_store import SessionKind, active_dids, end_logins
from outbox.conflicts.conflicts import keep_newer
from outbox.mirror.lanes import park_lane
from outbox.mirror.observe_only import (
    accounts_to_observe,
    end_leases,
    is_account_observed,
    observe_all,
    observed_accounts,
    stop_observing,
)
from outbox.mirror.requeue import reverify
from outbox.mirror.tables import lane
from outbox.mirror.targets import wake_lane
from outbox.record.dag_cbor import Record
from outbox.record.kind import RecordKinds
from replay.reconcile.drift import Drift, DriftKind
from replay.reconcile.verify import Verified

RESTORED: Final = "restored"
"""The reason that the ended logins record."""
DECLARED: Final = "an operator says so"
REVERIFIED: Final = frozenset(
    {DriftKind.MISSING, DriftKind.FOREIGN_EDIT, DriftKind.STALE, DriftKind.WITHDRAWN}
)


@dataclass(frozen=True)
class Recovery:
    """What `recover` did, or would do; `because` says why the database counts as restored, None if it does not."""

    because: str | None
    position: int
    next_position: int
    logins_ended: int = 0
    tokens: int = 0
    """Credentials of ours that work, including those revoked after the point of the restore."""
    accounts: int = 0
    """How many accounts wait for `verify pds`, with nothing sent for them."""


def preview_recovery(
    log: EventLog, *, seen: int = 0, nothing_lost: bool = False, if_noticed: bool = False
) -> Recovery:
    """Return what `recover` would do, and change nothing; `seen` is the newest position ever seen."""
    with log.database.read() as connection:
        because, issued = restored_because(connection), newest_issued(connection)
        if because is None and (issued < seen or not (if_noticed or nothing_lost)):
            because = ends_before(newest_position(connection), seen) if issued < seen else DECLARED
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
    log: EventLog, *, nothing_lost: bool = False, if_noticed: bool = False, revoke_tokens: bool = False
) -> Recovery:
    """Recover from a restore, in one transaction, even if it was not detected: the operator knows of it.

    With `nothing_lost`, as after a failover without loss, or `if_noticed`, nothing changes unless a restore was detected.
    """
    with log.database.write() as connection:
        lock_log(connection)
        if restored_because(connection) is None and not (if_noticed or nothing_lost):
            mark_restored(log.database, DECLARED)
        now = log.database.now(connection)
        because, logins = restored_because(connection), 0
        if because is not None:
            end_leases(connection)
            if nothing_lost:
                stop_observing(connection)
            else:
                observe_all(connection)
                # A refresh token that was used since would, used again, end the login at the PDS too. Logins of app
                # passwords stay: a second refresh returns the same tokens or an error.
                dids = active_dids(connection, SessionKind.OAUTH)
                for did in dids:  # lanes before sessions
                    park_lane(connection, did)
                end_logins(connection, SessionKind.OAUTH, RESTORED, now)
                logins = len(dids)
            if revoke_tokens:
                revoke_all_tokens(connection, now)
            mark_recovered(connection, log.database)
            announce(connection)
        return Recovery(
            because,
            newest_position(connection),
            newest_issued(connection) + 1,
            logins,
            count_usable_tokens(connection, now),
            observed_accounts(connection),
        )


def resume_account(log: EventLog, found: Verified, kinds: RecordKinds, envelope: Envelope) -> bool:
    """Hold what is newer on the PDS than in the log, mark what else differs, and resume deliveries of the account.

    False when there was nothing to resume: its repo could not be read, or its deliveries were not paused.
    """
    did = found.repo.did
    if found.problem is not None:
        return False
    with log.database.read() as connection:
        if not is_account_observed(connection, did):
            return False

    def resume(unit: UnitOfWork) -> bool:
        unit.connection.execute(sa.select(lane.did).where(lane.did == did).with_for_update())
        if not is_account_observed(unit.connection, did):
            return False  # another process has resumed it: the relay may have sent something since `found`
        newer = [(each, _record(each)) for each in found.drifts if each.kind is DriftKind.NEWER]
        for drift, record in newer:
            keep_newer(unit, drift.key, drift.found_cid, record, kinds)
        for key in found.unread:
            keep_newer(unit, key, None, None, kinds)
        differing = [each.subject for each in found.drifts if each.kind in REVERIFIED]
        differing += [drift.subject for drift, record in newer if record is None]
        reverify(unit.connection, [subject for subject in differing if subject is not None], unit.now)
        stop_observing(unit.connection, did)
        wake_lane(unit.connection, did, unit.now)
        announce(unit.connection, did)
        return True

    return log.transact(did, envelope, resume)


def _record(drift: Drift) -> Record | None:
    """Return the record that was found; None if it is one of too many, or too complex, and the relay has to read it."""
    try:
        record = parsed(drift.newer) if drift.newer is not None else None
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
