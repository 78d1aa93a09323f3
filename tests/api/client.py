"""Starlette's client of an application in this process, at less than half of its cost."""

import httpx2
from starlette import testclient


class _WholeAnswers(testclient._TestClientTransport):  # noqa: SLF001 - there is no public way
    """Visits the application's thread once for each request: Starlette's, which could stream, does so eight times."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        with self.portal_factory() as portal:
            return portal.call(self._answer, request)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        transport = httpx2.ASGITransport(
            self._with_state, self.raise_server_exceptions, self.root_path, self.client
        )
        answer = await transport.handle_async_request(request)
        answer.stream = httpx2.ByteStream(b"".join([part async for part in answer.stream]))
        return answer

    async def _with_state(self, scope, receive, send) -> None:
        await self.app({**scope, "state": self.app_state.copy()}, receive, send)


class TestClient(testclient.TestClient):
    def __init__(self, app, **options) -> None:
        super().__init__(app, **options)
        self._transport.__class__ = _WholeAnswers
