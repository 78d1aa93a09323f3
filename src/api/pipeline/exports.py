"""Exports: lines of JSON, streamed for as long as their token is usable, a few at a time for an account."""

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Final, TypeVar

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.services import Services
from identity.accounts.credentials import Principal
from identity.errors import CredentialExpiredError

T = TypeVar("T")

NDJSON: Final = "application/x-ndjson"
CHECK_SECONDS: Final = 5.0
"""An export goes on for so long at most after its token has ended."""


class Export(StreamingResponse):
    """Counts as under way until it has ended; what is too much is refused before it begins."""

    media_type = NDJSON

    def __init__(
        self,
        services: Services,
        principal: Principal,
        lines: Iterable[str] | Iterable[bytes],
        file: str | None = None,
    ) -> None:
        headers = None if file is None else {"Content-Disposition": f'attachment; filename="{file}"'}
        super().__init__(while_usable(services, principal, lines), headers=headers)
        self._did = principal.did

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with scope["app"].state.exports.of(self._did):
            await super().__call__(scope, receive, send)


def while_usable(services: Services, principal: Principal, parts: Iterable[T]) -> Iterator[T]:
    """Yield the parts for as long as the token is usable; then raises CredentialExpiredError, which breaks the export off."""
    checked_at = monotonic()
    for part in parts:
        if monotonic() - checked_at > CHECK_SECONDS:
            checked_at = monotonic()
            with services.database.read() as connection:
                token = {"did": principal.did, "credential_id": principal.credential_id}
                if not services.credentials.is_usable(connection, **token):
                    raise CredentialExpiredError
        yield part
