"""Invariants of what follows the records of tracks: lists that refer to them, and what is counted at them."""

from sqlalchemy import select

from aggregates.lists.track_list import TrackList
from aggregates.reactions.like import Like
from aggregates.tracks.track import Track
from outbox.pds.client import RecordKey
from projections.reactions import track_count
from tests.simulation.snapshot import Snapshot


def lists_refer_to_the_newest(snapshot: Snapshot) -> None:
    """I19: each list that is as desired refers to the records that their PDSes have, of tracks that are as desired."""
    world = snapshot.world
    delivered = {
        world.key(each.subject_id): each
        for each in snapshot.records
        if each.kind is Track and each.mirror.state == "delivered" and not world.is_given_up(each.state.did)
    }
    for made in snapshot.records:
        if made.kind is not TrackList or made.mirror.state != "delivered" or made.stored is None:
            continue
        if world.is_given_up(made.state.did):
            continue
        written = {item["subject"]["uri"]: item["subject"]["cid"] for item in made.stored.value["items"]}
        for item in made.state.items:
            key = RecordKey.of_uri(item.uri)
            track = delivered.get((key.collection, key.rkey))
            if track is None:
                continue
            if track.stored is not None:
                assert written.get(item.uri) == track.stored.cid, (str(made), str(track))
            elif key.did == made.state.did:
                assert item.uri not in written, (str(made), str(track))


def counts_are_exact(snapshot: Snapshot) -> None:
    """I20: each track has as many likes as live likes say."""
    likes = [each.state for each in snapshot.records if each.kind is Like and each.state.deleted_at is None]
    with snapshot.world.database.read() as connection:
        found = connection.execute(select(track_count.c.track_id, track_count.c.likes)).all()
    counted = {track_id: number for track_id, number in found if number}
    told: dict[int, int] = {}
    for like in likes:
        told[like.track_id] = told.get(like.track_id, 0) + 1
    assert counted == told
