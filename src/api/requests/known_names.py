"""Refuses the fields and query parameters that a route does not declare; what OpenAPI documents is what a route knows."""

from collections.abc import Callable, Collection, Coroutine, Iterable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, get_origin

from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.errors import UnknownFieldError, UnknownParameterError, UnparsableError
from api.json_response import AsciiJsonResponse
from api.openapi import errors


class StrictRoute(APIRoute):
    """A route that refuses query parameters it does not declare, and repeated ones; `known_fields` has its body's fields.

    What its endpoint returns goes out as it is: a page calls the endpoint, and gets the same body.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        responses: dict[Any, Any] | None = None,
        **options: Any,
    ) -> None:
        responses = {**errors(422, free=True), **(responses or {})}
        super().__init__(path, _answering(endpoint), responses=responses, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Check the names before the route's own handler reads the values."""
        handle = super().get_route_handler()
        known = {
            each.alias: get_origin(each.field_info.annotation) is list
            for each in get_flat_params(self.dependant)
            # the fields of a query's model are plain ones; every other parameter says where it is
            if getattr(each.field_info, "in_", ParamTypes.query) is ParamTypes.query
        }

        async def checked(request: Request) -> Response:
            query = request.query_params
            for name in query:
                if name not in known:
                    raise UnknownParameterError(name, known)
                if len(query.getlist(name)) > 1 and not known[name]:
                    raise UnparsableError(f"The parameter {name!r} is there twice. Nothing was changed.")
            return await handle(request)

        return checked


def _answering(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Make a response of the body that an endpoint returns; FastAPI would check the body against its model once more."""
    if iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def answer_soon(**arguments: Any) -> Response:
            return _response(await endpoint(**arguments))

        return answer_soon

    @wraps(endpoint)
    def answer(**arguments: Any) -> Response:
        return _response(endpoint(**arguments))

    return answer


def _response(answer: BaseModel | Response) -> Response:
    return AsciiJsonResponse(answer) if isinstance(answer, BaseModel) else answer


def known_fields(request: Request) -> tuple[str, ...]:
    """Return the fields of the route's body, in the order in which OpenAPI documents them."""
    extra: dict[str, Any] = request.scope["route"].openapi_extra or {}
    contents = extra.get("requestBody", {}).get("content", {}).values()
    return tuple(dict.fromkeys(name for content in contents for name in content["schema"]["properties"]))


def require_known_fields(names: Iterable[str], known: Collection[str], inside: str = "") -> None:
    """Raise UnknownFieldError for the first name that is not known; `inside` begins the names in a nested object."""
    for name in names:
        if name not in known:
            raise UnknownFieldError(name, known, inside)
