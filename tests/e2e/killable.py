"""A service that is killed at a named point and started again, and an artist who goes on meanwhile, here with tracks (victims.py has other kinds)."""

import itertools
import os
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar

import httpx

from demo.agreement import differences
from demo.service import MASTERTAPE
from demo.story import COLLECTION as TRACKS
from devpds.server import DevPds
from outbox.relay.delivery_task import BATCH_FROM
from tests.e2e.artist import MIGRATE, Artist
from tests.faults.failpoints import FOLLOWING, Trigger
from tests.faults.proxy import FaultProxy
from tests.servers.atproto import PdsAccount
from tests.servers.preloaded import KILLABLE, Service
from tests.waits import until

LEASE_SECONDS = 4
"""Of refreshes and keys."""
CONVERGES_WITHIN = LEASE_SECONDS + 26
"""Half the lease of a relay: alone it takes one second for 16 records of a replay, and each victim has many at the end."""
TAKEN_ALONG_AFTER_SECONDS = 10
"""If no armed point was passed by then, a lane run for another record has taken the act along: a further edit has a run of its own."""
LOOK_AGAIN_SECONDS = 0.2
"""One look asks for up to twenty answers."""
WAITING = {"held", "detached", "rejected", "parked"}
FOREIGN = {"ForeignEditObserved", "ForeignEditAdopted", "RecordMissing"}


SEVERAL = BATCH_FROM + 1
"""Where the first of them fails while the others wait, these are a batch."""


class Patient(httpx.HTTPTransport):
    """Asks again what the service could not do because its database was away: nothing was changed."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + CONVERGES_WITHIN
        while (reply := super().handle_request(request)).status_code == 503 and time.monotonic() < deadline:
            reply.read()
            time.sleep(0.05)
        return reply


class KillableService(Service):
    """`mastertape serve` under a supervisor that kills it at a failpoint, or its connections to `nodes`."""

    def __init__(self, data: Path, pds: DevPds, env: Mapping[str, str], nodes: Sequence[str] = ()) -> None:
        self.trigger = Trigger(data / "trigger", nodes)
        program = [KILLABLE, self.trigger.path, str(LEASE_SECONDS)]
        super().__init__(data, pds, program=program, env=env)

    def command(self, *words: str) -> str:
        """Run a command beside it, which is not killed; returns what it prints."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("MASTERTAPE_")}
        done = subprocess.run(
            [MASTERTAPE, *words], env=ours | self.settings, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def is_killed(self, *, within: float) -> bool:
        """Whether it is killed at its point in so many seconds."""
        deadline = time.monotonic() + within
        while self.trigger.armed and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.trigger.armed

    def await_next_life(self) -> None:
        """Wait until it was killed at its point, and answers again."""
        until(lambda: not self.trigger.armed)
        with httpx.Client(timeout=10) as http:
            until(lambda: self._is_ready(http))


class Victim:
    """An artist at a killable service, who makes and changes records of one kind."""

    PLURAL, COLLECTION, TEXT, URI = "tracks", TRACKS, "title", "atproto_record_uri"
    """Where the kind is in the API and at the PDS, the field that an edit changes, and the one that names the record."""
    PASSED_BY_OTHERS: ClassVar[tuple[str, ...]] = FOLLOWING
    """How points begin that nothing of this kind passes."""
    CANNOT: ClassVar[frozenset[str]] = frozenset()
    """Acts that the API has not for this kind."""
    artist: Artist

    def __init__(self, service: KillableService, pds: DevPds, account: PdsAccount, proxy: FaultProxy) -> None:
        self.service, self.proxy = service, proxy
        self.all_are_edited = threading.Event()
        self.lost_records = 0
        """How many records another client deleted."""
        self.others: set[str] = set()
        """CIDs of records that another client wrote."""
        self._pds, self._account = pds, account
        self._texts: dict[int, list[str]] = {}
        """What was acknowledged of each."""
        self._numbers = itertools.count()

    @classmethod
    def passes(cls, point: str) -> bool:
        return not point.startswith(cls.PASSED_BY_OTHERS)

    def begins(self) -> None:
        """Start the service, sign in, and have a first record on the PDS."""
        self.service.start()
        self.artist = Artist(self.service, self._pds, self._account)
        http = self.artist.client.http
        http._transport.close()  # noqa: SLF001 - there is no public way
        http._transport = Patient()  # noqa: SLF001
        self.publishes()

    def ends(self) -> None:
        if hasattr(self, "artist"):
            self.artist.client.http.close()
            self.service.trigger.disarm()  # else it would be started again
            self.service.trigger.pull()  # sooner than in order
        self.service.stop()

    # What the artist does

    def creates(self) -> None:
        text = self._text()
        self._texts.setdefault(self.makes(text)["id"], []).append(text)

    def makes(self, text: str) -> dict[str, Any]:
        return self.artist.uploads(title=text)

    def edits(self, subject_id: int | None = None, **headers: str) -> None:
        subject_id, text = subject_id or self.subject_id, self._text()
        change = {"json": {self.TEXT: text}, "headers": headers}
        self.asks("PATCH", self.edited_at(subject_id), **change)
        self._texts[subject_id].append(text)

    def edits_thrice(self) -> None:
        for _ in range(3):
            self.edits()

    def edits_and_waits(self) -> None:
        """The same, and wait for the PDS: the edit itself leases the lane."""
        self.edits(Prefer="wait=10")

    def edits_under_a_key(self) -> None:
        """The same under a key, asked for until it is answered, and once more after the next edit."""
        change = {"json": {self.TEXT: self._text()}, "headers": {"Idempotency-Key": uuid.uuid4().hex}}
        answer = self._answer_to(change)
        self._texts[self.subject_id].append(change["json"][self.TEXT])
        self.edits()
        assert self._answer_to(change) == answer

    def deletes(self) -> None:
        self.asks("DELETE", self.path)

    def undeletes(self) -> None:
        self.asks("POST", f"{self.path}/undelete")

    def migrates(self) -> None:
        self.asks("POST", f"{self.path}/{MIGRATE}", headers={"Prefer": "wait=0"})

    def publishes(self) -> None:
        self.creates()
        self.converges()

    def publishes_several(self) -> None:
        for _ in range(SEVERAL):
            self.creates()
        self.converges()

    def edits_several(self) -> None:
        try:
            for subject_id in list(self._texts)[-SEVERAL:]:
                self.edits(subject_id)
        finally:
            self.all_are_edited.set()

    def loses_all_records(self) -> None:
        """Another client deletes every record, and an operator applies the plan that restores them."""
        for uri in self._records():
            self.artist.pds.delete_record(self.artist.did, self.COLLECTION, uri.rpartition("/")[2])
            self.lost_records += 1
        self.service.command("apply", "--yes", "--did", self.artist.did)

    def publishes_and_deletes(self) -> None:
        self.publishes()
        self.deletes()
        self.converges()

    def is_live(self) -> None:
        if self.shown(self.subject_id) is None:
            self.undeletes()

    # What is to be seen

    @property
    def subject_id(self) -> int:
        """The last one of which the artist knows."""
        return list(self._texts)[-1]

    @property
    def path(self) -> str:
        return f"/{self.PLURAL}/{self.subject_id}"

    def edited_at(self, subject_id: int) -> str:
        return f"/{self.PLURAL}/{subject_id}"

    def asks(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        reply = self.artist.client.http.request(method, path, **request)
        assert reply.is_success, (method, path, reply.status_code, reply.text)
        return dict(reply.json())

    def shown(self, subject_id: int) -> dict[str, Any] | None:
        reply = self.artist.client.http.get(f"/{self.PLURAL}/{subject_id}")
        return None if reply.status_code == 404 else dict(reply.raise_for_status().json())

    def live(self) -> list[dict[str, Any]]:
        """All of the kind, also what was never acknowledged."""
        return self.artist.pages("/tracks", artist=self.artist.did)

    @property
    def place(self) -> tuple[str, str]:
        return self.COLLECTION, self.mirror["record_uri"].rpartition("/")[2]

    @property
    def mirror(self) -> dict[str, Any]:
        return self.asks("GET", f"{self.path}/mirror")

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
        """Wait until log and PDS agree on every record, by themselves and in time."""
        deadline = time.monotonic() + CONVERGES_WITHIN
        while wrong := self.disagreements():
            assert time.monotonic() < deadline, wrong
            time.sleep(LOOK_AGAIN_SECONDS)

    def disagreements(self) -> list[Any]:
        mirror = self.mirror
        assert mirror["state"] not in WAITING, mirror
        if mirror["state"] != "delivered":
            return [mirror]
        shown = self.shown(self.subject_id) if mirror["desired"]["op"] == "put" else None
        return self.differences(shown, mirror["generation"])

    def differences(self, shown: dict[str, Any] | None, _generation: int) -> list[Any]:
        return differences(shown, self.record)

    def is_whole(self) -> None:
        """Assert that all that was acknowledged is in the log and at the PDS, and that none of it was taken for a foreign edit."""
        until(lambda: {row[self.URI] for row in self.live()} == self._records())
        for subject_id, texts in self._texts.items():
            history = self._history(subject_id)
            foreign = FOREIGN - ({"RecordMissing"} if self.lost_records else set())
            assert not foreign & {row["type"] for row in history}, history
            told = [each["after"] for row in history for each in row["changes"] if each["field"] == self.TEXT]
            assert texts == [text for text in told if text in texts], (texts, history)

    def told(self) -> "Counter[str]":
        ids = {*self._texts, *(row["id"] for row in self.live())}
        return Counter(row["type"] for subject_id in ids for row in self._history(subject_id))

    def _history(self, subject_id: int) -> list[dict[str, Any]]:
        rows = self.artist.pages(f"/{self.PLURAL}/{subject_id}/history")
        return sorted(rows, key=itemgetter("position"))

    def _answer_to(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Repeat a PATCH until it is answered with anything but `in_progress`."""
        replies: list[httpx.Response] = []
        path = self.edited_at(self.subject_id)

        def is_answered() -> bool:
            with suppress(httpx.TransportError):
                replies.append(self.artist.client.http.patch(path, **change))
                return replies[-1].json().get("detail", {}).get("error") != "in_progress"
            return False

        until(is_answered)
        assert replies[-1].status_code == 200, replies[-1].text
        body: dict[str, Any] = replies[-1].json()
        return body

    def _records(self) -> set[str]:
        return {record["uri"] for record in self.artist.pds.list_records(self.artist.did, self.COLLECTION)}

    def _text(self) -> str:
        return f"Take {next(self._numbers)}"
