"""What operators ask the API for, and records that it tells them of."""

from tests.api.world import upload


def act(client, person, path, **body):
    return client.post(path, json=body, headers=person.headers)


def read(client, person, path, **wanted):
    answer = client.get(path, params=wanted, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def rejected(world, client, person, *seeds, error="InvalidRecord"):
    """Tracks whose records the PDS refuses."""
    tracks = [upload(client, person, title=f"{seed}", seed=seed) for seed in seeds]
    world.pds.write_refusals = [(400, error)] * len(seeds)
    world.deliver()
    return tracks


def by_cause(client, person, **wanted):
    body = read(client, person, "/ops/failures", by="cause", **wanted)
    assert body["items"] == []
    return body["causes"]
