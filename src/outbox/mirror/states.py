"""States of targets, lanes and breakers as they are stored, and of a track's mirror as people see it."""

from typing import Final

from aggregates.states import State


class TargetState(State):
    """States of a record's row in `mirror_target`: what went wrong with it last."""

    IDLE = "idle", "nothing is wrong: it is delivered, or is sent when its lane runs"
    BACKOFF = "backoff", "the last attempt failed; the relay tries again at `not_before`"
    PACED = "paced", "the PDS is over its rate limit; the relay tries again when the lane's pause is over"
    BLOB = "blob", "the PDS does not hold the blob that the record names; waits for its upload"
    VERIFYING = "verifying", "a delete waits until a create that was never answered can no longer land"
    REJECTED = "rejected", "the PDS refuses this generation; a newer one, or a retry, is sent"
    HELD = "held", "another client changed the record; its owner decides"


class LaneState(State):
    """States of an account's row in `mirror_lane`."""

    READY = "ready", "the relay delivers when records are due", "the relay delivers"
    AUTH_REQUIRED = (
        "auth_required",
        "waits until the owner signs in",
        (
            "the owner signs in: `GET /auth/login`; a scan, or `POST /tracks/{id}/mirror/retry`, finds an account that is "
            "elsewhere or nowhere"
        ),
    )
    INACTIVE = (
        "account_inactive",
        "the account is deactivated, suspended or taken down; the relay probes it",
        (
            "the owner reactivates the account at its PDS, and the relay probes it, at once after "
            "`POST /tracks/{id}/mirror/retry`; or the owner deletes the account here: `DELETE /me`"
        ),
    )
    FULL = (
        "account_full",
        "the account's storage at its PDS is full; a delete is sent, and makes room",
        (
            "the owner makes room at its PDS: the relay tries again each day, and at once after "
            "`POST /tracks/{id}/mirror/retry`; or the owner deletes a track: `DELETE /tracks/{id}`"
        ),
    )
    STALE = (
        "identity_stale",
        "the host does not know the account; the relay probes where it is",
        "the relay finds the account, at once after `POST /tracks/{id}/mirror/retry`, or it becomes `gone`",
    )
    GONE = (
        "gone",
        "no directory has known the account for days; waits for a sign-in or an operator",
        (
            "the owner signs in: `GET /auth/login`; an operator has the account probed: `POST /ops/lanes`; "
            "or the owner deletes the account here: `DELETE /me`"
        ),
    )


PROBED: Final = (LaneState.INACTIVE, LaneState.FULL, LaneState.STALE)
"""The states whose accounts the relay probes until they change."""


class BreakerState(State):
    """States of a host's breaker in `pds_host`; `half_open` is shown, and stored as `open` with a past `retry_at`."""

    CLOSED = "closed", "the host is sent as many lanes as it may have"
    OPEN = "open", "requests of several accounts failed; nothing is sent before `retry_at`"
    HALF_OPEN = "half_open", "one lane tries whether the host works again"


class MirrorState(State):
    """States of a track's mirror: what its target, lane, host and upload amount to. Derived, never stored."""

    DELIVERED = "delivered", "the PDS holds what the log says", "nothing is left to do"
    PENDING = (
        "pending",
        "the relay delivers it without help",
        "the relay, at once after `POST /tracks/{id}/mirror/retry`",
    )
    PARKED = "parked", "nothing is sent for the account: `reason` says until when", "as its reason says"
    HELD = (
        "held",
        "another client changed the record; its owner decides",
        "the owner decides: `POST /tracks/{id}/mirror/resolve`, or `DELETE /tracks/{id}`",
    )
    DETACHED = (
        "detached",
        "the record was deleted elsewhere; its owner decides",
        (
            "the owner decides: `POST /tracks/{id}/restore-record`, in the old collection "
            "`POST /tracks/{id}/migrate-namespace`, or `DELETE /tracks/{id}`"
        ),
    )
    REJECTED = (
        "rejected",
        "the PDS refuses the record as it is",
        (
            "the owner changes what the PDS refuses: `PATCH /tracks/{id}`, `PUT /tracks/{id}/audio`; where the PDS "
            "takes it by now, `POST /tracks/{id}/mirror/retry`, or an operator's `mastertape redrive`"
        ),
    )


class MirrorReason(State):
    """Reasons of a mirror's state, beside lane states and names of the PDS's errors."""

    SENDING = "sending", "it is due, or being sent", "the relay sends it"
    SUCCESSOR = (
        "successor",
        "what a namespace move left is deleted once the PDS has the record in its new place",
        "as the mirror of the record in its new place",
    )
    SUBJECT = (
        "subject",
        "what it is about has no record yet",
        "the relay, once that has one",
    )
    BLOB = "blob", "its audio is to be uploaded", "the relay uploads it"
    BACKOFF = "backoff", "an attempt failed; it is tried again at a known time", "the relay tries again"
    PACED = "paced", "the PDS asked for a pause", "the relay sends it after the pause"
    VERIFYING = (
        "verifying",
        "a delete is confirmed once an unanswered create can no longer land",
        "the relay confirms it",
    )
    PDS_AWAY = (
        "pds_away",
        "the PDS does not answer; the relay tries again, ever more rarely",
        "the relay, once the PDS answers; at once after `mastertape resume`",
    )
    PAUSED = (
        "paused",
        "an operator paused the account or its host",
        "an operator resumes what was paused: `mastertape resume`",
    )
    RESTORED = (
        "restored",
        "the database was restored from a backup; the account's records are compared first",
        "an operator has them compared: `mastertape recovered`, then `mastertape verify pds`",
    )
    NEEDS_CONSENT = (
        "needs_consent",
        "the login does not allow records of this kind; others are sent",
        "the owner signs in again: `GET /auth/login`",
    )
    FOREIGN_EDIT = "foreign_edit", "another client changed the record", "as `held`"
    NEWER_ON_PDS = (
        "newer_on_pds",
        "after a restore: the record was written again after this delete",
        "the owner keeps it: `POST /tracks/{id}/undelete`; or deletes it: `POST /tracks/{id}/mirror/retry`",
    )
    RECORD_MISSING = "record_missing", "the record was deleted elsewhere", "as `detached`"
    MIGRATION_NEEDED = (
        "migration_needed",
        "the record was to be created again, but the old collection holds one under its key",
        (
            "the owner moves that one: `POST /tracks/{id}/migrate-namespace`; once it is gone: "
            "`POST /tracks/{id}/restore-record`; or the owner deletes the track: `DELETE /tracks/{id}`"
        ),
    )


class UnsentOutcome(State):
    """Outcomes of attempts that sent nothing; those that sent something end with the kind of their verdict."""

    CANCELLED = "cancelled", "the record was deleted before anything was sent, or is not ours to delete"
    ADOPTED = "adopted", "another client had written what the generation says"
