"""Audio by file id: with and without extension, as an address, and as a file to keep."""

from tests.api.world import upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

SOUND = samples.mp3(1)

pytestmark = ON_SQLITE


def test_audio_is_served_by_its_id_with_and_without_extension_whole_and_in_ranges(client, alice):
    track = upload(client, alice)
    path = f"/plyr/audio/{track['file_id']}"
    for url in (path, f"{path}.mp3"):
        assert (client.get(url).content, client.head(url).headers["content-length"]) == (
            SOUND,
            str(len(SOUND)),
        )
        part = client.get(url, headers={"Range": "bytes=1-4"})
        assert (part.status_code, part.content) == (206, SOUND[1:5])
    assert client.get(f"{path}.wav").status_code == 404
    assert client.get(f"{path}/url").json() == {
        "url": track["audio_url"],
        "file_id": track["file_id"],
        "file_type": "mp3",
    }


def test_gated_audio_is_for_its_owner_however_it_is_asked_for(client, alice, bob):
    file_id = upload(client, alice, support_gate={"type": "any"})["file_id"]
    for end in ("", ".mp3", "/url", "/download"):
        url = f"/plyr/audio/{file_id}{end}"
        assert client.get(url).status_code == 401
        assert client.get(url, headers=bob.headers).status_code == 402
        assert client.get(url, headers=alice.headers).status_code == 200
