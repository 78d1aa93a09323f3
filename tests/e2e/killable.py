"""A service that is killed at a named point and started again, and an artist who goes on meanwhile."""

import itertools
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from demo.agreement import differences
from demo.service import MASTERTAPE, Service
from demo.story import COLLECTION
from devpds.server import DevPds
from outbox.relay.delivery_task import BATCH_FROM
from tests.e2e.artist import MIGRATE, UNDELETE, Artist
from tests.e2e.eventually import eventually
from tests.faults.failpoints import Trigger
from tests.faults.proxy import FaultProxy
from tests.servers.atproto import PdsAccount

LEASE_SECONDS = 4
"""Of refreshes and keys."""
CONVERGES_WITHIN = LEASE_SECONDS + 26
"""Half the lease of a relay: alone it takes one second for 16 records of a replay, and each victim has many at the end."""
TAKEN_ALONG_AFTER_SECONDS = 10
"""If no armed point was passed by then, a lane run for another record has taken the act along: a further edit has a run of its own."""
WAITING = {"held", "detached", "rejected", "parked"}
FOREIGN = {"ForeignEditObserved", "ForeignEditAdopted", "RecordMissing"}


SEVERAL = BATCH_FROM + 1
"""Where the first of them fails, the others are a batch."""


class KillableService(Service):
    """`mastertape serve` under a supervisor that kills it at a failpoint."""

    def __init__(self, data: Path, pds: DevPds, env: Mapping[str, str]) -> None:
        self.trigger = Trigger(data / "trigger")
        program = [sys.executable, "-m", "tests.faults.killable", self.trigger.path, str(LEASE_SECONDS)]
        super().__init__(data, pds, program=program, env=env)

    def command(self, *words: str) -> None:
        """Run a command beside it, which is not killed."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("MASTERTAPE_")}
        done = subprocess.run(
            [MASTERTAPE, *words], env=ours | self.settings, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)

    def is_killed(self, *, within: float) -> bool:
        """Whether it is killed at its point in so many seconds."""
        deadline = time.monotonic() + within
        while self.trigger.armed and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.trigger.armed

    def await_next_life(self) -> None:
        """Wait until it was killed at its point, and answers again."""
        eventually(lambda: not self.trigger.armed)
        with httpx.Client(timeout=10) as http:
            eventually(lambda: self._is_ready(http))


class Victim:
    artist: Artist

    def __init__(self, service: KillableService, pds: DevPds, account: PdsAccount, proxy: FaultProxy) -> None:
        self.service, self.proxy = service, proxy
        self.lost_records = 0
        """How many records another client deleted."""
        self.others: set[str] = set()
        """CIDs of records that another client wrote."""
        self._pds, self._account = pds, account
        self._titles: dict[int, list[str]] = {}
        self._numbers = itertools.count()

    def begins(self) -> None:
        """Start the service, sign in, and have a first track on the PDS."""
        self.service.start()
        self.artist = Artist(self.service, self._pds, self._account)
        self.publishes()

    def ends(self) -> None:
        if hasattr(self, "artist"):
            self.artist.client.http.close()
            self.service.trigger.disarm()  # else it would be started again
            self.service.trigger.pull()  # sooner than in order
        self.service.stop()

    # What the artist does

    def creates(self) -> None:
        title = self._title()
        self.artist.uploads(title=title)
        self._titles[self.artist.track_id] = [title]

    def edits(self) -> None:
        title = self._title()
        self.artist.edits(title=title)
        self._titles[self.artist.track_id].append(title)

    def edits_and_waits(self) -> None:
        """The same, and wait for the PDS: the edit itself leases the lane."""
        title = self._title()
        change = {"json": {"title": title}, "headers": {"Prefer": "wait=10"}}
        assert self.artist.client.http.patch(f"/tracks/{self.artist.track_id}", **change).status_code == 200
        self._titles[self.artist.track_id].append(title)

    def edits_under_a_key(self) -> None:
        """The same under a key, asked for until it is answered, and once more after the next edit."""
        change = {"json": {"title": self._title()}, "headers": {"Idempotency-Key": uuid.uuid4().hex}}
        answer = self._answer_to(change)
        self._titles[self.artist.track_id].append(change["json"]["title"])
        self.edits()
        assert self._answer_to(change) == answer

    def deletes(self) -> None:
        self.artist.client.delete(self.artist.track_id)

    def undeletes(self) -> None:
        assert self.artist.asks(UNDELETE).status_code == 200

    def migrates(self) -> None:
        assert self.artist.asks(MIGRATE, prefer="wait=0").status_code == 202

    def publishes(self) -> None:
        self.creates()
        self.converges()

    def publishes_several(self) -> None:
        for _ in range(SEVERAL):
            self.creates()
        self.converges()

    def edits_several(self) -> None:
        for track_id, titles in list(self._titles.items())[-SEVERAL:]:
            title = self._title()
            self.artist.client.edit(track_id, title=title)
            titles.append(title)

    def loses_all_records(self) -> None:
        """Another client deletes every record, and an operator applies the plan that restores them."""
        for record in self.artist.pds.list_records(self.artist.did, COLLECTION):
            self.artist.pds.delete_record(self.artist.did, COLLECTION, record["uri"].rpartition("/")[2])
            self.lost_records += 1
        self.service.command("apply", "--yes", "--did", self.artist.did)

    def publishes_and_deletes(self) -> None:
        self.publishes()
        self.deletes()
        self.converges()

    def is_live(self) -> None:
        if self.artist.gets().status_code == 404:
            self.undeletes()

    @property
    def place(self) -> tuple[str, str]:
        return COLLECTION, self.artist.rkey

    @property
    def record(self) -> dict[str, Any] | None:
        found = self.artist.pds.get_record(self.artist.did, *self.place)
        return found["value"] if found is not None else None

    # How it dies

    def dies(self, kill: Callable[[], None], act: Callable[[], None]) -> None:
        """Do the act with a kill armed; return when the service runs again."""
        kill()
        with suppress(httpx.TransportError):  # it died before it could answer: nothing was acknowledged
            act()
            if not self.service.is_killed(within=TAKEN_ALONG_AFTER_SECONDS):
                self.is_live()
                self.edits()
        self.service.await_next_life()

    # What must be true then

    def converges(self) -> None:
        """Wait until log and PDS agree on every track, by themselves and in time."""
        deadline = time.monotonic() + CONVERGES_WITHIN
        while wrong := self.disagreements():
            assert time.monotonic() < deadline, wrong
            time.sleep(0.05)

    def disagreements(self) -> list[Any]:
        artist = self.artist
        mirror = artist.mirror
        assert mirror["state"] not in WAITING, mirror
        if mirror["state"] != "delivered":
            return [mirror]
        track = artist.client.track(artist.track_id) if mirror["desired"]["op"] == "put" else None
        return differences(track, artist.record)

    def is_whole(self) -> None:
        """Assert that all that was acknowledged is in the log and at the PDS, and that none of it was taken for a foreign edit."""
        eventually(lambda: {track["atproto_record_uri"] for track in self._live()} == self._records())
        for track_id, titles in self._titles.items():
            history = self.artist.client.history(track_id)
            foreign = FOREIGN - ({"RecordMissing"} if self.lost_records else set())
            assert not foreign & {row["type"] for row in history}, history
            assert titles == [title for title in _titles(history) if title in titles], (titles, history)

    def told(self) -> "Counter[str]":
        ids = {*self._titles, *(track["id"] for track in self._live())}
        return Counter(row["type"] for track_id in ids for row in self.artist.client.history(track_id))

    def _answer_to(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Repeat a PATCH until it is answered with anything but `in_progress`."""
        replies: list[httpx.Response] = []

        def is_answered() -> bool:
            with suppress(httpx.TransportError):
                replies.append(self.artist.client.http.patch(f"/tracks/{self.artist.track_id}", **change))
                return replies[-1].json().get("detail", {}).get("error") != "in_progress"
            return False

        eventually(is_answered)
        assert replies[-1].status_code == 200, replies[-1].text
        body: dict[str, Any] = replies[-1].json()
        return body

    def _live(self) -> list[dict[str, Any]]:
        """All tracks, those of uploads that were never acknowledged too."""
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"cursor": None}
        while True:
            params = {"artist": self.artist.did, "limit": 100, "cursor": page["cursor"]}
            given = {name: value for name, value in params.items() if value is not None}
            page = self.artist.client.http.get("/tracks", params=given).raise_for_status().json()
            found += page["items"]
            if page["cursor"] is None:
                return found

    def _records(self) -> set[str]:
        return {record["uri"] for record in self.artist.pds.list_records(self.artist.did, COLLECTION)}

    def _title(self) -> str:
        return f"Take {next(self._numbers)}"


def _titles(history: Iterable[Mapping[str, Any]]) -> list[str]:
    return [change["after"] for row in history for change in row["changes"] if change["field"] == "title"]
