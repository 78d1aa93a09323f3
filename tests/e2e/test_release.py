"""An album in one flow, on the real service and a real PDS: files with tags, one that is no audio, one that the PDS does not take, connections that break."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from demo.album import COLLECTION as LISTS
from demo.story import COLLECTION as TRACKS
from devpds.server import DevPds
from tests.api.releases.uploads import Owner, append, begin, offset, read, tagged
from tests.e2e.artist import Artist
from tests.e2e.conftest import ONE_DATABASE
from tests.waits import until

pytestmark = [pytest.mark.pds, ONE_DATABASE]
PDS_TAKES_BYTES = 100 * 1024 * 1024
PART_BYTES = 32 * 1024 * 1024
NO_AUDIO, LARGE, CUT = 5, 9, (2, 11)
NUMBERS = (7, 2, 12, 5, 1, 9, 3, 11, 4, 10, 6, 8)
"""Not in their order."""


def song(number: int) -> bytes:
    if number == NO_AUDIO:
        return b"Mixed on a Tuesday."
    data = tagged(number, title=f"Song {number}", album="Pressings", artist="A", number=f"{number}/12")
    # what no decoder reads: the frames of so long a sound would take it half a minute
    return data + bytes(PDS_TAKES_BYTES) if number == LARGE else data


def sends_until_it_breaks(http: httpx.Client, url: str, data: bytes, at: int) -> None:
    """Send the last bytes, of which only half leave before the connection is cut."""

    def half() -> Iterator[bytes]:
        yield data[: len(data) // 2]
        raise ConnectionError

    headers = {
        "Content-Type": "application/partial-upload",
        "Content-Length": str(len(data)),
        "Upload-Offset": str(at),
        "Upload-Complete": "?1",
    }
    with pytest.raises(ConnectionError):
        http.patch(url, content=half(), headers=headers)


def uploads(http: httpx.Client, release: dict[str, Any], number: int) -> httpx.Response:
    data, name = song(number), f"{number:02}.{'txt' if number == NO_AUDIO else 'mp3'}"
    begun = begin(http, Owner, release, name=name, length=len(data))
    url = begun.headers["Location"]
    if number in CUT:
        append(http, Owner, url, data[:3000], 0)
        sends_until_it_breaks(http, url, data[3000:], 3000)
    for at in range(offset(http, Owner, url)[0], len(data), PART_BYTES):
        answer = append(http, Owner, url, data[at : at + PART_BYTES], at, last=at + PART_BYTES >= len(data))
    return answer


def test_an_album_of_twelve_files_is_published_in_order_in_one_flow(artist: Artist, pds: DevPds) -> None:
    http = artist.client.http
    release = http.post("/releases", json={"copy_audio": True, "tags": ["ambient"]}).json()
    for number in NUMBERS:
        answer = uploads(http, release, number)
        assert answer.status_code == (400 if number == NO_AUDIO else 200), answer.text
    publish = f"/releases/{release['id']}/publish"
    answer = http.post(publish, json={})
    (missing,) = answer.json()["detail"]["files"]
    assert (answer.status_code, missing["name"]) == (409, "05.txt")
    http.delete(f"/releases/{release['id']}/uploads/{missing['upload_id']}")
    assert http.post(publish, json={}).status_code == 200
    assert http.post(publish, json={}).status_code == 200
    until(lambda: read(http, Owner, release)["state"] == "published")
    made = read(http, Owner, release)

    def tracks() -> list[dict[str, Any]]:
        return [http.get(f"/tracks/{track_id}").json() for track_id in made["track_ids"]]

    def mine() -> list[dict[str, Any]]:
        return list(http.get("/me/tracks").json()["items"])

    titles = [f"Song {number}" for number in range(1, 13) if number != NO_AUDIO]
    until(lambda: all(each["mirror"]["state"] == "delivered" for each in tracks()))
    until(lambda: not any(each["audio_copy"] == "wanted" for each in mine()))
    records = {each["uri"]: each["value"] for each in pds.list_records(artist.did, TRACKS)}
    assert len(records) == len(made["track_ids"]) == 11
    in_order = [records[each["atproto_record_uri"]] for each in tracks()]
    assert [each["title"] for each in in_order] == titles
    assert [each["title"] for each in in_order if "audioBlob" not in each] == [f"Song {LARGE}"]
    (listed,) = pds.list_records(artist.did, LISTS)
    assert listed["value"]["name"] == "Pressings"
    assert [item["subject"]["uri"] for item in listed["value"]["items"]] == [
        each["atproto_record_uri"] for each in tracks()
    ]
    assert sorted(each["title"] for each in mine()) == sorted(titles)
