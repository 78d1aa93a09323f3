"""What is asked for about a token: its name, what it may do, and for how long."""

from datetime import timedelta
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from api.errors import MissingPartError
from api.openapi import TEXT
from api.requests.body import Body
from identity.accounts.credentials import Scope

NAME_LENGTH: Final = 100
LONGEST_TEXT: Final = 512
DAYS: Final = (1, 365)
USUAL_DAYS: Final = 30
TOKEN_FIELDS: Final[dict[str, Any]] = {
    "name": TEXT,
    "scope": {"enum": [scope.value for scope in Scope]},
    "expires_in_days": {"type": "integer", "minimum": DAYS[0], "maximum": DAYS[1]},
}


def required_text(body: Body, name: str) -> str:
    """Read text that has to be there."""
    if name not in body:
        raise MissingPartError(name)
    value = body.text(name) or ""
    if not 0 < len(value) <= LONGEST_TEXT:
        raise InvalidFieldError(name, f"must have 1 to {LONGEST_TEXT} characters")
    return value


def name_of(body: Body, usual: str) -> str:
    """Read the name."""
    return (body.text("name") or usual)[:NAME_LENGTH].replace("\0", "")


def scope_of(body: Body) -> Scope:
    """Read what it may do."""
    return checked_scope(body.text("scope") or Scope.WRITE.value)


def checked_scope(value: str) -> Scope:
    """Check that it is one of ours."""
    if value not in list(Scope):
        raise InvalidFieldError("scope", f"must be one of: {', '.join(Scope)}")
    return Scope(value)


def lifetime_of(body: Body) -> timedelta:
    """Read for how long."""
    given = body.fields.get("expires_in_days")
    value = str(USUAL_DAYS if given is None or given == "" else given)
    first, last = DAYS
    if not (
        value.isascii() and value.isdecimal() and len(value) <= len(str(last)) and first <= int(value) <= last
    ):
        raise InvalidFieldError("expires_in_days", f"must be {first} to {last}")
    return timedelta(days=int(value))
