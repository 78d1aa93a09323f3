"""XRPC requests, responses and errors."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

OK = 200


class RefusedError(Exception):
    """The call is answered with an error. `name` is what clients go by."""

    def __init__(self, status: int, name: str, message: str = "", headers: dict[str, str] | None = None):
        super().__init__(f"{status} {name}: {message}")
        self.status, self.name, self.message, self.headers = status, name, message, headers or {}

    def reply(self) -> httpx.Response:
        body = {"error": self.name, "message": self.message or self.name}
        return httpx.Response(self.status, json=body, headers=self.headers)


def invalid(message: str) -> RefusedError:
    """The request makes no sense."""
    return RefusedError(400, "InvalidRequest", message)


def broken() -> RefusedError:
    return RefusedError(500, "InternalServerError", "Internal Server Error")


@dataclass
class Call:
    nsid: str
    params: dict[str, str]
    headers: httpx.Headers
    content: bytes
    client: str = ""
    response_headers: dict[str, str] = field(default_factory=dict)
    """Headers that the answer carries, whatever it is."""

    @classmethod
    def of(cls, request: httpx.Request, content: bytes) -> "Call":
        return cls(request.url.path.rsplit("/", 1)[1], dict(request.url.params), request.headers, content)

    @property
    def ip(self) -> str:
        return self.headers.get("x-forwarded-for", "127.0.0.1")

    def param(self, name: str) -> str:
        if name not in self.params:
            raise invalid(f'Params must have the property "{name}"')
        return self.params[name]

    def json(self, limit: int) -> dict[str, Any]:
        if len(self.content) > limit:
            raise RefusedError(413, "PayloadTooLargeError", "request entity too large")
        try:
            body = json.loads(self.content)
        except ValueError:
            raise RefusedError(400, "SyntaxError", "the body is no JSON") from None
        if not isinstance(body, dict):
            raise invalid("Input must be an object")
        return body


def reply(body: Any) -> httpx.Response:
    return httpx.Response(OK, json=body)
