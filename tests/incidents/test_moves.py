"""Records that come from elsewhere or go somewhere else."""

from tests.api.world import upload
from tests.media_samples import samples

OLD, NEW = "app.relay.track", "fm.plyr.track"


def test_inc_32_a_move_to_another_collection_that_is_asked_for_twice_is_one_and_loses_no_field(world, alice):
    old = world.serve(collection=OLD)
    fields = {"description": "Words.", "album": "Pressings", "tags": ["demo"], "self_labels": ["explicit"]}
    tracks = [
        upload(old, alice, title=f"Take {seed}", seed=seed, image=samples.png(), **fields)
        for seed in range(3)
    ]
    world.deliver()
    before = {uri.replace(OLD, NEW): record for uri, record in world.pds.records.items()}
    assert {uri.split("/")[3] for uri in world.pds.records} == {OLD}
    new = world.serve(collection=NEW)

    world.pds.refusals.append((500, "InternalServerError"))
    for _ in range(2):
        for track in tracks:
            path = f"/tracks/{track['id']}/migrate-namespace"
            answer = new.post(path, headers={**alice.headers, "Prefer": "wait=0"})
            assert answer.status_code in {200, 202}
            new.post(f"/tracks/{track['id']}/mirror/retry", headers=alice.headers)
        world.deliver()

    assert set(world.pds.records) == set(before)
    for uri, record in world.pds.records.items():
        moved = {"$type": NEW, "mastertapeGen": record["mastertapeGen"]}
        assert record == before[uri] | moved
    assert [world.events(track["id"]) for track in tracks] == [["Created", "NamespaceMigrated"]] * 3
