"""Requests about albums and playlists."""


def create(client, person, *tracks, path="/albums", headers=None, **fields):
    fields.setdefault("title" if path == "/albums" else "name", "Album")
    body = {**fields, "tracks": [{"track_id": track["id"]} for track in tracks]}
    answer = client.post(path, json=body, headers={**person.headers, **(headers or {})})
    assert answer.status_code == 201, answer.text
    return answer.json()


def ids(album):
    return [entry["track_id"] for entry in album["tracks"]]


def read(client, album, person=None, path="/albums"):
    return client.get(f"{path}/{album['id']}", headers=person.headers if person else {}).json()
