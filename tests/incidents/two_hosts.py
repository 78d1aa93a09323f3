"""Alice at one of two fake hosts, and the whole service in this process: for what no real PDS does on demand."""

import asyncio
from typing import Any

from starlette.testclient import TestClient

from demo.story import COLLECTION
from outbox.firehose.frames import message_in
from outbox.firehose.share import Share
from outbox.firehose.subscription import StreamReports, Subscription
from outbox.mirror.requeue import rescan
from service.process.jobs import scan_records
from service.wiring.bootstrap import Container
from tests.e2e.eventually import eventually
from tests.fake_pds.internet import FakeInternet
from tests.fake_pds.pds import FakePds
from tests.fake_pds.repo import Commit, Repo
from tests.media_samples import samples
from tests.outbox.rigs.stream_host import commit


class Nowhere:
    """No host is connected to."""

    async def of(self, origin: str) -> str:
        raise AssertionError(origin)


class Alice:
    """An artist at the old host, and at a service whose relay runs."""

    did, handle = "did:plc:" + "a" * 24, "alice.example.com"

    def __init__(self, town: FakeInternet, container: Container, client: TestClient) -> None:
        self.town, self.container, self.http = town, container, client
        self.old, self.new = town.pdses
        self.password = town.settle(self.did, self.handle, self.old)
        self.path = ""
        self.signs_in()

    def signs_in(self) -> None:
        body = {"identifier": self.did, "password": self.password}
        token = self.http.post("/auth/app-password", json=body).json()["token"]
        self.http.cookies.clear()
        self.http.headers["authorization"] = f"Bearer {token}"

    def uploads(self, **fields: str) -> None:
        """Upload a track and have it on the PDS."""
        data = {"title": "First Take", **fields}
        track = self.http.post("/tracks", data=data, files={"file": samples.mp3(1)}).json()
        self.path = f"/tracks/{track['id']}"
        self.is_delivered()

    def edits(self, **fields: Any) -> Commit:
        """Edit the track, wait for the delivery, and return its commit."""
        assert self.http.patch(self.path, json=fields).status_code == 200
        self.is_delivered()
        return self.repo.head

    def moves(self) -> None:
        """Move to the new host; the host that she leaves says that her account is inactive."""
        self.old.move_account(self.did, self.new)
        self.town.plc.place(self.did, self.handle, self.new.origin)

    def is_delivered(self) -> None:
        eventually(lambda: self.mirror["state"] == "delivered")

    def is_scanned(self) -> None:
        """An hour has gone by, and the scan comes."""
        with self.container.database.write() as connection:
            rescan(connection, self.did)
        scan_records(self.container)

    def hears(self, *commits: Commit) -> list[str]:
        """Handle these commits of her PDS's stream, in this order; return the result of each."""
        heard: list[str] = []
        reports = StreamReports(heard=heard.append, marked=self.container.services.wake)
        database, host = self.container.database, self.host.origin
        subscription = Subscription(
            database, self.container.hosts, Nowhere(), host, owner="a test", share=Share(), reports=reports
        )
        subscription.dids = {self.did}

        async def listen() -> None:
            for seq, each in enumerate(commits):
                message = message_in(commit(seq, self.did, each.rev, ("/".join(each.key), each.record_cid)))
                assert message is not None
                await subscription._process(message)  # noqa: SLF001 - as from a socket

        asyncio.run(listen())
        return heard

    @property
    def track(self) -> dict[str, Any]:
        return dict(self.http.get(self.path).raise_for_status().json())

    @property
    def mirror(self) -> dict[str, Any]:
        return dict(self.http.get(f"{self.path}/mirror").raise_for_status().json())

    @property
    def types(self) -> list[str]:
        return [row["type"] for row in self.http.get(f"{self.path}/history").json()["items"]][::-1]

    @property
    def host(self) -> FakePds:
        """Where she is now."""
        return next(pds for pds in (self.new, self.old) if self.did in pds.accounts)

    @property
    def repo(self) -> Repo:
        return self.host.repo(self.did)

    @property
    def key(self) -> tuple[str, str]:
        return COLLECTION, self.track["atproto_record_uri"].rsplit("/", 1)[1]

    @property
    def record(self) -> dict[str, Any]:
        return self.repo.records[self.key].value
