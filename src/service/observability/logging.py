"""Writes logs as JSON lines to stderr: an event name, its fields, and no secrets."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

from api.middleware.http_layer import request_id
from service.observability.expected import NEXT, NEXT_OF_REQUEST, expected, first_line

STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
REQUEST_FAILED: Final = "request_failed"
SECRETS: Final = re.compile(
    r"(?P<token>\bmt_[\w-]{20,}|(?<![\w-])(?>[\w-]*eyJ[\w-]+)\.[\w-]+\.[\w-]*)|(?P<scheme>(?i:bearer|dpop|basic)) [\w~+/.=-]{8,}|(?P<before>://[^\s:/@]*:)[^\s@/]+(?=@)"
)
SIGNS: Final = ("mt_", "eyj", "://", "bearer ", "dpop ", "basic ")
"""Each of SECRETS has one, in lower case; to look for these takes a tenth of the time."""
QUIET: Final = ("httpx", "httpcore", "alembic", "apscheduler", "botocore", "boto3", "urllib3", "s3transfer")

_ENCODER: Final = json.JSONEncoder(default=str, ensure_ascii=False)


class JsonLines(logging.Formatter):
    """One line for each record: its fields, those given as `extra`, and the request it belongs to.

    An expected failure says what happened and what comes next; a fault of the program has its traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id.get():
            line["request_id"] = request
        line |= {name: value for name, value in vars(record).items() if name not in STANDARD}
        if record.exc_info:
            line |= self._failure(record.getMessage(), record.exc_info)
        return without_secrets(_ENCODER.encode(line))

    def _failure(self, message: str, exc_info: tuple[Any, Any, Any]) -> dict[str, str]:
        error = exc_info[1]
        if error is None or (kind := expected(error)) is None:
            return {"error": self.formatException(exc_info)}
        next_step = NEXT_OF_REQUEST if message == REQUEST_FAILED else NEXT[kind]
        return {"error": f"{kind}: {first_line(error)}", "next": next_step}


def without_secrets(text: str) -> str:
    """Mask what looks like a token or a password: the last line of defence, not the first."""
    lower = text.lower()
    if not any(sign in lower for sign in SIGNS):
        return text
    return SECRETS.sub(lambda found: f"{found['before'] or ''}***", text)


def log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:  # at info they log every request
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
