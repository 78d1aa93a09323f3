"""Asks the services that know who supports an artist: atprotofans, and brokers of attested.network.

An answer that is missing or cannot be read is *not known*, never a no.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Final

import httpx

from application.authorization import Supporters
from application.errors import SupportersUnreachableError
from eventstore.coordination.threads import Joint, Turns
from identity.errors import IdentityError, UnknownIdentityError
from identity.resolution.http_responses import MAX_ERROR_BYTES, send_whole
from identity.resolution.resolver import Resolver

CHECK_TIMEOUT_SECONDS: Final = 5.0
"""For all that one check asks, and the wait for its turn."""
MAX_CHECKS_OF_A_LISTENER: Final = 4
MAX_CHECKS: Final = 40
ANSWER_TTL_SECONDS: Final = 60.0
MAX_REMEMBERED: Final = 10_000
PAYMENTS: Final = ("network.attested.payment.oneTime", "network.attested.payment.recurring")
PROOF: Final = "network.attested.payment.proof"
VERIFIED: Final = "verified"
RECORDS_PER_PAGE: Final = 100
MAX_PAGES: Final = 5
"""Of each kind of payment."""
MAX_PAGE_BYTES: Final = 1024 * 1024
MAX_PROOFS: Final = 10
"""Which one check reads: the supporter names them."""
NOTHING_THERE: Final = frozenset({400, 404, 410})
"""Statuses with which a server says that there is no such record, account or supporter."""


class KnownSupporters:
    """Any of these services may know a supporter; that one does is remembered for a minute.

    Without that, each range of an audio file would be several requests to the listener's PDS.
    """

    def __init__(self, services: Sequence[Supporters]) -> None:
        self._services: Final = services
        self._known: Final[OrderedDict[tuple[str, str], float]] = OrderedDict()
        self._checks: Final = Joint[tuple[str, str], bool]()
        self._turns: Final = Turns(MAX_CHECKS_OF_A_LISTENER, MAX_CHECKS)

    async def supports(self, artist: str, supporter: str) -> bool:
        pair = artist, supporter
        if self._known.get(pair, 0.0) > time.monotonic():
            return True
        return await self._checks.result(pair, partial(self._ask, *pair))

    async def _ask(self, artist: str, supporter: str) -> bool:
        unreachable: SupportersUnreachableError | None = None
        for service in self._services:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_SECONDS), self._turns.of(supporter):
                    if await service.supports(artist, supporter):
                        self._remember((artist, supporter))
                        return True
            except SupportersUnreachableError as error:
                unreachable = error
            except _NO_ANSWER as error:
                unreachable = SupportersUnreachableError()
                unreachable.__cause__ = error
        if unreachable is not None:
            raise unreachable
        return False

    def _remember(self, pair: tuple[str, str]) -> None:
        self._known[pair] = time.monotonic() + ANSWER_TTL_SECONDS
        self._known.move_to_end(pair)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


_NO_ANSWER: Final = (httpx.HTTPError, httpx.InvalidURL, TimeoutError, IdentityError, ValueError)


class Atprotofans:
    """`com.atprotofans.validateSupporter`; the signer of a direct contribution is the artist."""

    def __init__(self, origin: str, http: httpx.AsyncClient) -> None:
        self._url: Final = f"{origin}/xrpc/com.atprotofans.validateSupporter"
        self._http: Final = http

    async def supports(self, artist: str, supporter: str) -> bool:
        asked = {"supporter": supporter, "subject": artist, "signer": artist}
        match await _read(self._http, self._url, asked, limit=MAX_ERROR_BYTES):
            case None:
                return False
            case {"valid": bool(is_supporter)}:
                return is_supporter
        raise SupportersUnreachableError


class Attested:
    """Payments in the supporter's repository, each of which a trusted broker proves in its own.

    A proof does not pin the payment's record: its other fields are the supporter's word, so none is read.
    """

    def __init__(self, brokers: Collection[str], resolver: Resolver, http: httpx.AsyncClient) -> None:
        self._brokers: Final = frozenset(brokers)
        self._resolver: Final = resolver
        self._http: Final = http

    async def supports(self, artist: str, supporter: str) -> bool:
        left = MAX_PROOFS
        async for payment in self._payments(supporter):
            if not (isinstance(payment, dict) and _dict(payment.get("value")).get("subject") == artist):
                continue
            for broker, rkey, cid in self._proofs(payment):
                if await self._is_proven(broker, rkey, cid):
                    return True
                left -= 1
                if not left:
                    return False
        return False

    async def _payments(self, supporter: str) -> AsyncGenerator[Any]:
        try:
            pds = await self._resolver.pds_of(supporter)
        except UnknownIdentityError:
            return
        for collection in PAYMENTS:
            asked = {"repo": supporter, "collection": collection, "limit": str(RECORDS_PER_PAGE)}
            for _ in range(MAX_PAGES):
                page = await self._xrpc(pds, "listRecords", asked, limit=MAX_PAGE_BYTES)
                if page is None:
                    break
                if not isinstance(records := _dict(page).get("records"), list):
                    raise SupportersUnreachableError
                for each in records:
                    yield each
                if not (cursor := page.get("cursor")):
                    break
                asked["cursor"] = str(cursor)

    def _proofs(self, payment: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Yield broker, record key and CID of the proofs that may count: of trusted brokers, under the payment's key."""
        rkey = str(payment.get("uri")).rpartition("/")[2]
        signatures = _dict(payment.get("value")).get("signatures")
        for each in signatures if isinstance(signatures, list) else ():
            match _dict(each):
                case {"uri": str(uri), "cid": str(cid)}:
                    broker = uri.removeprefix("at://").partition("/")[0]
                    if broker in self._brokers and uri == f"at://{broker}/{PROOF}/{rkey}":
                        yield broker, rkey, cid

    async def _is_proven(self, broker: str, rkey: str, cid: str) -> bool:
        pds = await self._resolver.pds_of(broker)
        asked = {"repo": broker, "collection": PROOF, "rkey": rkey}
        match await self._xrpc(pds, "getRecord", asked, limit=MAX_ERROR_BYTES):
            case None:
                return False
            case {"cid": str(found), "value": dict(proof)}:
                return found == cid and proof.get("status") == VERIFIED
        raise SupportersUnreachableError

    async def _xrpc(self, pds: str, name: str, asked: dict[str, str], *, limit: int) -> Any:
        return await _read(self._http, f"{pds}/xrpc/com.atproto.repo.{name}", asked, limit=limit)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


async def _read(http: httpx.AsyncClient, url: str, asked: dict[str, str], *, limit: int) -> Any:
    """Return the JSON of a response, None where the server says that there is nothing; raises an error of _NO_ANSWER."""
    reply = await send_whole(http, http.build_request("GET", url, params=asked), limit=limit)
    if reply.status_code in NOTHING_THERE:
        return None
    if reply.status_code != httpx.codes.OK:
        raise SupportersUnreachableError
    return reply.json()
