"""AT-URIs of records."""

import re
from typing import Final

from outbox.pds.client import RecordKey

URI: Final = re.compile(r"at://(did:[a-z]+:[\w.:%-]+)/([\w.-]+)/([\w.~:-]+)", re.ASCII)


def key_of(uri: str) -> RecordKey | None:
    """Return the key that the URI of a record names; None for anything else, and where a handle names the account."""
    found = URI.fullmatch(uri)
    return None if found is None else RecordKey(*found.groups())
