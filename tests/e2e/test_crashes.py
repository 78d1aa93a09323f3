"""After kill -9 of `serve` what was acknowledged arrives, and our own writes are never taken for another client's."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from demo.service import Service
from devpds.server import DevPds
from tests.e2e.artist import MIGRATE, UNDELETE, Artist
from tests.e2e.conftest import ONE_DATABASE, NewArtist
from tests.faults.faults import Fault, cut_after, hang, hang_after
from tests.faults.proxy import FaultProxy, applied, of_repo

pytestmark = [pytest.mark.pds, ONE_DATABASE]

BEFORE, AFTER = "Before the crash", "After the crash"


def publishes(artist: Artist) -> None:
    """Upload a track and have it on the PDS."""
    artist.uploads()
    artist.agreed()


def publishes_with_audio(artist: Artist) -> None:
    """The same, with the audio on the PDS."""
    publishes(artist)
    assert artist.asks(MIGRATE).status_code == 200


def creates(artist: Artist) -> None:
    artist.uploads(title=BEFORE)


def retitles(artist: Artist) -> None:
    assert artist.edits(title=BEFORE)["title"] == BEFORE


def deletes(artist: Artist) -> None:
    artist.client.delete(artist.track_id)


def migrates(artist: Artist) -> None:
    assert artist.asks(MIGRATE, prefer="wait=0").status_code == 202


def test_what_was_committed_before_a_crash_is_delivered_after_it(
    service: Service, new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    creator, editor, deleter, mover = (new_artist(proxied_pds) for _ in range(4))
    for artist in (editor, deleter, mover):
        publishes(artist)
    proxy.refuse()
    creates(creator)
    retitles(editor)
    deletes(deleter)
    migrates(mover)

    service.kill()
    proxy.accept()
    service.start()

    assert creator.agreed()["title"] == editor.agreed()["title"] == BEFORE
    assert deleter.agreed() is None
    assert "audioBlob" in mover.agreed()


@dataclass
class Flight:
    """A request of the relay that is under way when the service is killed."""

    nsid: str
    fault: Fault
    change: Callable[[Artist], None]
    prepare: Callable[[Artist], None] = publishes_with_audio
    lost_before: int = 0

    def begin(self, artist: Artist, proxy: FaultProxy) -> None:
        """Do what makes the relay send it, and wait until it is on its way."""
        is_ours = of_repo(artist.did)
        if self.nsid == UPLOAD:  # names no account; only one flight is of this kind
            is_ours = lambda _: True  # noqa: E731
        if self.lost_before:
            proxy.on(self.nsid, fault=cut_after, times=self.lost_before, matches=is_ours)
        proxy.on(self.nsid, fault=self.fault, matches=is_ours)
        self.change(artist)
        sent = self.lost_before + 1
        proxy.await_passed(
            self.nsid,
            count=sent,
            matches=lambda each: is_ours(each) and (self.fault is hang or applied(each)),
        )


PUT, DELETE, UPLOAD = "putRecord", "deleteRecord", "uploadBlob"
FLIGHTS = {  # no more than one process has at one host at a time
    "a create that was applied": Flight(PUT, hang_after, creates, lambda _: None),
    "an edit that did not arrive": Flight(PUT, hang, retitles),
    "an edit whose first answer was lost": Flight(PUT, hang_after, retitles, lost_before=1),
    "a delete that was applied": Flight(DELETE, hang_after, deletes),
    "an upload of audio": Flight(UPLOAD, hang, migrates, publishes),
}


def test_a_request_in_flight_at_a_crash_is_known_as_ours_by_the_next_edit(
    service: Service, new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    artists = {name: new_artist(proxied_pds) for name in FLIGHTS}
    for name, flight in FLIGHTS.items():
        flight.prepare(artists[name])
    proxy.seen.clear()
    for name, flight in FLIGHTS.items():
        flight.begin(artists[name], proxy)
    service.kill()
    proxy.heal()
    service.start()

    for name, flight in FLIGHTS.items():
        if flight.nsid == DELETE:
            assert artists[name].asks(UNDELETE).status_code == 200
        artists[name].edits(album=AFTER)

    for name, flight in FLIGHTS.items():
        record = artists[name].agreed()
        assert record["album"] == AFTER, name
        assert (record["title"] == BEFORE) == (flight.change in {creates, retitles}), name
        assert ("audioBlob" in record) == (flight.change is not creates), name
