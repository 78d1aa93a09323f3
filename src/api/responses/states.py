"""The states, outcomes and actions that requests and responses name, for pages that say them in words."""

# ruff: noqa: F401 - each is there to be imported from here

from eventstore.jobs.kinds import PERIODIC
from eventstore.jobs.table import JobState
from identity.sessions.session_store import LoginState
from outbox.mirror.delivery_counts import WITHIN_MS
from outbox.mirror.parking import PARKING
from outbox.mirror.states import PROBED, BreakerState, LaneState, MirrorReason, MirrorState, UnsentOutcome
from outbox.mirror.targets import DELETE
from outbox.operations.operators import Action
from outbox.pds.verdict import OUR_ERRORS
from outbox.pds.verdict import Kind as VerdictKind
from outbox.views.deliveries import EventStatus
from projections.tracks.queries import AudioCopyState
from replay.adoption.adopt import ADOPTION
from replay.reconcile.drift import DriftKind, Repair
from replay.repair.jobs import RepairState, SkipReason
