"""Tables that the relay works from: hosts, lanes, targets, blob jobs and the journal of attempts.

The desired state is derived from the log and can be rebuilt; what was observed and attempted is in columns that no
rebuild touches.
"""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Float,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    and_,
    cast,
    false,
    literal_column,
    or_,
    text,
)

from eventstore.projection import ProjectedTable
from eventstore.schema import Position, UtcDateTime, metadata
from outbox.mirror.states import LaneState, TargetState

PAST: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_PAST: Final = text("'1970-01-01 00:00:00.000000'")
_NEVER: Final = text("'9999-01-01 00:00:00.000000'")
PAST_LITERAL: Final = literal_column(str(_PAST), UtcDateTime)
NEVER_LITERAL: Final = literal_column(str(_NEVER), UtcDateTime)
"""As the indexes have them: a query that passes them as parameters cannot use those."""


def _failing() -> tuple[Column[datetime], Column[str]]:
    """Columns that say since when nothing has succeeded, and the error of the first failure; null while all is well."""
    return Column("failing_since", UtcDateTime), Column("first_error", Text)


NO_FAILURES: Final[dict[str, Any]] = {"failing_since": None, "first_error": None}
"""These columns of a host, lane, target or upload that does not fail."""


def _budget(name: str) -> tuple[Column[int], Column[int], Column[datetime]]:
    """Columns of a budget as the PDS last named it; null where it has none."""
    return (
        Column(f"{name}_limit", Integer),
        Column(f"{name}_left", Integer),
        Column(f"{name}_reset", UtcDateTime),
    )


pds_host = Table(
    "pds_host",
    metadata,
    Column("host", Text, primary_key=True),
    Column("max_lanes", Integer, nullable=False, server_default=text("4")),
    Column("paused", Boolean, nullable=False, server_default=false()),
    # The breaker (outbox/mirror/hosts.py).
    Column("breaker", Text, nullable=False, server_default=text("'closed'")),
    Column("retry_at", UtcDateTime, nullable=False, server_default=_PAST),
    Column("ramp", Integer),
    Column("openings", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("failing_did", Text),
    Column("many_fail", Boolean, nullable=False, server_default=false()),
    Column("last_error", Text),
    # What all lanes of the host share (outbox/pds/verdict.py).
    Column("paced_until", UtcDateTime, nullable=False, server_default=_PAST),
    Column("backfill_after", UtcDateTime, nullable=False, server_default=_PAST),
    Column("blobs_after", UtcDateTime, nullable=False, server_default=_PAST),
    *_budget("budget"),
    Column("budget_seconds", Integer),
    *_budget("blob"),
    *_failing(),
)

mirror_lane = Table(
    "mirror_lane",
    metadata,
    Column("did", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("due_at", UtcDateTime, nullable=False, server_default=_NEVER),
    Column("backfill_at", UtcDateTime, nullable=False, server_default=_NEVER),
    Column("not_before", UtcDateTime, nullable=False, server_default=_PAST),
    Column("debounced_until", UtcDateTime, nullable=False, server_default=_PAST),
    Column("paced_until", UtcDateTime, nullable=False, server_default=_PAST),
    Column("backfill_after", UtcDateTime, nullable=False, server_default=_PAST),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    *_budget("hour"),
    *_budget("day"),
    Column("probe_at", UtcDateTime, nullable=False, server_default=_NEVER),
    Column("probes", Integer, nullable=False, server_default=text("0")),
    Column("missing_since", UtcDateTime, nullable=False, server_default=_NEVER),
    Column("lease_owner", Text),
    Column("lease_until", UtcDateTime, nullable=False, server_default=_PAST),
    Column("lease_epoch", Integer, nullable=False, server_default=text("0")),
    Column("is_backfill", Boolean, nullable=False, server_default=false()),
    *_failing(),
    # When its PDS last answered a delivery as it should; written with the lane's release.
    Column("last_success_at", UtcDateTime),
    Index("ix_mirror_lane_host", "host", "did"),
    Index("ix_mirror_lane_probe", "probe_at"),
)
HAS_WORK: Final = and_(
    mirror_lane.c.state == literal_column(f"'{LaneState.READY}'"),
    or_(
        mirror_lane.c.due_at < NEVER_LITERAL,
        mirror_lane.c.backfill_at < NEVER_LITERAL,
    ),
)
"""True for ready lanes that have work, now or later."""
_IS_AT_WORK: Final = and_(
    mirror_lane.c.state == literal_column(f"'{LaneState.READY}'"), ~mirror_lane.c.paused
)
HAS_LIVE_WORK: Final = and_(_IS_AT_WORK, mirror_lane.c.due_at < NEVER_LITERAL)
HAS_BACKFILL: Final = and_(_IS_AT_WORK, mirror_lane.c.backfill_at < NEVER_LITERAL)
"""Queries with one of these conditions read an index of these lanes alone, in the order of their times (due.py)."""


def was_leased(lane: FromClause = mirror_lane) -> ColumnElement[bool]:
    """True for lanes that a relay has leased, even one that died. A query with this condition reads an index of these."""
    leased: ColumnElement[bool] = lane.c.lease_until > PAST_LITERAL
    return leased


Index("ix_mirror_lane_leased", mirror_lane.c.host, sqlite_where=was_leased(), postgresql_where=was_leased())

mirror_target = Table(
    "mirror_target",
    metadata,
    Column("did", Text, primary_key=True),
    Column("collection", Text, primary_key=True),
    Column("rkey", Text, primary_key=True),
    Column("kind", Text, nullable=False, server_default=text("'track'")),
    Column("track_id", Position, key="subject_id", nullable=False),
    Column("desired_gen", Position, nullable=False),
    Column("desired_op", Text, nullable=False),
    Column("detached", Boolean, nullable=False),
    # Whether the record has changed namespace since. This one is deleted once the PDS has confirmed the new
    # one as of the same generation: `cleared_gen` is the generation that it has confirmed.
    Column("former", Boolean, nullable=False, server_default=false()),
    Column("acked_gen", Position, nullable=False, server_default=text("0")),
    Column("acked_at", UtcDateTime),
    Column("observed_cid", Text),
    Column("observed_body", LargeBinary),
    Column("ever_sent", Boolean, nullable=False, server_default=false()),
    Column("state", Text, nullable=False, server_default=text("'idle'")),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failed_gen", Position, nullable=False, server_default=text("0")),
    Column("not_before", UtcDateTime, nullable=False, server_default=_PAST),
    Column("last_error", Text),
    Column("conflict_cid", Text),
    Column("conflict_body", LargeBinary),
    Column("look_at", UtcDateTime, nullable=False, server_default=_NEVER),
    Column("backfill", Boolean, nullable=False, server_default=false()),
    Column("cleared_gen", Position, nullable=False, server_default=text("0")),
    *_failing(),
    Column("cause", Text),  # of the last failure (failure_causes.py)
    # The W3C traceparent of the commit of `desired_gen`, where it was traced (outbox/ports.py).
    Column("trace", Text),
    Index("ix_mirror_target_track_id", "subject_id"),
)
Index(
    "uq_mirror_target_track_id",
    mirror_target.c.subject_id,
    mirror_target.c.kind,
    unique=True,
    sqlite_where=~mirror_target.c.former,
    postgresql_where=~mirror_target.c.former,
)
"""A subject has one current record, and any number of former ones that are still to be deleted."""

FEW_ROWS: Final[dict[str, Any]] = {"yield_per": 4}
"""Execution options: two bodies of a row may have 2 MB each, and an account has as many rows as it likes."""

CONCERNS_RELAY: Final = or_(
    mirror_target.c.desired_gen > mirror_target.c.acked_gen,
    mirror_target.c.look_at < NEVER_LITERAL,
)
"""True for targets to be sent or verified. A query with this condition reads an index of these alone (due.py)."""

blob_job = Table(
    "blob_job",
    metadata,
    Column("did", Text, primary_key=True),
    Column("kind", Text, primary_key=True, server_default=text("'track'")),
    Column("track_id", Position, key="subject_id", primary_key=True, autoincrement=False),
    Column("audio_cid", Text, nullable=False),
    Column("requested", Boolean, nullable=False),
    Column("again", Boolean, nullable=False, server_default=false()),
    Column("backfill", Boolean, nullable=False, server_default=false()),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("not_before", UtcDateTime, nullable=False, server_default=_PAST),
    Column("last_error", Text),
    *_failing(),
    Column("cause", Text),
)
UPLOAD: Final = "upload"
"""The kind of the jobs under which an account's uploads are made, one after the other (outbox/blobs/claim.py)."""
IS_UPLOAD_OF_TARGET: Final = and_(
    *(blob_job.c[name] == mirror_target.c[name] for name in ("did", "kind", "subject_id"))
)
SUBJECT: Final = mirror_target.c.kind + literal_column("'/'") + cast(mirror_target.c.subject_id, Text)
"""Names the subject of a target, to count subjects."""
IS_OPEN_JOB: Final = or_(blob_job.c.requested, blob_job.c.again)
"""True for uploads that are still to be made. A query with this condition reads an index of these alone."""
Index("ix_blob_job_open", blob_job.c.not_before, sqlite_where=IS_OPEN_JOB, postgresql_where=IS_OPEN_JOB)

repo_scan = Table(
    "repo_scan",
    metadata,
    Column("did", Text, primary_key=True),
    Column("rev", Text),
    Column("scanned_at", UtcDateTime, nullable=False, server_default=_PAST),
    Column("found", Integer, nullable=False, server_default=text("0")),
    Column("problem", Text),
    Column("heard_rev", Text),
)
"""The last scan of each repo: `rev` is its revision when all of it was compared."""

firehose_cursor = Table(
    "firehose_cursor",
    metadata,
    Column("host", Text, primary_key=True),
    Column("seq", Position),
    Column("heard_at", UtcDateTime),
    Column("lease_owner", Text),
    Column("lease_until", UtcDateTime, nullable=False, server_default=_PAST),
    Column("connected_at", UtcDateTime),
    Column("lag_seconds", Float),
    Column("problem", Text),
)
"""The firehose cursor of each host, the process that follows it, and whether that is connected: null `connected_at` and why not."""

_TROUBLED: Final = (TargetState.REJECTED, TargetState.BACKOFF, TargetState.HELD)
IS_TROUBLED: Final = or_(
    mirror_target.c.state.in_([literal_column(f"'{state}'") for state in _TROUBLED]),
    mirror_target.c.detached,
)
"""True for records that fail, or did before their newest event. A query with this condition reads an index of these."""
Index(
    "ix_mirror_target_troubled",
    mirror_target.c.subject_id,
    sqlite_where=IS_TROUBLED,
    postgresql_where=IS_TROUBLED,
)
HAS_FAILED: Final = blob_job.c.attempts > literal_column("0")
"""True for uploads that failed the last time. A query with this condition reads an index of these."""
Index("ix_blob_job_failed", blob_job.c.subject_id, sqlite_where=HAS_FAILED, postgresql_where=HAS_FAILED)
IS_FAILING: Final = blob_job.c.failing_since.is_not(None)
"""True for uploads that nothing has ended since they failed, refused ones too. A query with this condition reads an index of these."""
Index("ix_blob_job_failing", blob_job.c.cause, sqlite_where=IS_FAILING, postgresql_where=IS_FAILING)

delivery_attempt = Table(
    "delivery_attempt",
    metadata,
    Column("id", Position, primary_key=True, autoincrement=True),
    Column("did", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("rkey", Text, nullable=False),
    Column("gen", Position, nullable=False),
    Column("op", Text, nullable=False),
    Column("request_cid", Text),
    Column("swap_cid", Text),
    Column("epoch", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", Text),
    Column("status", Integer),
    Column("error", Text),
    Column("rev", Text),
    Index("ix_delivery_attempt_record", "did", "collection", "rkey", "gen", "id"),
    sqlite_autoincrement=True,
)

failure_cause = Table(
    "failure_cause",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("status", Integer),
    Column("error", Text, nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("failures", Position, nullable=False),
    Column("sample_did", Text),
    Column("sample_kind", Text),
    Column("sample_track_id", Position, key="sample_subject_id"),
    Column("sample_error", Text),
    Index("ix_failure_cause_last_seen_at", "last_seen_at"),
    Index("ix_failure_cause_host", "host", "last_seen_at"),
)
"""Why requests to PDSes fail, one row for each cause (failure_causes.py)."""

failure_hour = Table(
    "failure_hour",
    metadata,
    Column("cause", Text, primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("failures", Position, nullable=False),
)
"""How often a cause was met in each hour of the last day."""

TARGETS: Final = ProjectedTable(
    mirror_target,
    derived=("kind", "subject_id", "desired_gen", "desired_op", "detached", "former"),
    about="subject_id",
)
BLOB_JOBS: Final = ProjectedTable(blob_job, derived=("audio_cid", "requested"), about="subject_id")
