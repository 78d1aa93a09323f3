"""The steps that change the state of one track: its owner's, operators', and what other clients, PDSes and time do."""

from collections.abc import Callable

from aggregates.tracks.track import Track
from aggregates.values import SupportGate
from application.records import Resolution, copy_audio_to_pds, retry_mirror
from application.subjects import On, delete_owned
from outbox.operations.operators import Action
from tests.dsl import COLLECTION, OLD_COLLECTION, some_feature
from tests.fake_pds.account import Status
from tests.outbox.rigs.wire import answer_lost
from tests.simulation.one_track import OneTrack
from tests.simulation.saved_track import HOME, STANDING, UNTAKEN_TITLE

Step = Callable[[OneTrack], object]
UNTAKEN_FEATURE = {"did": "did:plc:carol", "handle": "carol.test", "displayName": "x" * 300}

OWNER: dict[str, Step] = {
    "edit": lambda it: it.edit(title=f"title {it.track.version}"),
    "edit what the PDS refuses": lambda it: it.edit(title=UNTAKEN_TITLE),
    "feature": lambda it: it.tells(lambda track: track.edit({"features": (some_feature(),)}, at=it.clock())),
    "delete": lambda it: it.gives(lambda unit: delete_owned(unit, On(Track, 1))),
    "undelete": OneTrack.undeletes,
    "gate": lambda it: it.tells(lambda track: track.set_support_gate(SupportGate("any"), at=it.clock())),
    "replace audio": lambda it: it.tells(
        lambda track: track.replace_audio(it.bytes.keep(b"other" * 500), at=it.clock())
    ),
    "copy audio": lambda it: it.gives(lambda unit: copy_audio_to_pds(unit, On(Track, 1))),
    "change namespace": OneTrack.changes_namespace,
    "restore record": OneTrack.restores_record,
    "keep ours": lambda it: it.resolves(Resolution.OURS),
    "keep theirs": lambda it: it.resolves(Resolution.THEIRS),
    "retry": lambda it: it.gives(lambda unit: retry_mirror(unit, On(Track, 1))),
    "sign in": OneTrack.signs_in,
    "sign out": OneTrack.signs_out,
    "leave": OneTrack.leaves,
}
OPERATORS: dict[str, Step] = {
    "pause": lambda it: it.operator(Action.PAUSE),
    "pause the host": lambda it: it.operator(Action.PAUSE, host=HOME),
    "resume": lambda it: [it.operator(Action.RESUME), it.operator(Action.RESUME, host=HOME)],
    "redrive": lambda it: it.operator(Action.REDRIVE),
    "probe": lambda it: it.operator(Action.PROBE),
    "restore the database": OneTrack.database_is_restored,
    "restore a deletion": OneTrack.deletion_is_restored,
    "recovered": OneTrack.is_recovered,
    "verify": OneTrack.is_verified,
}
WORLD: dict[str, Step] = {
    **{f"the PDS {name}": lambda it, name=name: it.pds_is(name) for name in STANDING},
    "an answer is lost": lambda it: it.wire.faults.append(answer_lost),
    "others edit": lambda it: it.others_write(title="theirs"),
    "others add a field": lambda it: it.others_write(likes=3),
    "others write what no record of ours may have": lambda it: it.others_write(album=3),
    "others break a feature": lambda it: it.others_write(features=[UNTAKEN_FEATURE]),
    "others write in the new place": lambda it: it.others_write(COLLECTION, title="theirs"),
    "others write in the old place": lambda it: it.others_write(OLD_COLLECTION, title="theirs"),
    "others delete": OneTrack.others_delete,
    "the account is deactivated": lambda it: it.stands(Status.DEACTIVATED),
    "the account is taken down": lambda it: it.stands(Status.TAKENDOWN),
    "the account is deleted": OneTrack.is_deleted_at_its_pds,
    "the account is nowhere for days": OneTrack.is_nowhere_for_days,
    "the account moves": OneTrack.moves_host,
    "the PDS loses the audio": OneTrack.pds_loses_audio,
    "storage loses the audio": lambda it: it.bytes.held.clear(),
    "the relay stops": lambda it: setattr(it, "is_relaying", False),
    "the relay starts": lambda it: setattr(it, "is_relaying", True),
    "nothing": lambda _it: None,
    "four days": lambda it: [it.passes(hours=2), it.passes(days=4)],
    "two hours": lambda it: it.passes(hours=2),
    "a scan": lambda it: it.passes(minutes=1),
}
STEPS = {**OWNER, **OPERATORS, **WORLD}
GRAVE = (
    "edit what the PDS refuses",
    "delete",
    "change namespace",
    "restore the database",
    "the PDS refuses records",
    "others edit",
    "others delete",
    "the account is deleted",
    "four days",
)
"""Those after which most tracks need an exit."""
EXITS: dict[str, tuple[str, ...]] = {
    "GET /auth/login": ("sign in",),
    "DELETE /me": ("leave",),
    "POST /tracks/{id}/mirror/retry": ("retry",),
    "POST /ops/lanes": ("probe",),
    "POST /tracks/{id}/mirror/resolve": ("keep ours", "keep theirs"),
    "DELETE /tracks/{id}": (),
    "POST /tracks/{id}/restore-record": ("restore record",),
    "POST /tracks/{id}/migrate-namespace": ("change namespace",),
    "POST /tracks/{id}/undelete": ("undelete",),
    "PATCH /tracks/{id}": ("edit",),
    "PUT /tracks/{id}/audio": ("replace audio",),
    "mastertape redrive": ("redrive",),
    "mastertape resume": ("resume",),
    "mastertape recovered": ("recovered",),
    "mastertape verify pds": ("verify",),
}
"""The steps behind each route and command that the page of states names as an exit."""
