"""Writes logs as JSON lines to stderr: an event name, its fields, and no secrets."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from api.middleware.request_id import request_id
from service.observability.repeats import COUNTED_BY, Repeats

STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "color_message",
    COUNTED_BY,
}
SECRETS: Final = re.compile(
    r"(?P<token>\bmt_[\w-]{20,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*)|(?P<scheme>(?i:bearer|dpop|basic)) [\w~+/.=-]{8,}|(?P<before>://[^\s:/@]*:)[^\s@/]+(?=@)"
)
QUIET: Final = ("httpx", "httpcore", "alembic", "apscheduler", "botocore", "boto3", "urllib3", "s3transfer")


class JsonLines(logging.Formatter):
    """One line for each record: its fields, those given as `extra`, and the request it belongs to."""

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
            line["error"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(line, default=str, ensure_ascii=False))


class JsonLog(logging.StreamHandler[TextIO]):
    """Writes JSON lines: an expected failure in one, and its repeats as a count."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(JsonLines())
        self._repeats: Final = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        """Write what there is to say; the lock of the handler is held."""
        for line in self._repeats.lines(record):
            super().emit(line)

    def close(self) -> None:
        """Write the counts that have not been said."""
        for line in self._repeats.rest():
            super().emit(line)
        super().close()


def without_secrets(text: str) -> str:
    """Mask what looks like a token or a password: the last line of defence, not the first."""
    return SECRETS.sub(lambda found: f"{found['before'] or ''}***", text)


def log_to_stderr(level: str) -> None:
    """Log to stderr as JSON lines."""
    logging.basicConfig(level=level.upper(), handlers=[JsonLog(sys.stderr)], force=True)
    for name in QUIET:  # at info they log every request
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
