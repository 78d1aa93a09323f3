"""Logs are JSON lines, and hold no secrets."""

import json
import logging

import pytest

from api.middleware.http_layer import request_id
from service.observability.logging import JsonLines, without_secrets


def line(record: logging.LogRecord) -> dict[str, object]:
    return dict(json.loads(JsonLines().format(record)))


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.getLogger("some.where").makeRecord(
        "some.where", logging.WARNING, "file", 1, message, (), None, extra=extra
    )


def test_extra_fields_stand_beside_the_message() -> None:
    made = line(record("lease_lost", did="did:plc:a", epoch=3))
    assert made.pop("at")
    assert made == {
        "level": "warning",
        "logger": "some.where",
        "message": "lease_lost",
        "did": "did:plc:a",
        "epoch": 3,
    }


def test_request_is_named() -> None:
    token = request_id.set("abc")
    assert line(record("x"))["request_id"] == "abc"
    request_id.reset(token)
    assert "request_id" not in line(record("x"))


@pytest.mark.parametrize(
    "secret",
    [
        "mt_0123456789abcdefghijklmnop-_",
        "mt_0a1_0123456789abcdefghijklmnop-_",
        "Bearer 0123456789abcdef",
        "DPoP 0123456789abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkaWQifQ.c2lnbmF0dXJl",
    ],
)
def test_tokens_are_taken_out(secret: str) -> None:
    text = JsonLines().format(record(f"sent {secret} along", header=secret))
    assert secret.rsplit(maxsplit=1)[-1] not in text
    assert json.loads(text)["message"] == "sent *** along"


def test_passwords_of_urls_are_taken_out() -> None:
    assert without_secrets("postgresql://mastertape:hush@db/tape") == "postgresql://mastertape:***@db/tape"
    assert (
        without_secrets("at 2026-11-24T16:00:00Z for did:plc:abc")
        == "at 2026-11-24T16:00:00Z for did:plc:abc"
    )
