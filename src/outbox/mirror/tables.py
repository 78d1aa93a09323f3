"""Tables that the relay works from: hosts, lanes, targets, blob jobs and the journal of attempts.

The desired state is derived from the log and can be rebuilt; what was observed and attempted is in columns that no
rebuild touches.
"""

from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from eventstore.projection import ProjectedTable
from eventstore.sql.schema import Position, UtcDateTime, metadata, partial_index
from eventstore.streams.buckets import account_columns
from outbox.mirror.states import LaneState, TargetState

PAST: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_PAST: Final = sa.text("'1970-01-01 00:00:00.000000'")
_NEVER: Final = sa.text("'9999-01-01 00:00:00.000000'")
PAST_LITERAL: Final = sa.literal_column(str(_PAST), UtcDateTime)
NEVER_LITERAL: Final = sa.literal_column(str(_NEVER), UtcDateTime)
"""As the indexes have them: a query that passes them as parameters cannot use those."""


def _failing() -> tuple[sa.Column[datetime], sa.Column[str]]:
    """Columns that say since when nothing has succeeded, and the error of the first failure; null while all is well."""
    return sa.Column("failing_since", UtcDateTime), sa.Column("first_error", sa.Text)


NO_FAILURES: Final[dict[str, Any]] = {"failing_since": None, "first_error": None}
"""These columns of a host, lane, target or upload that does not fail."""


def _budget(name: str) -> tuple[sa.Column[int], sa.Column[int], sa.Column[datetime]]:
    """Columns of a budget as the PDS last named it; null where it has none."""
    return (
        sa.Column(f"{name}_limit", sa.Integer),
        sa.Column(f"{name}_left", sa.Integer),
        sa.Column(f"{name}_reset", UtcDateTime),
    )


pds_host = sa.Table(
    "pds_host",
    metadata,
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("max_lanes", sa.Integer, nullable=False, server_default=sa.text("4")),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    # The breaker (outbox/mirror/hosts.py).
    sa.Column("breaker", sa.Text, nullable=False, server_default=sa.text("'closed'")),
    sa.Column("retry_at", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("ramp", sa.Integer),
    sa.Column("openings", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("failing_did", sa.Text),
    sa.Column("many_fail", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("last_error", sa.Text),
    # What all lanes of the host share (outbox/pds/verdict.py).
    sa.Column("paced_until", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("backfill_after", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("blobs_after", UtcDateTime, nullable=False, server_default=_PAST),
    *_budget("budget"),
    sa.Column("budget_seconds", sa.Integer),
    *_budget("blob"),
    *_failing(),
    # Whether an operator lets its firehose be followed (outbox/firehose/cursors.py).
    sa.Column("followed", sa.Boolean, nullable=False, server_default=sa.true()),
    # Acknowledged writes that it did not have when they were read back (outbox/relay/delivery.py).
    sa.Column("refuted_writes", sa.Integer, nullable=False, server_default=sa.text("0")),
)
host: Final = pds_host.c

mirror_lane = sa.Table(
    "mirror_lane",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("due_at", UtcDateTime, nullable=False, server_default=_NEVER),
    sa.Column("backfill_at", UtcDateTime, nullable=False, server_default=_NEVER),
    sa.Column("not_before", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("debounced_until", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("paced_until", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("backfill_after", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
    *_budget("hour"),
    *_budget("day"),
    sa.Column("probe_at", UtcDateTime, nullable=False, server_default=_NEVER),
    sa.Column("probes", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("missing_since", UtcDateTime, nullable=False, server_default=_NEVER),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_until", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("lease_epoch", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("is_backfill", sa.Boolean, nullable=False, server_default=sa.false()),
    *_failing(),
    # When its PDS last answered a delivery as it should; written with the lane's release.
    sa.Column("last_success_at", UtcDateTime),
    # The revision of the newest commit that this PDS has acknowledged; written with the lane's release.
    sa.Column("acked_rev", sa.Text),
    sa.Index("ix_mirror_lane_host", "host", "did"),
    sa.Index("ix_mirror_lane_probe", "probe_at"),
)
lane: Final = mirror_lane.c
_IS_READY: Final = lane.state == sa.literal_column(f"'{LaneState.READY}'")
HAS_WORK: Final = sa.and_(_IS_READY, sa.or_(lane.due_at < NEVER_LITERAL, lane.backfill_at < NEVER_LITERAL))
"""True for ready lanes that have work, now or later."""
HAS_LIVE_WORK: Final = sa.and_(_IS_READY, ~lane.paused, lane.due_at < NEVER_LITERAL)
HAS_BACKFILL: Final = sa.and_(_IS_READY, ~lane.paused, lane.backfill_at < NEVER_LITERAL)
"""Queries with one of these conditions read an index of these lanes alone, in the order of their times (due.py)."""
WAS_LEASED: Final = lane.lease_until > PAST_LITERAL
"""True for lanes that a relay has leased, even one that died. A query with this condition reads an index of these."""
partial_index("ix_mirror_lane_leased", lane.host, where=WAS_LEASED)

mirror_target = sa.Table(
    "mirror_target",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("collection", sa.Text, primary_key=True),
    sa.Column("rkey", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, server_default=sa.text("'track'")),
    sa.Column("track_id", Position, key="subject_id", nullable=False),
    sa.Column("desired_gen", Position, nullable=False),
    sa.Column("desired_op", sa.Text, nullable=False),
    sa.Column("detached", sa.Boolean, nullable=False),
    # Whether the record has changed namespace since. This one is deleted once the PDS has confirmed the new
    # one as of the same generation: `cleared_gen` is the generation that it has confirmed.
    sa.Column("former", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("acked_gen", Position, nullable=False, server_default=sa.text("0")),
    sa.Column("acked_at", UtcDateTime),
    sa.Column("observed_cid", sa.Text),
    sa.Column("observed_body", sa.LargeBinary),
    sa.Column("ever_sent", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("state", sa.Text, nullable=False, server_default=sa.text("'idle'")),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("failed_gen", Position, nullable=False, server_default=sa.text("0")),
    sa.Column("not_before", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("last_error", sa.Text),
    sa.Column("conflict_cid", sa.Text),
    sa.Column("conflict_body", sa.LargeBinary),
    sa.Column("look_at", UtcDateTime, nullable=False, server_default=_NEVER),
    sa.Column("backfill", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("cleared_gen", Position, nullable=False, server_default=sa.text("0")),
    # While its account leaves: IF_OURS or CONFIRMED (operations/account_deletion.py).
    sa.Column("removal", sa.Text),
    *_failing(),
    sa.Column("cause", sa.Text),  # of the last failure (failure_causes.py)
    # The W3C traceparent of the commit of `desired_gen`, where it was traced (outbox/ports.py).
    sa.Column("trace", sa.Text),
    sa.Index("ix_mirror_target_track_id", "subject_id"),
)
target: Final = mirror_target.c
partial_index("uq_mirror_target_track_id", target.subject_id, target.kind, where=~target.former, unique=True)
"""A subject has one current record, and any number of former ones that are still to be deleted."""

FEW_ROWS: Final[dict[str, Any]] = {"yield_per": 4}
"""Execution options: two bodies of a row may have 2 MB each, and an account has as many rows as it likes."""

IF_OURS: Final = "if_ours"
"""Of a record to be deleted: it stays unless its CID or its content is known to be ours."""
CONFIRMED: Final = "confirmed"
"""Its owner wants it deleted, whoever wrote it."""

CONCERNS_RELAY: Final = sa.or_(target.desired_gen > target.acked_gen, target.look_at < NEVER_LITERAL)
"""True for targets to be sent or verified. A query with this condition reads an index of these alone (due.py)."""

blob_job = sa.Table(
    "blob_job",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True, server_default=sa.text("'track'")),
    sa.Column("track_id", Position, key="subject_id", primary_key=True, autoincrement=False),
    sa.Column("audio_cid", sa.Text, nullable=False),
    sa.Column("requested", sa.Boolean, nullable=False),
    sa.Column("again", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("backfill", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("not_before", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("queue_at", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("last_error", sa.Text),
    *_failing(),
    sa.Column("cause", sa.Text),
)
"""From `queue_at` on, a job is requested for the account (outbox/blobs/claim.py): what makes an upload due sets both times."""
upload: Final = blob_job.c
UPLOAD: Final = "upload"
"""The kind of the jobs under which an account's uploads are made, one after the other (outbox/blobs/claim.py)."""
IS_UPLOAD_OF_TARGET: Final = sa.and_(
    *(upload[name] == target[name] for name in ("did", "kind", "subject_id"))
)
SUBJECT: Final = target.kind + sa.literal_column("'/'") + sa.cast(target.subject_id, sa.Text)
"""Names the subject of a target, to count subjects."""
IS_OPEN_JOB: Final = sa.or_(upload.requested, upload.again)
"""True for uploads that are still to be made. A query with this condition reads an index of these alone."""
partial_index("ix_blob_job_open", upload.backfill, upload.queue_at, where=IS_OPEN_JOB)

repo_scan = sa.Table(
    "repo_scan",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("rev", sa.Text),
    sa.Column("scanned_at", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("found", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("problem", sa.Text),
    sa.Column("heard_rev", sa.Text),
)
"""The last scan of each repo: `rev` is its revision when all of it was compared."""

firehose_cursor = sa.Table(
    "firehose_cursor",
    metadata,
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("seq", Position),
    sa.Column("heard_at", UtcDateTime),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_until", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("connected_at", UtcDateTime),
    sa.Column("lag_seconds", sa.Float),
    sa.Column("problem", sa.Text),
)
"""The firehose cursor of each host, the process that follows it, and whether that is connected: null `connected_at` and why not."""

_TROUBLED: Final = (TargetState.REJECTED, TargetState.BACKOFF, TargetState.HELD)
IS_TROUBLED: Final = sa.or_(
    target.state.in_([sa.literal_column(f"'{state}'") for state in _TROUBLED]), target.detached
)
"""True for records that fail, or did before their newest event. A query with this condition reads an index of these."""
partial_index("ix_mirror_target_troubled", target.subject_id, where=IS_TROUBLED)
HAS_FAILED: Final = upload.attempts > sa.literal_column("0")
"""True for uploads that failed the last time. A query with this condition reads an index of these."""
partial_index("ix_blob_job_failed", upload.subject_id, where=HAS_FAILED)
IS_FAILING: Final = upload.failing_since.is_not(None)
"""True for uploads that nothing has ended since they failed, refused ones too. A query with this condition reads an index of these."""
partial_index("ix_blob_job_failing", upload.cause, where=IS_FAILING)

delivery_attempt = sa.Table(
    "delivery_attempt",
    metadata,
    sa.Column("id", Position, primary_key=True, autoincrement=True),
    *account_columns(),
    sa.Column("collection", sa.Text, nullable=False),
    sa.Column("rkey", sa.Text, nullable=False),
    sa.Column("gen", Position, nullable=False),
    sa.Column("op", sa.Text, nullable=False),
    sa.Column("request_cid", sa.Text),
    sa.Column("swap_cid", sa.Text),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("outcome", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("rev", sa.Text),
    sa.Index("ix_delivery_attempt_record", "did", "collection", "rkey", "gen", "id"),
    sqlite_autoincrement=True,
)
attempt: Final = delivery_attempt.c
IS_ATTEMPT_OF_TARGET: Final = sa.and_(
    *(attempt[name] == target[name] for name in ("did", "collection", "rkey"))
)

failure_cause = sa.Table(
    "failure_cause",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("last_seen_at", UtcDateTime, nullable=False),
    sa.Column("failures", Position, nullable=False),
    sa.Column("sample_did", sa.Text),
    sa.Column("sample_kind", sa.Text),
    sa.Column("sample_track_id", Position, key="sample_subject_id"),
    sa.Column("sample_error", sa.Text),
    sa.Index("ix_failure_cause_last_seen_at", "last_seen_at"),
    sa.Index("ix_failure_cause_host", "host", "last_seen_at"),
)
"""Why requests to PDSes fail, one row for each cause (failure_causes.py)."""

failure_hour = sa.Table(
    "failure_hour",
    metadata,
    sa.Column("cause", sa.Text, primary_key=True),
    sa.Column("hour", UtcDateTime, primary_key=True),
    sa.Column("failures", Position, nullable=False),
)
"""How often a cause was met in each hour of the last day."""

delivery_hour = sa.Table(
    "delivery_hour",
    metadata,
    sa.Column("hour", UtcDateTime, primary_key=True),
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("within_ms", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("deliveries", Position, nullable=False),
)
"""How many deliveries a release made in each hour of the last week, and within how long (delivery_counts.py)."""

TARGETS: Final = ProjectedTable(
    mirror_target,
    derived=("kind", "subject_id", "desired_gen", "desired_op", "detached", "former"),
    about="subject_id",
)
BLOB_JOBS: Final = ProjectedTable(blob_job, derived=("audio_cid", "requested"), about="subject_id")
