"""The jobs that make derived media, by kind and source. What has been made has no job; what cannot be made keeps a failed one."""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Connection, RowMapping, func, select

from eventstore.database import MAX_COUNTED
from eventstore.jobs.table import JobState, job


class DerivedKind(StrEnum):
    """What is made, and of what: the kinds of their jobs."""

    RENDITIONS = "renditions"  # of a stored cover, by its CID
    COVER = "cover"  # renditions of an image elsewhere, by its URL
    WAVEFORM = "waveform"  # of stored audio, by its CID


def has_failed(connection: Connection, kind: DerivedKind, source: str) -> bool:
    """Whether it is known that this cannot be made."""
    this = (job.c.kind == kind, job.c.subject == source)
    return connection.scalar(select(job.c.state).where(*this)) == JobState.FAILED


def problems(connection: Connection, *, limit: int) -> Sequence[RowMapping]:
    """Return why sources failed: `kind`, `problem` and the number of `sources`, the most frequent first."""
    is_ours = (job.c.kind.in_(list(DerivedKind)), job.c.state == JobState.FAILED)
    failed = select(job.c.kind, job.c.problem).where(*is_ours).limit(MAX_COUNTED).subquery()
    sources = func.count().label("sources")
    most_first = select(failed, sources).group_by(*failed.c).order_by(sources.desc(), *failed.c)
    return connection.execute(most_first.limit(limit)).mappings().all()
