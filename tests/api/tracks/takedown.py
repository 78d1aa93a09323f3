"""Takes tracks down, and lifts that."""


def decide(client, person, track, **body):
    body = {"reason": "a claim", **body}
    return client.post(f"/ops/tracks/{track['id']}/takedown", json=body, headers=person.headers)
