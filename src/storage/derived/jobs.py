"""The jobs that make derived media, by kind and source. What has been made has no job; what cannot be made keeps a failed one."""

from enum import StrEnum

from sqlalchemy import Connection, select

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
