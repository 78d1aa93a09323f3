"""PostgreSQL's indexes hold the longest texts of their columns: a longer one would stop all that writes its row."""

from collections.abc import Callable, Iterator, Sequence
from secrets import token_hex
from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.values import ALBUM_BYTES, NAME_GRAPHEMES, TAG_CHARACTERS, slug_of
from api.pipeline.idempotent_request import MAX_ROUTE_CHARACTERS
from eventstore.sql.database import Database
from eventstore.streams.buckets import BUCKET, Did
from outbox.record.kind import (
    FORMATS,
    MAX_ADDRESS_CHARACTERS,
    MAX_CID_CHARACTERS,
    MAX_DID_CHARACTERS,
    MAX_HANDLE_CHARACTERS,
    MAX_RKEY_CHARACTERS,
    MAX_TIMESTAMP_LENGTH,
    MAX_URI_CHARACTERS,
)
from service.schema.tables import metadata
from tests.servers.databases import ON_POSTGRES

OWN_CHARACTERS = 128
"""Of a text that the service chooses: a kind, a state, a hash, a token."""
COLLECTION_CHARACTERS = 317
HOST_CHARACTERS = MAX_HANDLE_CHARACTERS + len("https://:65535")


def letters(length: int) -> str:
    """Return random ones, since PostgreSQL compresses others."""
    return token_hex(length)[:length]


def did(length: int = MAX_DID_CHARACTERS) -> str:
    return f"did:web:{letters(length - len('did:web:'))}"


def handle(length: int = MAX_HANDLE_CHARACTERS) -> str:
    return ".".join([letters(60)] * 5)[: length - 2] + ".t"


def uri(length: int = MAX_URI_CHARACTERS) -> str:
    begin = f"at://{did()}/fm.plyr.track/"
    return begin + letters(length - len(begin))


LONGEST = {
    "uri": uri(),
    "handle": handle(),
    **dict.fromkeys(("did", "author", "subject"), did()),
    "collection": letters(COLLECTION_CHARACTERS),
    "rkey": letters(MAX_RKEY_CHARACTERS),
    "host": letters(HOST_CHARACTERS),
    "slug": slug_of("\ufdfa" * NAME_GRAPHEMES),  # which is a sentence
    "tag": "\U0001d11e" * TAG_CHARACTERS,
    **dict.fromkeys(("name", "first_name", "album"), letters(ALBUM_BYTES)),
    **dict.fromkeys(("key", "route"), letters(MAX_ROUTE_CHARACTERS)),
    **dict.fromkeys(("cid", "source"), letters(MAX_CID_CHARACTERS)),
    **dict.fromkeys(("audio_cid", "artwork_cid", "artwork_thumbnail_cid"), letters(MAX_CID_CHARACTERS)),
    **dict.fromkeys(("avatar_cid", "avatar_thumbnail_cid"), letters(MAX_CID_CHARACTERS)),
    **dict.fromkeys(
        ("id", "kind", "state", "desired_op", "method", "cause", "release"), letters(OWN_CHARACTERS)
    ),
    "created_at": letters(MAX_TIMESTAMP_LENGTH),
    **dict.fromkeys(("token", "token_hash", "preview_hash"), letters(OWN_CHARACTERS)),
    **dict.fromkeys(("upload_id", "originator_id"), letters(OWN_CHARACTERS)),
}
"""By column, the longest text that it may have; the limit is where its text is checked."""


def indexes() -> Iterator[tuple[sa.Table, Sequence[Any]]]:
    """Yield each B-tree with a text, by its columns: to which rows it is limited does not matter."""
    for table in metadata.tables.values():
        unique = [each for each in table.constraints if isinstance(each, sa.UniqueConstraint)]
        for index in (table.primary_key, *unique, *table.indexes):
            columns = [
                each for each in index.columns if isinstance(each, sa.Column)
            ]  # not the texts of an expression
            is_tree = not index.dialect_kwargs.get("postgresql_using")
            if is_tree and any(isinstance(each.type, sa.Text | Did) for each in columns):
                yield table, columns


def longest(column: Any) -> str | int:
    if isinstance(column.type, Did):
        return did()
    assert not isinstance(column.type, sa.Text) or column.name in LONGEST, f"say how long {column} may be"
    return LONGEST.get(column.name, 0)


@ON_POSTGRES
def test_each_index_holds_the_longest_texts_of_its_columns(migrated_url: str) -> None:
    database = Database(migrated_url)
    with database.write() as connection:
        for table, columns in indexes():
            row = {each.name: longest(each) for each in columns} | {BUCKET: 0}
            types = {
                name: sa.Text if isinstance(value, str) else sa.BigInteger for name, value in row.items()
            }
            copy = sa.Table(
                f"longest_of_{table.name}",
                sa.MetaData(),
                *(sa.Column(name, each, index=False) for name, each in types.items()),
                prefixes=["temporary"],
            )
            sa.Index(f"ix_{copy.name}", *copy.c)
            copy.create(connection)
            connection.execute(sa.insert(copy).values(row))
            copy.drop(connection)
    database.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("did", did),
        ("handle", handle),
        ("at-uri", uri),
        ("at-uri", lambda length=MAX_RKEY_CHARACTERS: f"at://{did(99)}/fm.plyr.track/{letters(length)}"),
        ("uri", lambda length=MAX_ADDRESS_CHARACTERS: f"https://a.test/{letters(length - 15)}"),
        ("cid", lambda length=MAX_CID_CHARACTERS: letters(length)),
    ],
)
def test_a_format_has_a_maximum(name: str, text: Callable[..., str]) -> None:
    longest = text()
    assert FORMATS[name](longest)
    assert not FORMATS[name](text(len(longest) + 1))
