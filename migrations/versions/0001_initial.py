"""All tables of the first release.

There is no way down: a log is not undone. Going back is restoring a backup.
"""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Json, Position, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_log()
    create_read_models()
    create_outbox()
    create_scratch()
    create_identity()
    create_service()


def create_log() -> None:
    """Create the events, and what the log needs to know about its readers."""
    op.create_table(
        "stored_event",
        sa.Column("position", Position, autoincrement=True, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("originator_id", sa.Text(), nullable=False),
        sa.Column("originator_version", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_stored_event")),
        sa.UniqueConstraint(
            "originator_id", "originator_version", name=op.f("uq_stored_event_originator_id")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_stored_event_did_position", "stored_event", ["did", "position"], unique=False)
    op.create_table(
        "event_tracking",
        sa.Column("application_name", sa.Text(), nullable=False),
        sa.Column("notification_id", Position, nullable=False),
        sa.PrimaryKeyConstraint("application_name", name=op.f("pk_event_tracking")),
    )
    op.create_table(
        "projection_state",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projection_state")),
    )
    op.create_table(
        "track_id_sequence",
        sa.Column("id", Position, autoincrement=True, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_track_id_sequence")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "log_incarnation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("issued_up_to", Position, server_default=sa.text("0"), nullable=False),
        sa.Column("restored_because", sa.Text()),
        sa.Column("noticed_at", UtcDateTime()),
        sa.Column("recovered_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_incarnation")),
    )


def create_read_models() -> None:
    """Create what everything looks like now."""
    op.create_table(
        "tracks",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("artist", sa.Text(), nullable=False),
        sa.Column("album", sa.Text()),
        sa.Column("features", Json, nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("support_gate", Json),
        sa.Column("unlisted", sa.Boolean(), nullable=False),
        sa.Column("self_labels", Json, nullable=False),
        sa.Column("audio_cid", sa.Text(), nullable=False),
        sa.Column("audio_size", sa.BigInteger(), nullable=False),
        sa.Column("audio_mime", sa.Text(), nullable=False),
        sa.Column("audio_file_type", sa.Text(), nullable=False),
        sa.Column("audio_duration", sa.Integer()),
        sa.Column("artwork_cid", sa.Text()),
        sa.Column("artwork_mime", sa.Text()),
        sa.Column("artwork_size", sa.BigInteger()),
        sa.Column("artwork_thumbnail_cid", sa.Text()),
        sa.Column("image_url", sa.Text()),
        sa.Column("adopted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.Column("taken_down_at", UtcDateTime()),
        sa.Column("record_missing_since", UtcDateTime()),
        sa.Column("blob_ref", Json),
        sa.Column("blob_requested", sa.Boolean(), nullable=False),
        sa.Column("blob_failure", sa.Text()),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("visible_version", sa.Integer(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_tracks")),
        sa.UniqueConstraint("did", "collection", "rkey", name=op.f("uq_tracks_did")),
    )
    op.create_index("ix_tracks_artwork_cid", "tracks", ["artwork_cid"], unique=False)
    op.create_index("ix_tracks_artwork_thumbnail_cid", "tracks", ["artwork_thumbnail_cid"], unique=False)
    op.create_index("ix_tracks_audio_cid", "tracks", ["audio_cid"], unique=False)
    op.create_index("ix_tracks_did_track_id", "tracks", ["did", "track_id"], unique=False)
    op.create_index(
        "uq_tracks_did_audio_cid",
        "tracks",
        ["did", "audio_cid"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL AND adopted = 0"),
        postgresql_where=sa.text("deleted_at IS NULL AND NOT adopted"),
    )
    op.create_table(
        "track_tags",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["track_id"], ["tracks.track_id"], name=op.f("fk_track_tags_track_id_tracks")
        ),
        sa.PrimaryKeyConstraint("track_id", "tag", name=op.f("pk_track_tags")),
    )
    op.create_index("ix_track_tags_tag_track_id", "track_tags", ["tag", "track_id"], unique=False)
    op.create_table(
        "history",
        sa.Column("position", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("track_id", Position),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("touches_record", sa.Boolean(), nullable=False),
        sa.Column("changes", Json, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_history")),
    )
    op.create_index("ix_history_did_position", "history", ["did", "position"], unique=False)
    op.create_index("ix_history_track_id_position", "history", ["track_id", "position"], unique=False)
    op.create_table(
        "media_references",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("cid", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("released_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("track_id", "cid", name=op.f("pk_media_references")),
    )
    op.create_index("ix_media_references_cid", "media_references", ["cid"], unique=False)


def create_outbox() -> None:
    """Create what the PDSes must hold, and what was tried."""
    op.create_table(
        "observed_account",
        sa.Column("did", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("did", name=op.f("pk_observed_account")),
    )
    op.create_table(
        "pds_host",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("max_lanes", sa.Integer(), server_default=sa.text("4"), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("breaker", sa.Text(), server_default=sa.text("'closed'"), nullable=False),
        sa.Column(
            "retry_at",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("ramp", sa.Integer()),
        sa.Column("openings", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_did", sa.Text()),
        sa.Column("many_fail", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column(
            "paced_until",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column(
            "backfill_after",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column(
            "blobs_after",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("budget_limit", sa.Integer()),
        sa.Column("budget_left", sa.Integer()),
        sa.Column("budget_reset", UtcDateTime()),
        sa.Column("budget_seconds", sa.Integer()),
        sa.Column("blob_limit", sa.Integer()),
        sa.Column("blob_left", sa.Integer()),
        sa.Column("blob_reset", UtcDateTime()),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_pds_host")),
    )
    op.create_table(
        "mirror_lane",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column(
            "due_at", UtcDateTime(), server_default=sa.text("'9999-01-01 00:00:00.000000'"), nullable=False
        ),
        sa.Column(
            "backfill_at",
            UtcDateTime(),
            server_default=sa.text("'9999-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column(
            "not_before",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column(
            "paced_until",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column(
            "backfill_after",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("hour_limit", sa.Integer()),
        sa.Column("hour_left", sa.Integer()),
        sa.Column("hour_reset", UtcDateTime()),
        sa.Column("day_limit", sa.Integer()),
        sa.Column("day_left", sa.Integer()),
        sa.Column("day_reset", UtcDateTime()),
        sa.Column(
            "probe_at", UtcDateTime(), server_default=sa.text("'9999-01-01 00:00:00.000000'"), nullable=False
        ),
        sa.Column("probes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "missing_since",
            UtcDateTime(),
            server_default=sa.text("'9999-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("lease_owner", sa.Text()),
        sa.Column(
            "lease_until",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("lease_epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_backfill", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("did", name=op.f("pk_mirror_lane")),
    )
    op.create_index("ix_mirror_lane_due", "mirror_lane", ["host", "due_at", "did"], unique=False)
    op.create_index("ix_mirror_lane_probe", "mirror_lane", ["probe_at"], unique=False)
    op.create_table(
        "mirror_target",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.Column("track_id", Position, nullable=False),
        sa.Column("desired_gen", Position, nullable=False),
        sa.Column("desired_op", sa.Text(), nullable=False),
        sa.Column("detached", sa.Boolean(), nullable=False),
        sa.Column("former", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("acked_gen", Position, server_default=sa.text("0"), nullable=False),
        sa.Column("acked_at", UtcDateTime()),
        sa.Column("observed_cid", sa.Text()),
        sa.Column("observed_body", sa.LargeBinary()),
        sa.Column("ever_sent", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'idle'"), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_gen", Position, server_default=sa.text("0"), nullable=False),
        sa.Column(
            "not_before",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("last_error", sa.Text()),
        sa.Column("conflict_cid", sa.Text()),
        sa.Column("conflict_body", sa.LargeBinary()),
        sa.Column(
            "look_at", UtcDateTime(), server_default=sa.text("'9999-01-01 00:00:00.000000'"), nullable=False
        ),
        sa.Column("backfill", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("cleared_gen", Position, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("did", "collection", "rkey", name=op.f("pk_mirror_target")),
    )
    op.create_index("ix_mirror_target_track_id", "mirror_target", ["track_id"], unique=False)
    op.create_index(
        "uq_mirror_target_track_id",
        "mirror_target",
        ["track_id"],
        unique=True,
        sqlite_where=sa.text("former = 0"),
        postgresql_where=sa.text("NOT former"),
    )
    concerns_relay = sa.text("desired_gen > acked_gen OR look_at < '9999-01-01 00:00:00.000000'")
    op.create_index(
        "ix_mirror_target_open",
        "mirror_target",
        ["did"],
        unique=False,
        sqlite_where=concerns_relay,
        postgresql_where=concerns_relay,
    )
    op.create_index(
        "ix_mirror_target_troubled",
        "mirror_target",
        ["track_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('rejected', 'backoff', 'held') OR detached = 1"),
        postgresql_where=sa.text("state IN ('rejected', 'backoff', 'held') OR detached"),
    )
    op.create_table(
        "blob_job",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("audio_cid", sa.Text(), nullable=False),
        sa.Column("requested", sa.Boolean(), nullable=False),
        sa.Column("again", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("backfill", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "not_before",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("last_error", sa.Text()),
        sa.Column("lease_owner", sa.Text()),
        sa.Column(
            "lease_until",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("lease_epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("did", "track_id", name=op.f("pk_blob_job")),
    )
    op.create_index(
        "ix_blob_job_failed",
        "blob_job",
        ["track_id"],
        unique=False,
        sqlite_where=sa.text("attempts > 0"),
        postgresql_where=sa.text("attempts > 0"),
    )
    op.create_table(
        "repo_scan",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("rev", sa.Text()),
        sa.Column(
            "scanned_at",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("found", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("heard_rev", sa.Text()),
        sa.PrimaryKeyConstraint("did", name=op.f("pk_repo_scan")),
    )
    op.create_table(
        "firehose_cursor",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("seq", Position),
        sa.Column("heard_at", UtcDateTime()),
        sa.Column("lease_owner", sa.Text()),
        sa.Column(
            "lease_until",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_firehose_cursor")),
    )
    op.create_table(
        "delivery_attempt",
        sa.Column("id", Position, autoincrement=True, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.Column("gen", Position, nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("request_cid", sa.Text()),
        sa.Column("swap_cid", sa.Text()),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("outcome", sa.Text()),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("rev", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempt")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_delivery_attempt_record",
        "delivery_attempt",
        ["did", "collection", "rkey", "gen", "id"],
        unique=False,
    )


def create_scratch() -> None:
    """Create what a rebuild fills."""
    op.create_table(
        "blob_job_scratch",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("audio_cid", sa.Text(), nullable=False),
        sa.Column("requested", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("did", "track_id", name=op.f("pk_blob_job_scratch")),
    )
    op.create_table(
        "history_scratch",
        sa.Column("position", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("track_id", Position, autoincrement=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("touches_record", sa.Boolean(), nullable=False),
        sa.Column("changes", Json, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_history_scratch")),
    )
    op.create_table(
        "media_references_scratch",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("cid", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("released_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("track_id", "cid", name=op.f("pk_media_references_scratch")),
    )
    op.create_table(
        "mirror_target_scratch",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("desired_gen", Position, autoincrement=False, nullable=False),
        sa.Column("desired_op", sa.Text(), nullable=False),
        sa.Column("detached", sa.Boolean(), nullable=False),
        sa.Column("former", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("did", "collection", "rkey", name=op.f("pk_mirror_target_scratch")),
    )
    op.create_table(
        "public_audio_scratch",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("cid", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("track_id", "cid", name=op.f("pk_public_audio_scratch")),
    )
    op.create_table(
        "track_tags_scratch",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("track_id", "tag", name=op.f("pk_track_tags_scratch")),
    )
    op.create_table(
        "tracks_scratch",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("artist", sa.Text(), nullable=False),
        sa.Column("album", sa.Text()),
        sa.Column("features", Json, nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("support_gate", Json),
        sa.Column("unlisted", sa.Boolean(), nullable=False),
        sa.Column("self_labels", Json, nullable=False),
        sa.Column("audio_cid", sa.Text(), nullable=False),
        sa.Column("audio_size", sa.BigInteger(), nullable=False),
        sa.Column("audio_mime", sa.Text(), nullable=False),
        sa.Column("audio_file_type", sa.Text(), nullable=False),
        sa.Column("audio_duration", sa.Integer()),
        sa.Column("artwork_cid", sa.Text()),
        sa.Column("artwork_mime", sa.Text()),
        sa.Column("artwork_size", sa.BigInteger()),
        sa.Column("artwork_thumbnail_cid", sa.Text()),
        sa.Column("image_url", sa.Text()),
        sa.Column("adopted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.Column("taken_down_at", UtcDateTime()),
        sa.Column("record_missing_since", UtcDateTime()),
        sa.Column("blob_ref", Json),
        sa.Column("blob_requested", sa.Boolean(), nullable=False),
        sa.Column("blob_failure", sa.Text()),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("visible_version", sa.Integer(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_tracks_scratch")),
    )


def create_identity() -> None:
    """Create who."""
    op.create_table(
        "account",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("pds_url", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("leaving_since", UtcDateTime()),
        sa.PrimaryKeyConstraint("did", name=op.f("pk_account")),
    )
    op.create_index(op.f("ix_account_handle"), "account", ["handle"], unique=False)
    op.create_table(
        "credential",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime()),
        sa.Column("last_used_at", UtcDateTime()),
        sa.Column("revoked_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_credential")),
        sa.UniqueConstraint("id", name=op.f("uq_credential_id")),
    )
    op.create_index(op.f("ix_credential_did"), "credential", ["did"], unique=False)
    op.create_table(
        "pds_session",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("pds_url", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("refresh_until", UtcDateTime()),
        sa.Column("refresh_owner", sa.Text()),
        sa.Column("last_error", sa.Text()),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("access_expires_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("did", name=op.f("pk_pds_session")),
    )


def create_service() -> None:
    """Create bytes, answers that are kept, and jobs."""
    op.create_table(
        "idempotency",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("headers", Json, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("did", "method", "route", "key", name=op.f("pk_idempotency")),
    )
    op.create_table(
        "adoption",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("found", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("known", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("adopted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("problems", Json, nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_until", UtcDateTime(), nullable=False),
        sa.Column("lease_epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("did", name=op.f("pk_adoption")),
    )
    op.create_table(
        "job_lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_lease")),
    )
    op.create_table(
        "media",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("cid", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("touched_at", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.CheckConstraint("state in ('writing', 'live', 'deleting')", name=op.f("ck_media_state")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_media")),
    )
    op.create_index("ix_media_state_touched_at", "media", ["state", "touched_at"], unique=False)
    op.create_index(
        "uq_media_live_cid",
        "media",
        ["cid"],
        unique=True,
        sqlite_where=sa.text("state = 'live'"),
        postgresql_where=sa.text("state = 'live'"),
    )
    op.create_table(
        "public_audio",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("cid", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("track_id", "cid", name=op.f("pk_public_audio")),
    )
    op.create_index("ix_public_audio_name", "public_audio", ["name"], unique=False)
    op.create_table(
        "public_copy",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cid", sa.Text(), nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'absent'"), nullable=False),
        sa.Column("changes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("seen", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "not_before",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("last_error", sa.Text()),
        sa.Column(
            "lease_until",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
        sa.Column("lease_epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_public_copy")),
    )
    op.create_index(
        "ix_public_copy_open",
        "public_copy",
        ["not_before"],
        unique=False,
        sqlite_where=sa.text("changes != seen OR state = 'uncertain'"),
        postgresql_where=sa.text("changes != seen OR state = 'uncertain'"),
    )
    op.create_table(
        "public_hold",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_public_hold")),
    )
    op.create_index("ix_public_hold_name", "public_hold", ["name"], unique=False)
