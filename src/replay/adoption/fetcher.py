"""Fetches bytes from outside into files; the bytes of a blob must have its CID."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from eventstore.coordination.threads import Threads
from identity.errors import FetchRefusedError, UnsafeAddressError
from identity.resolution.address_policy import AddressPolicy, origin_of
from identity.resolution.http_responses import OnReply, fetched
from outbox.mirror.hosts import LEFT_ALONE, HostReport, Hosts
from outbox.pds.verdict import Phase, verdict_of
from outbox.threads import in_thread
from replay.errors import BytesUnavailableError, PdsBusyError, PdsTroubleError
from storage.errors import TooLargeError
from storage.uploads.upload import Staged, Staging

GET_BLOB: Final = "com.atproto.sync.getBlob"
FETCH_TIMEOUT_SECONDS: Final = 600.0
FETCH_PATIENCE_SECONDS: Final = 60.0
"""For the first bytes, and for pauses among the others."""
MIN_BYTES_PER_SECOND: Final = 32 * 1024
TOO_MANY, SERVER_ERROR = 429, 500


class OthersAddresses(AddressPolicy):
    """Allows the addresses that `policy` allows, except our own, of redirects too."""

    def __init__(self, policy: AddressPolicy, own_urls: Iterable[str]) -> None:
        super().__init__()
        self.policy: Final = policy
        self.ours: Final = frozenset(origin_of(url) for url in own_urls)

    def check(self, url: str) -> None:
        if origin_of(url) in self.ours:
            raise UnsafeAddressError("the URL is our own")
        self.policy.check(url)


@dataclass(frozen=True)
class Fetcher:
    """Fetches from addresses that records name, into files of a folder; a PDS that is paused is sent no request."""

    http: httpx.AsyncClient
    policy: AddressPolicy
    folder: Path
    hosts: Hosts
    threads: Threads

    async def blob(self, host: str, did: str, cid: str, limit: int, *, size: int = 0) -> Staged:
        """Return a blob from its account's PDS; one whose named `size` is over the limit is not requested.

        Raises BytesUnavailableError where the PDS has other bytes or none, PdsTroubleError where another attempt may succeed.
        """
        if size > limit:
            raise BytesUnavailableError("too_large", f"the blob has more than {limit} bytes")
        if not await in_thread(self.hosts.may_send, host):
            raise PdsBusyError(LEFT_ALONE.message)

        async def record_limits(reply: httpx.Response) -> None:
            # those of a host that it redirects to are not the PDS's
            if origin_of(str(reply.url)) == origin_of(host):
                verdict = verdict_of(reply.status_code, reply.headers, b"", Phase.READ)
                await in_thread(self.hosts.record, HostReport(host, did, verdict))

        address = httpx.URL(f"{host}/xrpc/{GET_BLOB}", params={"did": did, "cid": cid})
        try:
            staged = await self.staged(str(address), limit, on_reply=record_limits)
        except FetchRefusedError as error:
            if error.status == TOO_MANY:
                raise PdsBusyError("the PDS answered 429: too many requests") from None
            if error.status is not None and error.status >= SERVER_ERROR:
                raise PdsTroubleError(f"the PDS answered {error.status}") from None
            raise BytesUnavailableError("blob_missing", f"the PDS did not return the blob: {error}") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise PdsTroubleError(f"fetching the blob from the PDS failed: {named(error)}") from None
        if staged.cid != cid:
            staged.close()
            raise BytesUnavailableError(
                "blob_mismatch", "the PDS returned bytes that do not match the blob's CID"
            )
        return staged

    async def staged(
        self, url: str, limit: int, policy: AddressPolicy | None = None, on_reply: OnReply | None = None
    ) -> Staged:
        """Fetch a URL, under another address policy if one is given; raises as `fetched` does, and TimeoutError for a slow one."""
        with Staging(self.folder, limit) as staging:
            fetching = fetched(
                self.http,
                policy or self.policy,
                url,
                limit=limit,
                seconds=FETCH_TIMEOUT_SECONDS,
                on_reply=on_reply,
            )
            try:
                async with asyncio.timeout(FETCH_PATIENCE_SECONDS) as pace, fetching as chunks:
                    async for chunk in chunks:
                        pace.reschedule((pace.when() or 0.0) + len(chunk) / MIN_BYTES_PER_SECOND)
                        await self.threads.run(staging.write, chunk)
            except TooLargeError as error:
                raise FetchRefusedError(str(error)) from None
            except TimeoutError:
                slow = f"it sent less than {MIN_BYTES_PER_SECOND} bytes per second"
                raise TimeoutError(slow if pace.expired() else "it took too long") from None
            # not in a thread: a cancellation meanwhile would leave the file behind
            return staging.finish()


def named(error: Exception) -> str:
    return str(error) or type(error).__name__
