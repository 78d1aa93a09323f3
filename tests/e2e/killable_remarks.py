"""The same artist with remarks in place of tracks: no route has them, so that they are appended through the log."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from eventstore.change import Envelope
from eventstore.coordination.commit_signals import announce
from eventstore.database import Database
from eventstore.event_log import EventLog
from outbox.record.kind import GENERATION
from outbox.views.status import mirrors
from service.wiring.log import PROJECTIONS
from tests.e2e.artist import Artist
from tests.e2e.eventually import eventually
from tests.e2e.killable import FOREIGN, SEVERAL, WAITING, Victim
from tests.remarks import REMARKS, Remark, RemarkRecords, a_remark

RECORDS = RemarkRecords()


class RemarkVictim(Victim):
    """One account at a killable service, and the remarks of it that were committed."""

    log: EventLog
    remark_id = 0

    def begins(self) -> None:
        """Start the service, sign in, and have a first remark on the PDS."""
        self.service.start()
        self.artist = Artist(self.service, self._pds, self._account)
        settings = self.service.settings
        url = settings.get(
            "MASTERTAPE_DATABASE_URL", f"sqlite:///{settings['MASTERTAPE_DATA']}/mastertape.db"
        )
        self.log = EventLog(Database(url), projections=PROJECTIONS)
        self.texts: dict[int, list[str]] = defaultdict(list)
        self.publishes()

    def ends(self) -> None:
        super().ends()
        if hasattr(self, "log"):
            self.log.close()

    def creates(self) -> None:
        self.remark_id += 1
        self.texts[self.remark_id].append(self._title())
        text = self.texts[self.remark_id][0]
        self._saves(lambda _: a_remark(self.remark_id, did=self.artist.did, text=text), self.remark_id)

    def edits(self) -> None:
        self._rewords(self.remark_id)

    def edits_several(self) -> None:
        for remark_id in list(self.texts)[-SEVERAL:]:
            self._rewords(remark_id)

    def deletes(self) -> None:
        self._changes(self.remark_id, lambda remark, at: remark.delete(at=at))

    def undeletes(self) -> None:
        self._changes(self.remark_id, lambda remark, at: remark.undelete(at=at))

    def is_live(self) -> None:
        if self._state(self.remark_id).deleted_at is not None:
            self.undeletes()

    @property
    def place(self) -> tuple[str, str]:
        return REMARKS, self._state(self.remark_id).rkey

    def disagreements(self) -> list[Any]:
        remark = self._state(self.remark_id)
        with self.log.database.read() as connection:
            mirror = mirrors(connection, self.artist.did, Remark.TOPIC, [self.remark_id])[self.remark_id]
        assert mirror.state not in WAITING, mirror
        wanted = RECORDS.record_of(remark, mirror.generation) if remark.deleted_at is None else None
        if mirror.state == "delivered" and self.record == wanted:
            return []
        return [mirror, wanted, self.record]

    def is_whole(self) -> None:
        """Assert that all that was committed is in the log and at the PDS, and that none of it was taken for a foreign edit."""
        remarks = {remark_id: self._state(remark_id) for remark_id in self.texts}
        wanted = {remark.rkey: remark.text for remark in remarks.values() if remark.deleted_at is None}
        eventually(lambda: self._texts_on_pds() == wanted)
        for remark_id, remark in remarks.items():
            assert remark.text == self.texts[remark_id][-1]
        assert not FOREIGN & self.told().keys()

    def told(self) -> "Counter[str]":
        with self.log.database.read() as connection:
            streams = [
                self.log.stream(connection, self.artist.did, Remark.create_id(each)) for each in self.texts
            ]
        return Counter(type(each.event).__name__ for stream in streams for each in stream)

    def _texts_on_pds(self) -> dict[str, str]:
        records = self.artist.pds.list_records(self.artist.did, REMARKS)
        assert all(record["value"][GENERATION] for record in records)
        return {record["uri"].rpartition("/")[2]: record["value"]["text"] for record in records}

    def _rewords(self, remark_id: int) -> None:
        text = self._title()
        self._changes(remark_id, lambda remark, at: remark.reword(text, at=at))
        self.texts[remark_id].append(text)

    def _changes(self, remark_id: int, command: Callable[[Remark, Any], None]) -> None:
        def changed(unit: Any) -> Remark:
            remark: Remark = unit.load(Remark, Remark.create_id(remark_id))
            command(remark, unit.now)
            return remark

        self._saves(changed, remark_id)

    def _saves(self, made: Callable[[Any], Remark], remark_id: int) -> None:
        did = self.artist.did
        with self.log.unit_of_work(did, Envelope(did, "test", f"remark {remark_id}")) as unit:
            unit.save(made(unit))
            announce(unit.connection)

    def _state(self, remark_id: int) -> Remark:
        with self.log.database.read() as connection:
            remark = self.log.fold(
                Remark, self.log.stream(connection, self.artist.did, Remark.create_id(remark_id))
            )
        assert remark is not None
        return remark
