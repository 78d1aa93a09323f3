"""Supporters as atprotofans and brokers of attested.network tell them; no answer is not a no."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from application.errors import SupportersUnreachableError
from identity.resolution.resolver import Resolver
from service.wiring import supporters as asked
from service.wiring.supporters import PAYMENTS, PROOF, Atprotofans, Attested, KnownSupporters
from tests.fake_pds.internet import FakeInternet
from tests.identity.resolution.fake_web import ALICE, BOB

ONE_TIME, RECURRING = PAYMENTS
BROKER, STRANGER = "did:web:broker.example.com", "did:web:stranger.example.com"
PAYER_PDS, BROKER_PDS = "https://pds.example.com", "https://broker.example.net"
RKEY = "3n32ltnlh6222"
Answer = httpx.Response | Callable[[httpx.Request], Awaitable[httpx.Response]] | Exception


class Payments(FakeInternet):
    """The PDSes of a supporter, of a broker and of a stranger who proves payments too."""

    def __init__(self) -> None:
        super().__init__(PAYER_PDS, BROKER_PDS)
        payer, broker = self.pdses
        self.settle(BOB, "bob.test", payer)
        self.settle(BROKER, "broker.test", broker)
        self.settle(STRANGER, "stranger.test", broker)
        self.paths: list[tuple[str, str]] = []
        self.answers: dict[str, Answer] = {}
        """By host, instead of those of its PDS."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append((request.url.host, request.url.path.rpartition(".")[2]))
        answer = self.answers.get(request.url.host)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        if request.url.path == "/.well-known/did.json":
            did = f"did:web:{request.url.host}"
            request = httpx.Request("GET", f"{self.plc.origin}/{did}")
        return await (answer or super().handle_async_request)(request)

    def pays(self, artist: str, collection: str = ONE_TIME, *, rkey: str = RKEY, **changes: Any) -> None:
        """Put a payment and its broker's proof; `by`, `status`, `proof_rkey` and `cid` make it another proof."""
        by, proof_rkey = changes.get("by", BROKER), changes.get("proof_rkey", rkey)
        proof = {"$type": PROOF, "status": changes.get("status", "verified"), "cid": "bafkreisigned"}
        self.pdses[1].repo(by).put((PROOF, proof_rkey), proof)
        cid = changes.get("cid", self.pdses[1].repo(by).records[PROOF, proof_rkey].cid)
        signatures = [{"uri": f"at://{by}/{PROOF}/{proof_rkey}", "cid": cid}]
        self.put((collection, rkey), {"subject": artist, "signatures": changes.get("signatures", signatures)})

    def put(self, key: tuple[str, str], record: dict[str, Any]) -> None:
        self.pdses[0].repo(BOB).put(key, {"$type": key[0], "amount": 500, "currency": "USD", **record})


@pytest.fixture
def payments() -> Payments:
    return Payments()


def attested(internet: Payments) -> KnownSupporters:
    http = httpx.AsyncClient(transport=internet)
    return KnownSupporters([Attested([BROKER], Resolver(None, (), http), http)])


def supports(of: KnownSupporters, artist: str = ALICE) -> bool:
    return asyncio.run(of.supports(artist, BOB))


def fans(answer: Answer) -> KnownSupporters:
    async def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else await answer(request)

    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return KnownSupporters([Atprotofans("https://fans.example", http)])


async def silence(_request: httpx.Request) -> httpx.Response:
    await asyncio.sleep(60)
    raise AssertionError


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "CHECK_TIMEOUT_SECONDS", 0.1)


def test_atprotofans_is_asked_for_a_contribution_that_the_artist_signed() -> None:
    requests: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"valid": True, "profile": {"did": BOB, "handle": "bob.test"}})

    assert supports(fans(answer))
    [request] = requests
    assert request.url.copy_with(query=None) == "https://fans.example/xrpc/com.atprotofans.validateSupporter"
    assert dict(request.url.params) == {"supporter": BOB, "subject": ALICE, "signer": ALICE}


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200, json={"valid": False}), httpx.Response(400, json={"error": "InvalidRequest"}), httpx.Response(404)],
    ids=["not valid", "refused", "not found"],
)  # fmt: skip
def test_atprotofans_knows_no_such_supporter(answer: httpx.Response) -> None:
    assert not supports(fans(answer))


NO_ANSWERS: dict[str, Answer] = {
    "error": httpx.Response(500),
    "rate limit": httpx.Response(429),
    "text": httpx.Response(200, text="yes"),
    "another shape": httpx.Response(200, json={"valid": "yes", "records": "none"}),
    "no object": httpx.Response(200, json=[]),
    "redirect": httpx.Response(302, headers={"location": "https://x.example"}),
    "too long": httpx.Response(200, text='{"valid": true, "records": []}'.ljust(2_000_000)),
    "no connection": httpx.ConnectError("refused"),
    "silence": silence,
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_without_an_answer_of_atprotofans_it_is_not_known(answer: Answer) -> None:
    with pytest.raises(SupportersUnreachableError):
        supports(fans(answer))


@pytest.mark.parametrize("collection", PAYMENTS)
def test_a_payment_counts_with_the_proof_of_a_trusted_broker(payments: Payments, collection: str) -> None:
    payments.pays(ALICE, collection)
    assert supports(attested(payments))
    assert not supports(attested(payments), artist=STRANGER)


@pytest.mark.parametrize(
    "changes",
    [
        {"by": STRANGER},
        {"status": "pending"},
        {"proof_rkey": "3n32ltnlh6223"},
        {"cid": "bafyreiother"},
        {"signatures": []},
        {"signatures": [None, "x", {"uri": 1, "cid": 2}, {"uri": f"at://{BROKER}", "cid": "c"}]},
        {"signatures": [{"uri": f"at://{BROKER}/{ONE_TIME}/{RKEY}", "cid": "c"}]},
        {"signatures": [{"uri": f"https://{BROKER}/{PROOF}/{RKEY}", "cid": "c"}]},
    ],
)
def test_a_payment_without_such_a_proof_does_not_count(payments: Payments, changes: dict[str, Any]) -> None:
    payments.pays(ALICE, **changes)
    assert not supports(attested(payments))


def test_a_proof_that_its_broker_has_deleted_no_longer_counts(payments: Payments) -> None:
    payments.pays(ALICE)
    payments.pdses[1].repo(BROKER).records.clear()
    assert not supports(attested(payments))


def test_a_payment_on_the_fifth_page_counts_and_no_more_pages_are_read(payments: Payments) -> None:
    payments.pays(ALICE, rkey="1")
    for number in range(499):
        payments.put((ONE_TIME, f"2{number:03d}"), {"subject": STRANGER})
    assert supports(attested(payments))
    payments.put((ONE_TIME, "2500"), {"subject": STRANGER})
    payments.paths.clear()
    assert not supports(attested(payments))
    assert payments.paths.count(("pds.example.com", "listRecords")) == 5 + 1


def test_a_supporter_cannot_have_the_broker_asked_without_end(payments: Payments) -> None:
    payments.pays(
        ALICE, signatures=[{"uri": f"at://{BROKER}/{PROOF}/{RKEY}", "cid": f"c{n}"} for n in range(300)]
    )
    assert not supports(attested(payments))
    assert payments.paths.count(("broker.example.net", "getRecord")) == asked.MAX_PROOFS


@pytest.mark.usefixtures("impatient")
def test_a_listener_whose_pds_is_silent_takes_a_few_connections(payments: Payments) -> None:
    waiting: list[int] = [0]

    async def waits(request: httpx.Request) -> httpx.Response:
        waiting.append(waiting[-1] + 1)
        try:
            return await silence(request)
        finally:
            waiting.append(waiting[-1] - 1)

    async def asks_for_twenty_artists() -> None:
        known = attested(payments)
        asking = [known.supports(f"did:plc:{number:a>24}", BOB) for number in range(20)]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(each, SupportersUnreachableError) for each in answers)

    payments.answers["pds.example.com"] = waits
    asyncio.run(asks_for_twenty_artists())
    assert max(waiting) == asked.MAX_CHECKS_OF_A_LISTENER


def test_an_account_that_is_gone_supports_no_artist(payments: Payments) -> None:
    payments.pays(ALICE)
    del payments.plc.places[BOB]
    assert not supports(attested(payments))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("host", ["pds.example.com", "broker.example.net", "plc.directory"])
@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_a_payment_is_not_known_while_a_host_that_it_needs_does_not_answer(
    payments: Payments, host: str, answer: Answer
) -> None:
    payments.pays(ALICE)
    payments.answers[host] = answer
    with pytest.raises(SupportersUnreachableError):
        supports(attested(payments))


def test_a_supporter_cannot_have_a_private_host_asked(payments: Payments) -> None:
    payments.pays(ALICE)
    payments.plc.place(BOB, "bob.test", "https://127.0.0.1")
    with pytest.raises(SupportersUnreachableError):
        supports(attested(payments))
    assert all(host != "127.0.0.1" for host, _ in payments.paths)


def test_one_of_several_services_suffices_also_while_another_does_not_answer(payments: Payments) -> None:
    payments.pays(ALICE)
    down = Atprotofans("https://down.example", httpx.AsyncClient(transport=payments))
    payments.answers["down.example"] = httpx.Response(503)
    http = httpx.AsyncClient(transport=payments)
    both = KnownSupporters([down, Attested([BROKER], Resolver(None, (), http), http)])
    assert supports(both)
    with pytest.raises(SupportersUnreachableError):
        supports(both, artist=STRANGER)


def test_a_yes_is_remembered_for_a_minute_and_a_no_is_not(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = attested(payments)
    assert not supports(known)
    payments.pays(ALICE)
    assert supports(known)
    payments.answers["pds.example.com"] = httpx.Response(503)
    assert supports(known)
    monkeypatch.setattr(asked.time, "monotonic", lambda: 10_000_000.0)
    with pytest.raises(SupportersUnreachableError):
        supports(known)
