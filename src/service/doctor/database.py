"""Checks of the database: schema, read models, restores, keys, accounts, records, scans."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, case, func, select

from api.responses.ops.waits import oldest_pending
from eventstore.errors import PooledConnectionError
from eventstore.event_log import EventLog
from eventstore.restore_detection import newest_issued, restored_because
from identity.errors import DecryptionError
from identity.sessions.encryption import Cipher
from identity.sessions.session_store import PURPOSE, pds_session
from outbox.mirror.observe_only import observed_accounts
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from outbox.mirror.tables import PAST, delivery_attempt, mirror_lane, repo_scan
from outbox.pds.verdict import Kind
from outbox.relay.journal import ACKNOWLEDGING
from outbox.views import overview
from outbox.views.causes import causes
from outbox.views.overview import AT_WORK, LANE_STATE, LANES_OF_HOSTS
from outbox.views.status import FAILING_SINCE, STATE, TARGETS_AT_WORK
from replay.reconcile.outdated import sample_outdated
from replay.reconcile.scan import IS_SCANNED
from service.config.secret_keys import known_secret_keys
from service.config.settings import Settings
from service.doctor.checks import Checks, fail, ok, utc, warn
from service.observability.readiness import outdated_projections
from service.observability.subscribers import SubscriberKind, subscriber_rows
from service.schema.high_water_mark import seen_position
from service.schema.migrate import newest, revision_of
from service.wiring.log import media_store, record_kinds, record_urls

MAX_PENDING_AGE: Final = timedelta(minutes=5)
FAILURE_WINDOW: Final = timedelta(hours=1)
MAX_PARKED_SHARE: Final = 0.05
MAX_FAILED_SHARE: Final = 0.5
LATE_SCAN_INTERVALS: Final = 3
"""A repo is late when its last scan is more than this many scan intervals ago."""
SUCCESSFUL: Final = (*ACKNOWLEDGING, Kind.READ_BACK.value)


def connection(log: EventLog, settings: Settings) -> Checks:
    """Check that a process with a relay has a direct connection."""
    try:
        log.database.require_direct()
    except PooledConnectionError as error:
        if settings.relay:
            yield fail(
                "database",
                str(error),
                "set RELAY to off here, and run `mastertape relay` with a direct DATABASE_URL",
            )
        else:
            yield ok("database", f"{log.database.dialect}, through a pooler: for requests only")
    else:
        yield ok("database", log.database.dialect)


def schema(log: EventLog) -> Checks:
    """Check the version of the schema and of the read models."""
    revision = revision_of(log.database)
    if revision != newest():
        yield fail(
            "schema", f"{revision or 'empty'}, but this version needs {newest()}", "run `mastertape migrate`"
        )
        return
    yield ok("schema", f"{revision}")
    if stale := outdated_projections(log):
        names = ", ".join(each.name for each in stale)
        yield fail("read models", f"made by another version: {names}", "run `mastertape rebuild`")
    else:
        yield ok("read models", "made by this version")


def subscribers(log: EventLog) -> Checks:
    """Check that none of what follows the log after its commits stands still."""
    with log.database.read() as connection:
        rows = subscriber_rows(connection, log)
    after = [each for each in rows if each.kind is SubscriberKind.AFTER_COMMIT]
    still = [f"{each.name} ({each.behind:.0f} s)" for each in after if each.stands_still]
    if still:
        yield warn(
            "subscribers",
            f"{', '.join(still)} had something to do and did not begin",
            "see `mastertape status`, and whether `mastertape relay`, or `serve` with RELAY on, runs",
        )
    else:
        yield ok("subscribers", f"all {len(rows)} follow the log")


def restores(log: EventLog, settings: Settings) -> Checks:
    """Check that the database was not restored, and no account waits for its verification."""
    seen = seen_position(settings)
    with log.database.read() as connection:
        because, waiting = restored_because(connection), observed_accounts(connection)
        issued = newest_issued(connection)
    if because is not None or issued < seen:
        found = because or f"the log ends before position {seen}, which it had reached before"
        promoted = "" if settings.is_sqlite else "; with --nothing-lost if a synchronous standby was promoted"
        yield fail("restore", f"{found}; nothing is sent to any PDS", f"run `mastertape recovered`{promoted}")
    elif waiting:
        yield warn(
            "restore",
            f"{waiting} accounts have to be verified first; nothing is sent for them",
            "run `mastertape verify pds`",
        )
    else:
        yield ok("restore", "no restore was noticed")


def keys(log: EventLog, settings: Settings) -> Checks:
    """Check that SECRET_KEYS decrypt all logins, and with the first key."""
    with log.database.read() as connection:
        sealed = connection.execute(
            select(pds_session.c.did, pds_session.c.sealed).where(pds_session.c.sealed.is_not(None))
        ).all()
    known = known_secret_keys(settings)
    if not known:
        if sealed:
            yield fail(
                "keys", f"there are none, but {len(sealed)} logins are encrypted", "restore SECRET_KEYS"
            )
        else:
            yield ok("keys", "none yet: the first start generates them")
        return
    cipher = Cipher(known)
    undecryptable = sum(not _decrypts(cipher, row.did, row.sealed) for row in sealed)
    old = sum(not cipher.is_current(row.sealed) for row in sealed) - undecryptable
    if undecryptable:
        yield fail(
            "keys",
            f"{undecryptable} of {len(sealed)} logins cannot be decrypted",
            "put the key that encrypted them back into SECRET_KEYS; if it is lost: `mastertape reseal --end-lost`, and their "
            "owners sign in again",
        )
    elif old:
        yield warn(
            "keys",
            f"{old} of {len(sealed)} logins are encrypted with an older key",
            "run `mastertape reseal`, then remove the older key",
        )
    else:
        yield ok("keys", f"they decrypt all {len(sealed)} logins")


def accounts(log: EventLog, away: Collection[str]) -> Checks:
    """Check that few accounts wait for a sign-in; those whose PDS was found `away` are not at work."""
    is_away = and_(LANE_STATE.in_(AT_WORK), mirror_lane.c.host.in_(list(away)))
    state = case((is_away, MirrorReason.PDS_AWAY.value), else_=LANE_STATE)
    with log.database.read() as connection:
        rows = connection.execute(
            select(
                state.label("mirror_state"),
                func.count(mirror_lane.c.did).label("lanes"),
                func.min(overview.FAILING_SINCE).label("since"),
            )
            .select_from(LANES_OF_HOSTS)
            .where(mirror_lane.c.host != "")
            .group_by("mirror_state")
            .order_by("mirror_state")
        ).all()
    states: dict[str, int] = {row.mirror_state: row.lanes for row in rows}
    total = sum(states.values())
    others = [row for row in rows if row.mirror_state != LaneState.READY]
    said = ", ".join(f"{row.lanes} {row.mirror_state}{_since(row.since)}" for row in others) or "all at work"
    if others and states.get(LaneState.AUTH_REQUIRED, 0) > MAX_PARKED_SHARE * total:
        yield warn(
            "accounts",
            f"{total}: {said}",
            "many wait for a sign-in: see `GET /ops/lanes?state=auth_required`",
        )
    else:
        yield ok("accounts", f"{total}: {said}")


def records(log: EventLog) -> Checks:
    """Check the age of pending records, rejected records, and the share of failed attempts."""
    with log.database.read() as connection:
        now = log.database.now(connection)
        since = min(oldest_pending(connection).values(), default=None)
        rows = connection.execute(
            select(
                STATE.label("mirror_state"),
                func.count().label("records"),
                func.min(FAILING_SINCE).label("since"),
            )
            .select_from(TARGETS_AT_WORK)
            .group_by("mirror_state")
        ).all()
        failed, attempts = _attempts(connection, now - FAILURE_WINDOW)
        last = _last_cause(connection, now)
    states = {row.mirror_state: row for row in rows}
    pending, rejected = states.get(MirrorState.PENDING), states.get(MirrorState.REJECTED)
    age = now - since if since is not None else timedelta()
    waiting = f"{pending.records if pending else 0} pending, the oldest for {age.total_seconds():.0f} s"
    if age > MAX_PENDING_AGE:
        yield warn("records", waiting, "is a relay running? `GET /ops/hosts` shows hosts that are down")
    else:
        yield ok("records", waiting)
    if rejected is not None:
        yield warn(
            "rejected",
            f"{rejected.records} records{_since(rejected.since)}",
            "`GET /ops/failures` says why; `mastertape redrive` retries them",
        )
    share = f"{failed} of {attempts} attempts of the last hour failed{last}"
    if attempts and failed > MAX_FAILED_SHARE * attempts:
        yield warn("failures", share, "`mastertape failures` says why, `mastertape status` says where")
    else:
        yield ok("failures", share)


def scans(log: EventLog, settings: Settings) -> Checks:
    """Check that the scans are recent and found no differences."""
    with log.database.read() as connection:
        now = log.database.now(connection)
        row = connection.execute(
            select(
                func.count().label("repos"),
                func.min(repo_scan.c.scanned_at).label("oldest"),
                func.coalesce(func.sum(repo_scan.c.found), 0).label("found"),
                func.count(repo_scan.c.problem).label("unread"),
            )
            .join(mirror_lane, mirror_lane.c.did == repo_scan.c.did)
            .where(repo_scan.c.scanned_at > PAST, IS_SCANNED)  # deleted accounts are never late
        ).one()
    if not row.repos:
        yield ok("drift", "no repo has been scanned yet")
        return
    found = f"{row.repos} repos, the oldest scan at {row.oldest:%Y-%m-%d %H:%M}; {row.found} records differed, {row.unread} repos not read, or not whole"
    if (
        row.oldest < now - LATE_SCAN_INTERVALS * timedelta(minutes=settings.scan_minutes)
        or row.found
        or row.unread
    ):
        yield warn("drift", found, "run `mastertape verify pds`")
    else:
        yield ok("drift", found)


def addresses(log: EventLog, settings: Settings) -> Checks:
    """Check that records name the addresses that this service has."""
    task = sample_outdated(log, record_kinds(record_urls(settings, media_store(settings))))
    if task is None:
        yield ok("addresses", "records name those of this service")
        return
    kind = task.kind
    was, now = kind.own_part(task.observed or {}), kind.own_part(task.desired or {})
    [name, *_] = [name for name in (*kind.addresses, *sorted({*was, *now})) if was.get(name) != now.get(name)]
    yield warn(
        "addresses",
        f"{task.key.uri} has {name} {was.get(name)!r}, and would be written with {now.get(name)!r}",
        "where BASE_URL, S3_PUBLIC_URL and COLLECTION are as they should be, `mastertape plan` counts such records and "
        "`mastertape apply` rewrites them",
    )


def _since(at: datetime | None) -> str:
    return "" if at is None else f" since {utc(at)}"


def _decrypts(cipher: Cipher, did: str, sealed: bytes) -> bool:
    try:
        cipher.decrypt(sealed, purpose=PURPOSE, did=did)
    except DecryptionError:
        return False
    return True


def _last_cause(connection: Connection, now: datetime) -> str:
    found = causes(connection, now, limit=1)
    if not found or found[0].row.last_seen_at <= now - FAILURE_WINDOW:
        return ""
    row = found[0].row
    return f", the last one with {row.error} at {row.host}, which began {utc(row.first_seen_at)}"


def _attempts(connection: Connection, since: object) -> tuple[int, int]:
    attempt = delivery_attempt.c
    rows = connection.execute(
        select(attempt.outcome, func.count()).where(attempt.ended_at > since).group_by(attempt.outcome)
    )
    counts: dict[str | None, int] = dict(rows.all())
    return sum(count for outcome, count in counts.items() if outcome not in SUCCESSFUL), sum(counts.values())
