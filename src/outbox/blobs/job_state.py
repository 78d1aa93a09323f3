"""The states of an upload, as `blob_job` stores them: in `requested` and `again`, and its account's job by its lease, never as a word."""

from typing import Final

from eventstore.states import State, Transition


class BlobJobState(State):
    """States of an upload."""

    IDLE = "idle", "nothing is to be uploaded: neither `requested` nor `again` is set"
    PENDING = "pending", "waits for a worker until `not_before`"
    UPLOADING = "uploading", "a worker holds the lease"


IDLE, PENDING, UPLOADING = BlobJobState

TRANSITIONS: Final = (
    Transition(before=None, after=PENDING, by="the owner requests that audio is copied to the PDS"),
    Transition(before=None, after=IDLE, by="the owner adopts a record whose blob is on the PDS already"),
    Transition(before=None, after=PENDING, by="the relay settles a put whose blob the PDS has lost"),
    Transition(before=IDLE, after=PENDING, by="the owner requests that audio is copied to the PDS"),
    Transition(before=IDLE, after=PENDING, by="the relay settles a put whose blob the PDS has lost"),
    Transition(before=PENDING, after=IDLE, by="the owner replaces, gates or deletes the audio"),
    Transition(before=PENDING, after=UPLOADING, by="a worker claims the job"),
    Transition(
        before=UPLOADING, after=IDLE, by="the worker settles an upload that the PDS stored or rejected"
    ),
    Transition(
        before=UPLOADING, after=IDLE, by="the worker settles an upload that the record no longer needs"
    ),
    Transition(before=UPLOADING, after=PENDING, by="the worker settles a failure or a rate limit"),
    Transition(before=UPLOADING, after=PENDING, by="the worker postpones a result that it could not settle"),
    Transition(before=UPLOADING, after=PENDING, by="the worker releases the job when its process stops"),
    Transition(
        before=UPLOADING,
        after=PENDING,
        by="the owner signs in at another host, or a probe finds the account there",
    ),
    Transition(before=UPLOADING, after=PENDING, by="the lease of a worker that died expires"),
)
