"""Fetches bytes from outside into files; the bytes of a blob must have its CID."""

import asyncio
from pathlib import Path
from typing import Final

import httpx

from eventstore.coordination.threads import Threads
from identity.errors import FetchRefusedError
from identity.resolution.address_policy import AddressPolicy, origin_of
from identity.resolution.http_responses import OnReply, fetched
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.paced_pds import LEFT_ALONE
from outbox.pds.client import verdict_of_read
from outbox.threads import in_thread
from replay.errors import BytesUnavailableError, PdsBusyError, PdsTroubleError
from storage.errors import TooLargeError
from storage.upload import Staged, Staging

GET_BLOB: Final = "com.atproto.sync.getBlob"
FETCH_TIMEOUT_SECONDS: Final = 600.0
FETCH_PATIENCE_SECONDS: Final = 60.0
"""For the first bytes, and for pauses among the others."""
MIN_BYTES_PER_SECOND: Final = 32 * 1024
TOO_MANY, SERVER_ERROR = 429, 500


class Fetcher:
    """Fetches from addresses that records name; a PDS that is paused is sent no request."""

    def __init__(
        self, http: httpx.AsyncClient, policy: AddressPolicy, folder: Path, hosts: Hosts, threads: Threads
    ) -> None:
        self._threads = threads
        self._hosts = hosts
        self._http = http
        self._policy = policy
        self._folder = folder

    async def blob(self, host: str, did: str, cid: str, limit: int) -> Staged:
        """Return a blob from its account's PDS.

        Raises BytesUnavailableError where the PDS has no such blob or other bytes, and PdsTroubleError where another attempt
        may succeed.
        """
        if not await in_thread(self._hosts.may_send, host):
            raise PdsBusyError(LEFT_ALONE.message)
        address = httpx.URL(f"{host}/xrpc/{GET_BLOB}", params={"did": did, "cid": cid})
        try:
            staged = await self.staged(str(address), limit, on_reply=self._limits_recorder(host, did))
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

    def _limits_recorder(self, host: str, did: str) -> OnReply:
        """Record the rate limits in the response of the PDS; those of a host it redirects to are not the PDS's."""

        async def on_reply(reply: httpx.Response) -> None:
            if origin_of(str(reply.url)) == origin_of(host):
                report = HostReport.of_limits(host, did, verdict_of_read(reply))
                await in_thread(self._hosts.record_if_changed, report)

        return on_reply

    async def staged(
        self, url: str, limit: int, policy: AddressPolicy | None = None, on_reply: OnReply | None = None
    ) -> Staged:
        """Fetch a URL, under another address policy if one is given; raises as `fetched` does, and TimeoutError for a slow one."""
        with Staging(self._folder, limit) as staging:
            try:
                async with asyncio.timeout(FETCH_PATIENCE_SECONDS) as pace:
                    await self._write(staging, url, policy or self._policy, on_reply, pace)
            except TooLargeError as error:
                raise FetchRefusedError(str(error)) from None
            except TimeoutError:
                slow = f"it sent less than {MIN_BYTES_PER_SECOND} bytes per second"
                raise TimeoutError(slow if pace.expired() else "it took too long") from None
            # not in a thread: a cancellation meanwhile would leave the file behind
            return staging.finish()

    async def _write(
        self,
        staging: Staging,
        url: str,
        policy: AddressPolicy,
        on_reply: OnReply | None,
        pace: asyncio.Timeout,
    ) -> None:
        async with fetched(
            self._http,
            policy,
            url,
            limit=staging.limit,
            seconds=FETCH_TIMEOUT_SECONDS,
            on_reply=on_reply,
        ) as chunks:
            async for chunk in chunks:
                pace.reschedule((pace.when() or 0.0) + len(chunk) / MIN_BYTES_PER_SECOND)
                await self._threads.run(staging.write, chunk)


def named(error: Exception) -> str:
    """Return the message of an error, or its class where it has none."""
    return str(error) or type(error).__name__
