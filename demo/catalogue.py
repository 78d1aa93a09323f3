"""Twenty tracks with something to look at: edits, covers, one record held, one parked, one refused, and one too large an audio."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from demo.media import cover, tone
from demo.service import Client
from demo.story import COLLECTION, DELIVERY_TIMEOUT_SECONDS
from devpds.server import DevPds

TITLES: Final = (
    "Harbour Lights", "Slow Exposure", "Copper Wire", "Night Bus Home", "Paper Boats", "The Long Way Down", "Low Tide", "Tin Roof Rain",
    "Seventeen Windows", "Borrowed Coat", "Halfway to Morning", "Small Hours", "Kitchen Radio", "Glass Bridge", "Salt and Iron",
    "A Map of Somewhere", "Winter Orchard", "Second Platform", "Loose Change",
)  # fmt: skip
ALBUMS: Final = ("Pressings", "Pressings, Vol. 2", "Field Notes")
UNFINISHED: Final = ALBUMS[2]
TAGS: Final = ('["ambient", "tape"]', '["folk"]', '["demo", "electronic"]')
COLORS: Final = (("teal", "gold"), ("maroon", "white"), ("darkslateblue", "salmon"), ("olive", "ivory"))
NOTES: Final = "Recorded in one go, on the second evening.\n\nThanks to everyone who carried the piano."
LONG_SECONDS: Final = 150.0
"""A WAV file of this length is larger than the blobs that the PDS accepts."""
WAVEFORM: Final = "7f" * 499_000
"""Another program's field that nearly fills a record: @atproto/pds takes requests of 1,000,000 bytes."""
LONG_NOTES: Final = "\n\n".join([NOTES] * 50)
"""Nearly as much as liner notes may hold."""


@dataclass(frozen=True)
class Catalogue:
    """The tracks that wait for something, by what they wait for."""

    held: int
    parked: int
    refused: int
    too_long: int
    """The track whose audio is too large for the PDS; its record is delivered without it."""
    unfinished: tuple[int, ...]
    """The other tracks of UNFINISHED, the album on which the artist still works."""


def make_catalogue(artist: Client, guest: Client, pds: DevPds, did: str) -> Catalogue:
    """Fill the artist's catalogue; the guest's track is parked, since the guest has taken the login back."""
    tracks = [_upload(artist, number) for number in range(len(TITLES))]
    for number, track_id in enumerate(tracks):
        if number % 2:
            artist.edit(track_id, title=f"{TITLES[number]} (second take)", description=NOTES)
    held, refused = tracks[2], tracks[4]
    change_elsewhere(artist, pds, did, held)
    outgrow_pds(artist, pds, did, refused)
    catalogue = Catalogue(held, _parked(guest), refused, _too_long(artist), tuple(tracks[5::3]))
    _wait_for(lambda: bool(artist.mirror(catalogue.too_long)["blob_error"]) and not _is_at_work(artist))
    return catalogue


def change_elsewhere(artist: Client, pds: DevPds, did: str, track_id: int) -> None:
    """Have another program change the record, and then the artist edit the track: the record is held."""
    _write_elsewhere(artist, pds, did, track_id, title="Copper Wire (radio edit)")
    artist.edit(track_id, description="Mastered again.")
    _wait_for(lambda: artist.mirror(track_id)["state"] == "held")


def outgrow_pds(artist: Client, pds: DevPds, did: str, track_id: int) -> None:
    """Have another program nearly fill the record, and then the artist write more than still fits: the PDS refuses it."""
    _write_elsewhere(artist, pds, did, track_id, waveform=WAVEFORM)
    artist.edit(track_id, description=LONG_NOTES)
    _wait_for(lambda: artist.mirror(track_id)["state"] == "rejected")


def _write_elsewhere(artist: Client, pds: DevPds, did: str, track_id: int, **fields: str) -> None:
    _wait_for(lambda: artist.mirror(track_id)["state"] == "delivered")
    rkey = artist.track(track_id)["atproto_record_uri"].rsplit("/", 1)[1]
    record = pds.get_record(did, COLLECTION, rkey) or {"value": {}}
    pds.put_record(did, COLLECTION, rkey, {**record["value"], **fields})


def _upload(artist: Client, number: int) -> int:
    track = artist.upload(
        tone(131 * (1 + number / 12)), title=TITLES[number], album=ALBUMS[number % 3], tags=TAGS[number % 3]
    )
    if number % 5:
        artist.set_artwork(track["id"], cover(*COLORS[number % 4]))
    return int(track["id"])


def _parked(guest: Client) -> int:
    track_id = int(guest.upload(tone(330), title="Guest Spot")["id"])
    _wait_for(lambda: guest.mirror(track_id)["state"] == "delivered")
    guest.http.post("/me/disconnect").raise_for_status()
    guest.edit(track_id, title="Guest Spot, again")
    return track_id


def _too_long(artist: Client) -> int:
    track_id = int(artist.upload(tone(82, LONG_SECONDS), title="The Whole Side")["id"])
    artist.http.post("/me/migrate-to-pds").raise_for_status()
    return track_id


def _is_at_work(artist: Client) -> bool:
    return "pending" in artist.http.get("/me/mirror").raise_for_status().json()["waiting"]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DELIVERY_TIMEOUT_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
