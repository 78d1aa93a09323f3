"""Checks of the database: schema, read models, restores, keys, accounts, records, scans."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from api.responses.ops.work import oldest_pending
from eventstore.coordination.restore_detection import newest_issued, restored_because
from eventstore.errors import PooledConnectionError
from eventstore.event_log import EventLog
from eventstore.sql.cluster import is_distributed
from eventstore.sql.schema import stored_event
from identity.sessions.encryption import MIN_KEY_LENGTH, Cipher
from identity.sessions.session_store import reencrypt_logins
from outbox.mirror.observe_only import observed_accounts
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from outbox.mirror.tables import PAST, delivery_attempt, lane, mirror_target, repo_scan
from outbox.pds.verdict import Kind
from outbox.relay.journal import ACKNOWLEDGING
from outbox.views import overview
from outbox.views.causes import causes
from outbox.views.failures import unfinished_records
from outbox.views.overview import AT_WORK, LANE_STATE, LANES_OF_HOSTS
from replay.reconcile.outdated import sample_outdated
from replay.reconcile.scan import IS_SCANNED, OF_SCANS
from service.config.secret_keys import known_secret_keys
from service.config.settings import Settings
from service.doctor.checks import Checks, CheckState, check, utc
from service.observability.subscribers import SubscriberKind, subscriber_rows
from service.schema import buckets
from service.schema.distribution import problems
from service.schema.high_water_mark import seen_position
from service.schema.migrate import newest, revision_of
from service.wiring.log import media_store, record_kinds, record_urls

WARN, FAIL = CheckState.WARN, CheckState.FAIL
MAX_PENDING_AGE: Final = timedelta(minutes=5)
FAILURE_WINDOW: Final = timedelta(hours=1)
MAX_PARKED_SHARE: Final = 0.05
MAX_FAILED_SHARE: Final = 0.5
LATE_SCAN_INTERVALS: Final = 3
"""A repo is late when its last scan, or its first record without one, is more than this many scan intervals ago."""
SUCCESSFUL: Final = (*ACKNOWLEDGING, Kind.READ_BACK.value)


def connection(log: EventLog, settings: Settings) -> Checks:
    try:
        log.database.require_direct()
    except PooledConnectionError as error:
        found = (
            str(error) if settings.relay else f"{log.database.dialect}, through a pooler: for requests only"
        )
        to_do = "set RELAY to off here, and run `mastertape relay` with a direct DATABASE_URL"
        yield check("database", found, (FAIL, settings.relay, to_do))
    else:
        yield check("database", log.database.dialect)


def schema(log: EventLog) -> Checks:
    revision = revision_of(log.database)
    if revision is None or revision != newest():
        found = f"{revision or 'empty'}, but this version needs {newest()}"
        if revision == buckets.FROM:
            with log.database.read() as connection:
                found += f": {buckets.count_without(connection)} rows still need their buckets"
        yield check("schema", found, (FAIL, True, "run `mastertape migrate`"))
        return
    yield check("schema", revision)
    stale = ", ".join(each.name for each in log.outdated())
    found = f"made by another version: {stale}" if stale else "made by this version"
    yield check("read models", found, (FAIL, stale, "run `mastertape rebuild`"))


def cluster(log: EventLog) -> Checks:
    with log.database.read_committed() as connection:
        if not is_distributed(connection, stored_event.name):
            return
    for problem in problems(log.database):
        yield check("cluster", problem, (FAIL, True, "docs/scaling.md"))
        return
    yield check("cluster", "the workers agree with the coordinator")


def subscribers(log: EventLog) -> Checks:
    with log.database.read() as connection:
        rows = subscriber_rows(connection, log)
    after = [each for each in rows if each.kind is SubscriberKind.AFTER_COMMIT]
    still = ", ".join(f"{each.name} ({each.behind:.0f} s)" for each in after if each.stands_still)
    found = f"{still} had something to do and did not begin" if still else f"all {len(rows)} follow the log"
    to_do = "see `mastertape status`, and whether `mastertape relay`, or `serve` with RELAY on, runs"
    yield check("subscribers", found, (WARN, still, to_do))


def restores(log: EventLog, settings: Settings) -> Checks:
    seen = seen_position(settings)
    with log.database.read() as connection:
        because, waiting = restored_because(connection), observed_accounts(connection)
        issued = newest_issued(connection)
    if because is not None or issued < seen:
        found = because or f"the log ends before position {seen}, which it had reached before"
        promoted = "" if settings.is_sqlite else "; with --nothing-lost if a synchronous standby was promoted"
        to_do = f"run `mastertape recovered`{promoted}"
        yield check("restore", f"{found}; nothing is sent to any PDS", (FAIL, True, to_do))
        return
    found = f"{waiting} accounts have to be verified first; nothing is sent for them"
    to_do = "run `mastertape verify pds`"
    yield check("restore", found if waiting else "no restore was noticed", (WARN, waiting, to_do))


def keys(log: EventLog, settings: Settings) -> Checks:
    known = known_secret_keys(settings)
    # without a key none is decrypted, so that all that are kept are lost
    logins = reencrypt_logins(log.database, Cipher(known or ["-" * MIN_KEY_LENGTH]), dry_run=True)
    found = "none yet: the first start generates them"
    if known:
        found = f"they decrypt all {logins.logins} logins"
    if logins.resealed:
        found = f"{logins.resealed} of {logins.logins} logins are encrypted with an older key"
    lost = len(logins.lost)
    if lost:
        found = f"{lost} of {logins.logins} logins cannot be decrypted"
    put_back = "put the key that encrypted them back into SECRET_KEYS; if it is lost: `mastertape reseal --end-lost`, and their owners sign in again"
    reseal = "run `mastertape reseal`, then remove the older key"
    yield check("keys", found, (FAIL, lost, put_back), (WARN, logins.resealed, reseal))


def accounts(log: EventLog, away: Collection[str]) -> Checks:
    """Check that few accounts wait for a sign-in; those whose PDS was found `away` are not at work."""
    is_away = sa.and_(LANE_STATE.in_(AT_WORK), lane.host.in_(list(away)))
    state = sa.case((is_away, MirrorReason.PDS_AWAY.value), else_=LANE_STATE)
    lanes, since = sa.func.count(lane.did), sa.func.min(overview.FAILING_SINCE)
    counted = sa.select(state.label("mirror_state"), lanes.label("lanes"), since.label("since"))
    by_state = counted.select_from(LANES_OF_HOSTS).where(lane.host != "").group_by("mirror_state")
    with log.database.read() as connection:
        rows = connection.execute(by_state.order_by("mirror_state")).all()
    states: dict[str, int] = {row.mirror_state: row.lanes for row in rows}
    total, signed_out = sum(states.values()), states.get(LaneState.AUTH_REQUIRED, 0)
    others = [row for row in rows if row.mirror_state != LaneState.READY]
    said = ", ".join(f"{row.lanes} {row.mirror_state}{_since(row.since)}" for row in others) or "all at work"
    to_do = "many wait for a sign-in: see `GET /ops/lanes?state=auth_required`"
    yield check("accounts", f"{total}: {said}", (WARN, signed_out > MAX_PARKED_SHARE * total, to_do))


def records(log: EventLog) -> Checks:
    attempt = delivery_attempt.c
    with log.database.read() as connection:
        now = log.database.now(connection)
        since = min(oldest_pending(connection).values(), default=now)
        states = unfinished_records(connection)
        ended = sa.select(attempt.outcome, sa.func.count()).where(attempt.ended_at > now - FAILURE_WINDOW)
        by_outcome = ended.group_by(attempt.outcome)
        attempts: dict[str | None, int] = dict(connection.execute(by_outcome).all())
        last = [each.row for each in causes(connection, now, limit=1)]
    pending, rejected = states.get(MirrorState.PENDING, 0), states.get(MirrorState.REJECTED)
    found = f"{pending} pending, the oldest for {(now - since).total_seconds():.0f} s"
    to_do = "is a relay running? `GET /ops/hosts` shows hosts that are down"
    yield check("records", found, (WARN, now - since > MAX_PENDING_AGE, to_do))
    if rejected:
        to_do = "`GET /ops/failures` says why; `mastertape redrive` retries them"
        yield check("rejected", f"{rejected} records", (WARN, True, to_do))
    failed = sum(count for outcome, count in attempts.items() if outcome not in SUCCESSFUL)
    share = f"{failed} of {sum(attempts.values())} attempts of the last hour failed"
    if last and last[0].last_seen_at > now - FAILURE_WINDOW:
        share += (
            f", the last one with {last[0].error} at {last[0].host}, which began {utc(last[0].first_seen_at)}"
        )
    to_do = "`mastertape failures` says why, `mastertape status` says where"
    yield check("failures", share, (WARN, failed > MAX_FAILED_SHARE * sum(attempts.values()), to_do))


def scans(log: EventLog, settings: Settings) -> Checks:
    """Check that the scans are recent and found no differences, and that no repo with older records was never scanned."""
    scan, target = repo_scan.c, mirror_target.c
    with log.database.read() as connection:
        late = log.database.now(connection) - LATE_SCAN_INTERVALS * timedelta(minutes=settings.scan_minutes)
        has_old_records = sa.exists().where(
            target.did == lane.did, target.acked_gen > 0, target.acked_at < late
        )
        never = sa.and_(sa.func.coalesce(scan.scanned_at, PAST) <= PAST, has_old_records)
        row = connection.execute(
            sa.select(
                sa.func.count(sa.case((scan.scanned_at > PAST, 1))).label("repos"),
                sa.func.min(sa.case((scan.scanned_at > PAST, scan.scanned_at))).label("oldest"),
                sa.func.coalesce(sa.func.sum(scan.found), 0).label("found"),
                sa.func.count(scan.problem).label("unread"),
                sa.func.count(sa.case((never, 1))).label("never"),
                sa.func.min(sa.case((never, lane.did))).label("first_never"),
            )
            .select_from(OF_SCANS)
            .where(IS_SCANNED)  # deleted accounts are never late
        ).one()
    found = "no repo has been scanned yet"
    if row.repos:
        found = (
            f"{row.repos} repos, the oldest scan at {row.oldest:%Y-%m-%d %H:%M}; {row.found} records differed, "
            f"{row.unread} repos not read, or not whole"
        )
    if row.never:
        found += f"; {row.never} repos with older records were never scanned, such as {row.first_never}"
    is_late = row.never or row.found or row.unread or (row.repos and row.oldest < late)
    yield check("drift", found, (WARN, is_late, "run `mastertape verify pds`"))


def addresses(log: EventLog, settings: Settings) -> Checks:
    task = sample_outdated(log, record_kinds(settings, record_urls(settings, media_store(settings))))
    if task is None:
        yield check("addresses", "records name those of this service")
        return
    kind = task.kind
    was, now = kind.own_part(task.observed or {}), kind.own_part(task.desired or {})
    name = next(name for name in (*kind.addresses, *sorted({*was, *now})) if was.get(name) != now.get(name))
    found = f"{task.key.uri} has {name} {was.get(name)!r}, and would be written with {now.get(name)!r}"
    to_do = (
        "where BASE_URL, S3_PUBLIC_URL and COLLECTION are as they should be, `mastertape plan` counts such records and "
        "`mastertape apply` rewrites them"
    )
    yield check("addresses", found, (WARN, True, to_do))


def _since(at: datetime | None) -> str:
    return "" if at is None else f" since {utc(at)}"
