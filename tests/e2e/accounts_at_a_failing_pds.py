"""The accounts around a PDS that fails: an artist with two tracks, a neighbour at the same PDS, and one at another PDS."""

import copy
import itertools
from typing import Any

from demo.service import Client, Service
from devpds.server import DevPds
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.artists_of_kinds import KINDS
from tests.faults.exchange import Passage
from tests.faults.faults import Fault
from tests.faults.proxy import FaultProxy, Rule, of_repo
from tests.servers.atproto import new_account
from tests.waits import until

RECORD, LANE, HOST, NOBODY = "record", "lane", "host", "nobody"


class Cast:
    """The subject's record meets the fault; the others are to notice nothing of it."""

    def __init__(self, service: Service, proxied_pds: DevPds, pds: DevPds, proxy: FaultProxy) -> None:
        plc = pds.plc
        self.service, self.proxy = service, proxy
        self.account = new_account(proxied_pds, plc)
        self.subject = Artist(service, proxied_pds, self.account)
        self.sibling = copy.copy(self.subject)
        self.neighbour = Artist(service, proxied_pds, new_account(proxied_pds, plc))
        self.stranger = Artist(service, pds, new_account(pds, plc))
        self.titles = (f"Take {number}" for number in itertools.count(1))
        self.agrees = True
        self._subjects = {"tracks": self.subject}
        for artist in (self.subject, self.sibling, self.neighbour, self.stranger):
            artist.uploads()
            artist.agreed()
        assert self.subject.asks(MIGRATE).status_code == 200

    def takes(self, kind: str) -> None:
        """Let the subject be of this kind, in the same account."""
        if kind not in self._subjects:
            of_kind = KINDS[kind](self.service, self.subject.pds, self.account)
            of_kind.uploads(title=next(self.titles))
            of_kind.agreed()
            self._subjects[kind] = of_kind
        self.subject = self._subjects[kind]
        self.proxy.seen.clear()

    # What is done

    def meets(self, fault: Fault, *names: str, of: str = RECORD, times: int | None = None) -> Rule:
        """Let requests of these names meet a fault, for the subject's record, account or host."""
        return self.proxy.on(*names, fault=fault, times=times, matches=lambda it: self.is_of(it, of))

    def is_of(self, passage: Passage, scope: str) -> bool:
        if scope == HOST:
            return True
        is_ours = of_repo(self.subject.did)(passage)
        return is_ours and (scope == LANE or passage.json["rkey"] == self.subject.rkey)

    def requests(self, *names: str) -> list[Passage]:
        return self.proxy.passed(*names, matches=lambda it: self.is_of(it, RECORD))

    def edits(self) -> str:
        """Give the subject another title, and return that."""
        return str(self.subject.edits(title=next(self.titles))["title"])

    def signs_in(self) -> None:
        Client(self.service.url, self.account.did, self.account.app_password).http.close()

    def tries_again(self) -> None:
        assert self.subject.asks("mirror/retry").is_success

    def uploader(self) -> Artist:
        """The subject with one more track, whose audio is not on the PDS yet."""
        artist = copy.copy(self.subject)
        artist.uploads(title=next(self.titles))
        artist.agreed()
        self.proxy.seen.clear()
        return artist

    # What is seen

    def is_told(self, state: str, reason: str | None, *, of: Artist | None = None) -> None:
        """Wait until the API shows this mirror state of the subject's record, or of another one."""
        last: dict[str, Any] = {}

        def told() -> bool:
            last.update((of or self.subject).mirror)
            return (last["state"], last["reason"]) == (state, reason)

        try:
            until(told)
        except AssertionError:
            raise AssertionError(f"never {state}, {reason}, but {last}") from None

    def others_go_on(self, scope: str) -> None:
        """Assert that the accounts outside this scope are delivered meanwhile."""
        witness = {RECORD: self.sibling, LANE: self.neighbour, HOST: self.stranger}.get(scope)
        if witness is not None:
            title = next(self.titles)
            witness.edits(title=title)
            assert (witness.agreed() or {})["title"] == title

    def is_in_agreement(self) -> dict[str, Any]:
        """Wait until the subject's records are delivered, and leave the cast to the next test; gives the record."""
        if self.subject.agreed() is None:
            self.subject.undeletes()
        record = self.subject.agreed()
        assert record is not None
        assert "audioBlob" in record or self.subject is not self._subjects["tracks"]
        until(self.is_cid_known)  # after a PDS that lied about it
        self.sibling.agreed()
        self.agrees = True
        return record

    def is_cid_known(self) -> bool:
        collection, rkey = self.subject.record_uri.split("/")[3:]
        found = self.subject.pds.get_record(self.subject.did, collection, rkey)
        return found is not None and self.subject.mirror["observed"]["cid"] == found["cid"]

    @property
    def known(self) -> str | None:
        return self.subject.known

    def await_request(self, *names: str) -> Passage:
        """Wait until something was sent for the subject's record, and give the first of it."""
        return self.proxy.await_passed(*names, matches=lambda it: self.is_of(it, RECORD))[0]

    def hangs_up(self) -> None:
        for artist in (*self._subjects.values(), self.neighbour, self.stranger):
            artist.client.http.close()
