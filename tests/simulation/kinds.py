"""What the accounts of a world make, of each kind of record, and how they edit it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aggregates.accounts.profile import Profile
from aggregates.lists.track_list import TrackList
from aggregates.published import Published
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.tracks.track import Track
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.newest import items_of
from outbox.pds.client import RecordKey
from tests.dsl import A_RECORD, a_comment, a_like, a_list, a_profile, a_track

if TYPE_CHECKING:
    from tests.simulation.world import World

ITEMS = 4
"""Of a list, at the most."""


@dataclass(frozen=True)
class Making:
    """`make` is given the unit that saves it, its account and its id; `text` is the record's field that other clients edit."""

    make: Callable[..., Published]
    edit: Callable[[Any, random.Random, datetime], None]
    text: str = "elsewhere"


def _track(world: "World", _unit: UnitOfWork, did: str, track_id: int, **fields: Any) -> Track:
    audio = world.audio.keep(f"ID3 {world.seed} {track_id}".encode())
    return a_track(track_id, did=did, audio=audio, at=world.clock(), **fields)


def _edit_track(track: Track, dice: random.Random, at: datetime) -> None:
    changes: dict[str, object] = dice.choice([
        {"title": f"title {dice.randint(0, 9)}"},
        {"album": dice.choice([None, "one", "two"])},
        {"tags": (f"tag {dice.randint(0, 9)}",)},
        {"description": f"text {dice.randint(0, 9)}", "title": "both"},
    ])  # fmt: skip
    track.edit(changes, at=at)


def _like(world: "World", _unit: UnitOfWork, did: str, like_id: int) -> Like:
    """Of any track, which may have no record as yet."""
    track_id = world.dice.choice(world.ids(Track))
    liked = {"track_id": track_id, "track_uri": uri_of(world.state(track_id)), "track_cid": None}
    return a_like(like_id, did=did, at=world.clock(), **liked)


def _comment(world: "World", _unit: UnitOfWork, did: str, comment_id: int) -> Comment:
    return a_comment(comment_id, did=did, track_id=None, track_cid=A_RECORD["cid"], at=world.clock())


def _profile(world: "World", _unit: UnitOfWork, did: str, profile_id: int) -> Profile:
    return a_profile(profile_id, did=did, bio="Words", rkey=f"self{profile_id}", at=world.clock())


def _list(world: "World", unit: UnitOfWork, did: str, list_id: int) -> TrackList:
    """Of tracks of all accounts."""
    chosen = world.dice.sample(world.ids(Track), min(ITEMS, len(world.ids(Track))))
    uris = [uri_of(world.state(track_id)) for track_id in chosen]
    known = items_of(unit.connection, did, dict.fromkeys(uris))
    items = tuple(known[uri] for uri in uris)
    return a_list(list_id, did=did, list_type="playlist", items=items, at=world.clock())


def _edit_list(made: TrackList, dice: random.Random, at: datetime) -> None:
    uris = [item.uri for item in made.items]
    match dice.choice(["name", "move", "remove"]):
        case "move" if uris:
            made.move(uris[0], before=None, at=at)
        case "remove" if uris:
            made.remove(uris[0], at=at)
        case _:
            made.edit({"name": f"title {dice.randint(0, 9)}"}, at=at)


def _edits(field: str) -> Callable[[Any, random.Random, datetime], None]:
    return lambda made, dice, at: made.edit({field: f"text {dice.randint(0, 9)}"}, at=at)


def uri_of(made: Published) -> str:
    return RecordKey(made.did, made.collection, made.rkey).uri


KINDS: dict[type[Published], Making] = {
    Track: Making(_track, _edit_track, "title"),
    TrackList: Making(_list, _edit_list, "name"),
    Like: Making(_like, lambda *_: None),
    Comment: Making(_comment, _edits("text"), "text"),
    Profile: Making(_profile, _edits("bio"), "bio"),
}
ALL_KINDS = tuple(KINDS)
