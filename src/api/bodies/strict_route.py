"""Routes whose JSON the framework reads: by the same rules as what we read ourselves."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.bodies.receive import json_object


class StrictRequest(Request):
    """Refuses a name that comes twice, and what is no JSON though Python reads it."""

    async def json(self) -> Any:
        """Read the body."""
        return json_object(await self.body())


class StrictRoute(APIRoute):
    """For `APIRouter(route_class=...)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a request."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return handle
