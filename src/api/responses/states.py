"""The states and outcomes that responses name, for pages that say them in words."""

from outbox.mirror.states import PROBED, LaneState, MirrorReason, MirrorState
from outbox.mirror.targets import DELETE
from outbox.pds.verdict import Kind as VerdictKind
from outbox.relay.journal import UnsentOutcome
from outbox.views.deliveries import EventStatus
from projections.blob_migration import AudioCopyState
from replay.adoption.states import AdoptionState
from replay.reconcile.drift import DriftKind

__all__ = [
    "DELETE",
    "PROBED",
    "AdoptionState",
    "AudioCopyState",
    "DriftKind",
    "EventStatus",
    "LaneState",
    "MirrorReason",
    "MirrorState",
    "UnsentOutcome",
    "VerdictKind",
]
