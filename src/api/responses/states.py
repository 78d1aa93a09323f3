"""The states that responses name, for pages that say them in words."""

from outbox.mirror.states import PROBED, LaneState, MirrorReason, MirrorState
from outbox.views.deliveries import EventStatus
from projections.blob_migration import AudioCopyState

__all__ = ["PROBED", "AudioCopyState", "EventStatus", "LaneState", "MirrorReason", "MirrorState"]
