"""A client that uploads to a release as the draft of resumable uploads has it."""

from urllib.parse import quote

from sqlalchemy import update

from storage.uploads.staged_uploads import release_upload
from tests.media_samples import samples

PARTIAL = "application/partial-upload"


class Owner:
    """The person of a client that signs in by itself."""

    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


def tagged(seed=0, *, title="", artist="", album="", disc="", number="", year="", cover=None):
    """Two seconds of MP3 whose tags say this."""
    frames = b""
    texts = {"TIT2": title, "TPE1": artist, "TALB": album, "TPOS": disc, "TRCK": number, "TYER": year}
    for name, text in texts.items():
        if text:
            frames += _frame(name, b"\x03" + text.encode())
    if cover is not None:
        frames += _frame("APIC", b"\x00image/png\x00\x03\x00" + cover)
    frames += _frame("TXXX", b"\0seed\0" + str(seed).encode())
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frames + samples.file("bare.mp3")


COMMENTS = slice(58, 106)
"""Where the FLAC of the samples has its comments."""


def tagged_flac(seed=0, **tags):
    """Two seconds of FLAC whose comments say this."""
    texts = [f"{name.upper()}={text}".encode() for name, text in tags.items()]
    sized = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    content = bytes(4) + len(texts).to_bytes(4, "little") + sized
    data = samples.flac(seed)
    block = b"\x04" + len(content).to_bytes(3) + content
    return data[: COMMENTS.start] + block + data[COMMENTS.stop :]


def bandcamp(titles, *, artist="The Tapes", album="Pressings"):
    """The files of an album as Bandcamp sends it, by their names; without its cover, which lies beside them."""
    return {
        f"{artist} - {album} - {number:02} {title}.flac": tagged_flac(
            number, title=title, artist=artist, album=album, tracknumber=number, date="2026"
        )
        for number, title in enumerate(titles, 1)
    }


def _frame(name, content):
    return name.encode() + len(content).to_bytes(4, "big") + b"\0\0" + content


def draft(client, person, **fields):
    answer = client.post("/releases", json=fields, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def read(client, person, release):
    return client.get(f"/releases/{release['id']}", headers=person.headers).json()


def begin(client, person, release, *, name="song.mp3", length=None, **headers):
    disposition = f"attachment; filename*=UTF-8''{quote(name)}"
    headers = {"Upload-Complete": "?0", "Content-Disposition": disposition, **headers}
    if length is not None:
        headers["Upload-Length"] = str(length)
    return client.post(f"/releases/{release['id']}/uploads", headers={**person.headers, **headers})


def begun(client, person, release, **how):
    answer = begin(client, person, release, **how)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def append(client, person, url, data, offset, *, last=False, **headers):
    given = {"Upload-Offset": str(offset), "Upload-Complete": "?1" if last else "?0", "Content-Type": PARTIAL}
    return client.patch(url, content=data, headers={**person.headers, **given, **headers})


def uploaded(client, person, release, data, **how):
    url = begun(client, person, release, **how)
    answer = append(client, person, url, data, 0, last=True)
    assert answer.status_code == 200, answer.text
    return answer.json()


def offset(client, person, url):
    answer = client.head(url, headers=person.headers)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (204, "no-store")
    return int(answer.headers["Upload-Offset"]), answer.headers["Upload-Complete"]


def age(world, url, by):
    this = release_upload.c.upload_id == url.rpartition("/")[2]
    world.execute(update(release_upload).where(this).values(begun_at=world.now() - by))
