"""A run: clients send at random to processes that are killed, before a PDS that fails, and all is recorded."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx

from demo.service import Service
from tests.blackbox.recording import WRITES, Call, Entry, Kind, Look, Recording
from tests.e2e.artist import Artist
from tests.faults.exchange import Exchange
from tests.faults.faults import answer, cut_after, cut_before, duplicate, pass_on
from tests.faults.proxy import FaultProxy
from tests.waits import until

KINDS = {Kind.EDIT: 10, Kind.READ: 6, Kind.HISTORY: 2, Kind.DELETE: 1, Kind.UNDELETE: 2}
PDS_FAULTS = (
    *[pass_on] * 6,
    cut_before,
    cut_after,
    duplicate,
    answer(502, "BadGateway"),
    answer(503, "Unavailable"),
)
WRITES_OF_RECORDS = ("putRecord", "deleteRecord", "applyWrites", "createRecord")
LIFE_SECONDS = (0.5, 3.0)
"""Between the moment that all processes run and the kill of one."""
GIVES_UP_SECONDS = 30.0
CONDITIONAL = 0.3
"""How many of the edits name the version that they are for."""


@dataclass
class Run:
    artist: Artist
    services: list[Service]
    tracks: list[dict[str, Any]]
    seed: int

    def __post_init__(self) -> None:
        self.recording, self._stop = Recording(), threading.Event()
        self._versions = {track["id"]: track["version"] for track in self.tracks}
        self.kills = 0
        self._problems: list[BaseException] = []

    def goes_on(self, writes: int, *, clients: int) -> None:
        """Send until so many writes were acknowledged; return once every process runs and every client has its last answer."""
        work = [*(partial(self._sends, self._dice(f"client {number}")) for number in range(clients))]
        work += [partial(self._kills, self._dice("kills")), partial(self._looks, self._dice("looks"))]
        threads = [threading.Thread(target=self._noting, args=(each,)) for each in work]
        for thread in threads:
            thread.start()
        while len(self.acknowledged) < writes and not self._problems:
            self._stop.wait(0.05)
        self._stop.set()
        for thread in threads:
            thread.join()
        if self._problems:
            raise self._problems[0]

    @property
    def acknowledged(self) -> list[Call]:
        return [call for call in self.recording.calls if call.kind in WRITES and call.is_acknowledged]

    def ends(self, within: float) -> None:
        """Wait until the service says that every record is delivered, and record histories and records."""
        with self._client(self.services[0]) as http:
            for track in self.tracks:
                until(partial(_is_delivered, http, track["id"]), within=within, pause=0.2)
                self._record(http, Call("last", Kind.HISTORY, track["id"], time.monotonic(), 0.0))
                self.recording.end.append(self._look(track))

    # What goes on beside each other

    def _dice(self, of: str) -> random.Random:
        return random.Random(f"{self.seed} {of}")  # noqa: S311 - no secret

    def _noting(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by `goes_on`
            self._problems.append(error)
            self._stop.set()

    def _sends(self, dice: random.Random) -> None:
        clients = [self._client(service) for service in self.services]
        while not self._stop.is_set():
            kind = dice.choices([*KINDS], [*KINDS.values()])[0]
            track = dice.choice(self.tracks)["id"]
            call = Call(uuid.uuid4().hex, kind, track, time.monotonic(), 0.0)
            if kind is Kind.EDIT:
                names_version = dice.random() < CONDITIONAL
                call = replace(
                    call,
                    title=f"take {call.request[:12]}",
                    if_match=self._versions[track] if names_version else None,
                )
            self._record(dice.choice(clients), call)
        for each in clients:
            each.close()

    def _kills(self, dice: random.Random) -> None:
        while not self._stop.wait(dice.uniform(*LIFE_SECONDS)):
            service = dice.choice(self.services)
            service.kill()
            service.start()
            self.kills += 1

    def _looks(self, dice: random.Random) -> None:
        while not self._stop.wait(0.05):
            self.recording.looks.append(self._look(dice.choice(self.tracks)))

    # One of each

    def _record(self, http: httpx.Client, call: Call) -> None:
        """Send, and send again under the same key until there is an answer or it is given up."""
        answered, deadline = None, call.sent_at + GIVES_UP_SECONDS
        while answered is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                answered = self._send(http, call)
            if answered is None or answered.status_code >= 500 or _is_in_progress(answered):
                answered = None
                time.sleep(0.02)
        self.recording.calls.append(self._answered(replace(call, over_at=time.monotonic()), answered))

    def _send(self, http: httpx.Client, call: Call) -> httpx.Response:
        path = f"/tracks/{call.track}"
        headers = {"X-Request-Id": call.request, "Prefer": "wait=0"}
        if call.kind not in {Kind.READ, Kind.HISTORY}:
            headers["Idempotency-Key"] = call.request
        if call.if_match is not None:
            headers["If-Match"] = f'"{call.if_match}"'
        match call.kind:
            case Kind.EDIT:
                return http.patch(path, json={"title": call.title}, headers=headers)
            case Kind.DELETE:
                return http.delete(path, headers=headers)
            case Kind.UNDELETE:
                return http.post(f"{path}/undelete", headers=headers)
            case Kind.READ:
                return http.get(path, headers=headers)
            case Kind.HISTORY:
                return http.get(f"{path}/history", params={"limit": 100}, headers=headers)

    def _answered(self, call: Call, answer: httpx.Response | None) -> Call:
        if answer is None:
            return call
        body = answer.json()
        if not answer.is_success:
            return replace(call, status=answer.status_code)
        if call.kind is Kind.HISTORY:
            return replace(call, status=200, entries=self._entries(answer))
        version = body.get("version")
        if version is not None:
            self._versions[call.track] = version
        title = call.title if call.kind is Kind.EDIT else body.get("title")
        return replace(call, status=answer.status_code, version=version, title=title)

    def _entries(self, answer: httpx.Response) -> tuple[Entry, ...]:
        """Read the pages after this one, from the same process or, if it dies, not at all."""
        rows = list(answer.json()["items"])
        cursor, request = answer.json()["cursor"], answer.request
        while cursor is not None:
            page = self.artist.client.http.get(request.url.path, params={"limit": 100, "cursor": cursor})
            rows += page.raise_for_status().json()["items"]
            cursor = page.json()["cursor"]
        return tuple(map(_entry, sorted(rows, key=lambda row: row["version"])))

    def _look(self, track: dict[str, Any]) -> Look:
        rkey = track["atproto_record_uri"].rpartition("/")[2]
        found = self.artist.pds.get_record(self.artist.did, track["atproto_record_uri"].split("/")[3], rkey)
        return Look(track["id"], time.monotonic(), found["value"]["title"] if found else None)

    def _client(self, service: Service) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.artist.client.token}"}
        return httpx.Client(base_url=service.url, timeout=10, headers=headers)


def _entry(row: dict[str, Any]) -> Entry:
    titles = [change["after"] for change in row["changes"] if change["field"] == "title"]
    return Entry(
        row["version"], row["position"], row["request_id"], row["type"], titles[0] if titles else None
    )


def _is_delivered(http: httpx.Client, track_id: int) -> bool:
    return bool(http.get(f"/tracks/{track_id}/mirror").json()["state"] == "delivered")


def _is_in_progress(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and answer.json()["detail"]["error"] == "in_progress"


@contextmanager
def failing(proxy: FaultProxy, seed: int) -> Iterator[None]:
    """Let writes of records meet faults at random."""
    dice = random.Random(seed)  # noqa: S311 - no secret

    async def at_random(exchange: Exchange) -> None:
        await dice.choice(PDS_FAULTS)(exchange)

    proxy.on(*WRITES_OF_RECORDS, fault=at_random)
    yield
    proxy.heal()
