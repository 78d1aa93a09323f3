"""Requests as clients of plyr.fm send them."""

import json

from tests.media_samples import samples


def uploads(client, person, seed=1, **fields):
    files = {"file": ("song.mp3", samples.mp3(seed))}
    data = {"title": "Song", **fields}
    return client.post("/plyr/tracks/", data=data, files=files, headers=person.headers)


def uploaded(client, person, seed=1, **fields):
    """Upload a track; return it as our own route shows it."""
    answer = uploads(client, person, seed, **fields)
    assert answer.status_code == 200, answer.text
    return client.get(f"/tracks/{answer.json()['track_id']}", headers=person.headers).json()


def edits(client, person, track, **fields):
    return client.patch(f"/plyr/tracks/{track['id']}", data=fields, headers=person.headers)


def replaces(client, person, track, seed):
    files = {"file": ("song.mp3", samples.mp3(seed))}
    return client.put(f"/plyr/tracks/{track['id']}/audio", files=files, headers=person.headers)


def publishing(attach_rights=False, **access):
    return json.dumps({"access": access, "attach_rights": attach_rights})


def both(answer):
    """The status, our code and the peer's text of an error."""
    body = answer.json()
    assert isinstance(body["detail"], str)
    assert answer.headers["content-length"] == str(len(answer.content))
    return answer.status_code, body["error"], body["detail"]


def refused(answer):
    return both(answer)[:2]
