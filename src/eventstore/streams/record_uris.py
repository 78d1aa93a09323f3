"""Finds rows by the URIs of their records, which they store as account, collection and key."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from eventstore.sql.database import pages


def uri_column(of: Any) -> sa.ColumnElement[str]:
    """Return the URI as an index can have it: without parameters."""
    begin, between = sa.literal_column("'at://'", sa.Text), sa.literal_column("'/'", sa.Text)
    uri: sa.ColumnElement[str] = begin + of.did + between + of.collection + between + of.rkey
    return uri


Which = Callable[[Any], Sequence[sa.ColumnElement[bool]]]
"""Returns conditions of a table's columns."""


def rows_by_uri(
    connection: sa.Connection, query: Callable[[Which], sa.Executable], uris: Collection[str]
) -> Iterator[Any]:
    """Yield the rows of records with these URIs, which each row begins with; `query` takes what limits it to them, and some others."""
    for some in pages(uris):
        places = zip(*(uri.removeprefix("at://").split("/") for uri in some), strict=True)
        found = connection.execute(query(partial(_are_at, connection, [{*each} for each in places])))
        yield from (row for row in found.all() if row[0] in uris)


def _are_at(
    connection: sa.Connection, places: Sequence[set[str]], of: Any
) -> tuple[sa.ColumnElement[bool], ...]:
    dids, collections, rkeys = places
    # `in_` of a list would look at each of its values
    has_key = of.rkey.in_(sa.bindparam(None, [*rkeys], expanding=True))
    if connection.dialect.name != "sqlite":  # PostgreSQL takes long to parse hundreds of parameters
        has_key = of.rkey == sa.any_(sa.bindparam(None, [*rkeys], type_=ARRAY(sa.Text)))
    return of.did.in_(dids), of.collection.in_(collections), has_key
