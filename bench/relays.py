"""A real relay with fake PDS sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from eventstore.event_log import EventLog
from outbox.mirror.hosts import Hosts
from outbox.pds.client import PUT_RECORD, Pds
from outbox.ports import Sessions
from outbox.record.dag_cbor import record_cid
from outbox.record.kind import RecordKinds
from outbox.relay.delivery import Delivery
from outbox.relay.relay import Relay, RelayLimits
from outbox.tracks.record import RecordUrls, TrackRecords

KINDS: Final = RecordKinds(TrackRecords(RecordUrls("http://127.0.0.1:8000")))


@asynccontextmanager
async def relay_to(log: EventLog, sessions: Sessions, limits: RelayLimits) -> AsyncIterator[Relay]:
    """Yield a relay that writes through these sessions and reads nothing."""
    async with httpx.AsyncClient() as unused:
        yield Relay(
            log,
            Delivery(log, Hosts(log.database), Pds(sessions, unused)),
            KINDS,
            owner="bench",
            limits=limits,
        )


def put_record_response(did: str, body: Any) -> httpx.Response:
    """Return the response of a PDS that wrote the record."""
    cid = record_cid(body["record"])
    uri = f"at://{did}/{body['collection']}/{body['rkey']}"
    return httpx.Response(200, json={"uri": uri, "cid": cid, "commit": {"cid": cid, "rev": "3kbench"}})


class InstantPds:
    """A PDS that writes every record at once."""

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        json: Any = None,
        **_more: Any,
    ) -> httpx.Response:
        assert (method, nsid) == ("POST", PUT_RECORD)  # noqa: S101 - nothing else is due
        return put_record_response(did, json)
