"""A SignedInPds that fails when a test says so, for services that run in the test's process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from copy import deepcopy
from typing import Any

import httpx

from tests.fake_pds.signed_in_pds import SignedInPds

HOST = "https://pds.example.com"
WRITES = {"putRecord", "deleteRecord", "applyWrites"}
Refusal = tuple[int, str]


class ScriptedPds(SignedInPds):
    """Serves as the sessions of all accounts too: `request` sends in the name of the account that it is given."""

    def __init__(self) -> None:
        super().__init__(HOST)
        self.away = False
        """Refuses connections."""
        self.hanging = False
        """Never answers."""
        self.write_refusals: list[Refusal] = []
        """Status and error name of the answers to the next writes of records."""
        self.upload_refusal: Refusal | None = None
        """Status and error name of every answer to an upload."""
        self.replies: dict[str, tuple[int, dict[str, str]]] = {}
        """Status and headers of the answers to a method; with 200 the headers are added to the true answer."""
        self.requests: list[str] = []
        """The methods that were called, in order, by their last names."""

    @property
    def records(self) -> "RecordsByUri":
        """All records, by AT-URI; a change is made as another client would."""
        return RecordsByUri(self)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self)

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        json: Any = None,
        body: Callable[[], AsyncIterator[bytes]] | None = None,
        headers: dict[str, str] | None = None,
        **_ignored: Any,
    ) -> httpx.Response:
        content = {"json": json} if body is None else {"content": b"".join([each async for each in body()])}
        login = {**(headers or {}), "authorization": "Bearer replaced", "x-did": did}
        url = f"{HOST}/xrpc/{nsid}"
        return await self.handle_async_request(httpx.Request(method, url, headers=login, **content))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        method = request.url.path.rsplit(".", 1)[1]
        self.requests.append(method)
        if self.away:
            raise httpx.ConnectError("away")
        if self.hanging:
            await asyncio.sleep(3600)
        if method in WRITES and self.write_refusals:
            return _refusal(*self.write_refusals.pop(0))
        if method == "uploadBlob" and self.upload_refusal is not None:
            return _refusal(*self.upload_refusal)
        status, headers = self.replies.get(method, (200, {}))
        if status != httpx.codes.OK:
            return httpx.Response(status, headers=headers, json={"error": httpx.codes(status).name})
        answer = await super().handle_async_request(request)
        answer.headers.update(headers)
        return answer


class RecordsByUri(MutableMapping[str, dict[str, Any]]):
    def __init__(self, pds: SignedInPds) -> None:
        self._pds = pds

    def __getitem__(self, uri: str) -> dict[str, Any]:
        did, *key = _parts(uri)
        if (found := self._pds.get_record(did, *key)) is None:
            raise KeyError(uri)
        return deepcopy(found["value"])

    def __setitem__(self, uri: str, record: dict[str, Any]) -> None:
        did, *key = _parts(uri)
        self._pds.put_record(did, *key, record)

    def __delitem__(self, uri: str) -> None:
        did, *key = _parts(uri)
        self._pds.delete_record(did, *key)

    def __iter__(self) -> Iterator[str]:
        for did, account in self._pds.accounts.items():
            for key in account.repo.records:
                yield "/".join(("at:/", did, *key))

    def __len__(self) -> int:
        return sum(len(account.repo.records) for account in self._pds.accounts.values())


def _parts(uri: str) -> list[str]:
    return uri.removeprefix("at://").split("/")


def _refusal(status: int, name: str) -> httpx.Response:
    return httpx.Response(status, json={"error": name, "message": name})
