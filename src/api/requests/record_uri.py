"""The track that the AT-URI of a record names."""

import re
from typing import Final

from sqlalchemy import Connection

from outbox.mirror.namespace_moves import track_with_record
from outbox.pds.client import RecordKey

URI: Final = re.compile(r"at://(did:[a-z]+:[\w.:%-]+)/([\w.-]+)/([\w.~:-]+)", re.ASCII)


def track_at(connection: Connection, uri: str) -> int | None:
    """Return the track, a deleted one too, whose record has this URI, or had it before it changed namespace.

    None for anything else, and where a handle names the account.
    """
    found = URI.fullmatch(uri)
    return None if found is None else track_with_record(connection, RecordKey(*found.groups()))
