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
    Transition(None, PENDING, "the owner requests that audio is copied to the PDS"),
    Transition(None, IDLE, "the owner adopts a record whose blob is on the PDS already"),
    Transition(None, PENDING, "the relay settles a put whose blob the PDS has lost"),
    Transition(IDLE, PENDING, "the owner requests that audio is copied to the PDS"),
    Transition(IDLE, PENDING, "the relay settles a put whose blob the PDS has lost"),
    Transition(PENDING, IDLE, "the owner replaces, gates or deletes the audio"),
    Transition(PENDING, UPLOADING, "a worker claims the job"),
    Transition(UPLOADING, IDLE, "the worker settles an upload that the PDS stored or rejected"),
    Transition(UPLOADING, IDLE, "the worker settles an upload that the record no longer needs"),
    Transition(UPLOADING, PENDING, "the worker settles a failure or a rate limit"),
    Transition(UPLOADING, PENDING, "the worker postpones a result that it could not settle"),
    Transition(UPLOADING, PENDING, "the worker releases the job when its process stops"),
    Transition(UPLOADING, PENDING, "the owner signs in at another host, or a probe finds the account there"),
    Transition(UPLOADING, PENDING, "the lease of a worker that died expires"),
)
