"""Renditions of covers, waveforms of audio, and the work on what is derived from media."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0011"
down_revision = "0010"

PAST = sa.text("'1970-01-01 00:00:00.000000'")


def upgrade() -> None:
    """The periodic job finds the covers and the audio from before."""
    op.create_table(
        "rendition",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cid", sa.Text(), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("source", "size", name=op.f("pk_rendition")),
    )
    op.create_index("ix_rendition_cid", "rendition", ["cid"])
    op.create_table(
        "waveform",
        sa.Column("cid", sa.Text(), nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.Column("duration", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("cid", name=op.f("pk_waveform")),
    )
    op.create_table(
        "derived_job",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, server_default=sa.text("'waiting'")),
        sa.Column("host", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("lease_until", UtcDateTime(), nullable=False, server_default=PAST),
        sa.Column("lease_epoch", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("kind", "source", name=op.f("pk_derived_job")),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_derived_job_waiting",
        "derived_job",
        ["kind", "not_before"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
