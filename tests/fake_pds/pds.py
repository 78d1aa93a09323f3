"""A PDS in memory, held to the real one by test_contract_*.py.

Left out: the firehose, CAR files and OAuth.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate

import httpx

from tests.fake_pds import procedures as fake_calls
from tests.fake_pds.account import OWNER, Account, Status
from tests.fake_pds.limits import Limits
from tests.fake_pds.repo import Repo
from tests.fake_pds.tokens import Tokens
from tests.fake_pds.xrpc import Call, RefusedError

SERVICE = "mastertape"
"""The app password of ours: what it wrote, we wrote."""


@dataclass(eq=False)
class FakePds(httpx.AsyncBaseTransport):
    """One host. Its time is `clock`, in seconds since 1970; it answers at one moment, so nothing overlaps."""

    origin: str
    clock: Callable[[], float]
    blob_limit: int | None = 5 * 1024 * 1024
    """In bytes. None: the PDS names no limit, as old ones do, and accepts every size."""
    accounts: dict[str, Account] = field(default_factory=dict)
    deleted: dict[str, Account] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limits = Limits(self.clock)
        self.tokens = Tokens(self.origin, self.clock)

    # What an operator or the account's owner may do.

    def create_account(self, did: str, handle: str, password: str) -> Account:
        account = Account(did, handle, {password: OWNER}, Repo(did, self.clock))
        self.accounts[did] = account
        return account

    def create_app_password(self, did: str, name: str = SERVICE) -> str:
        password = f"app-{name}-{did}"
        self.accounts[did].passwords[password] = name
        return password

    def revoke_app_password(self, did: str, name: str = SERVICE) -> None:
        """No more logins and refreshes with it."""
        account = self.accounts[did]
        account.passwords = {text: each for text, each in account.passwords.items() if each != name}
        self.tokens.revoke(did, name)

    def set_status(self, did: str, status: Status) -> None:
        """Activate, deactivate or take down; a takedown ends every session for good."""
        self.accounts[did].status = status
        if status is Status.TAKENDOWN:
            self.tokens.revoke(did)

    def delete_account(self, did: str) -> None:
        """Delete it for good; tests still find it in `deleted`."""
        self.tokens.revoke(did)
        self.deleted[did] = self.accounts.pop(did)

    def move_account(self, did: str, to: "FakePds") -> None:
        """Move an account: the repository moves, the old host keeps a deactivated account, logins stay there."""
        old = self.accounts[did]
        to.accounts[did] = Account(did, old.handle, dict(old.passwords), old.repo)
        old.repo = Repo(did, self.clock)
        old.status = Status.DEACTIVATED

    def repo(self, did: str) -> Repo:
        """The repository of an account that is here, or was when it was deleted."""
        return (self.accounts.get(did) or self.deleted[did]).repo

    # Requests.

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.answer(request, await request.aread())

    def answer(self, request: httpx.Request, content: bytes) -> httpx.Response:
        call = Call.of(request, content)
        verb, handler = fake_calls.CALLS.get(call.nsid, (request.method, fake_calls.unknown))
        if verb != request.method:
            return RefusedError(400, "InvalidRequest", f"Incorrect HTTP method ({request.method})").reply()
        try:
            answer = handler(self, call)
        except RefusedError as refused:
            answer = refused.reply()
        answer.headers.update({"date": formatdate(self.clock(), usegmt=True), **call.response_headers})
        return answer

    def requester(self, request: httpx.Request) -> tuple[str, str] | None:
        try:
            token = self.tokens.check(Call.of(request, b""))
        except RefusedError:
            return None
        return token.did, token.client
