"""The index of `tracks.search` by trigrams, which both databases keep by themselves: pg_trgm, and FTS5 on SQLite."""

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event

from eventstore.sql.schema import Position
from projections.tracks.table import normalized, tracks

MIN_INDEXED_CHARACTERS: Final = 3
"""A shorter term has no trigram: it is looked for row by row."""

SEARCH_INDEX: Final = sa.Index(
    "ix_tracks_search",
    tracks.c.search,
    postgresql_using="gin",
    postgresql_ops={"search": "gin_trgm_ops"},
).ddl_if(dialect="postgresql")
EXTENSION: Final = "create extension if not exists pg_trgm"
ON_SQLITE: Final = (
    """
    create virtual table tracks_search
    using fts5(search, content='tracks', content_rowid='track_id', tokenize='trigram case_sensitive 1')
    """,
    """
    create trigger tracks_search_insert after insert on tracks begin
        insert into tracks_search (rowid, search) values (new.track_id, new.search);
    end
    """,
    """
    create trigger tracks_search_delete after delete on tracks begin
        insert into tracks_search (tracks_search, rowid, search) values ('delete', old.track_id, old.search);
    end
    """,
    """
    create trigger tracks_search_update after update of search on tracks when old.search != new.search begin
        insert into tracks_search (tracks_search, rowid, search) values ('delete', old.track_id, old.search);
        insert into tracks_search (rowid, search) values (new.track_id, new.search);
    end
    """,
)
event.listen(tracks, "before_create", sa.DDL(EXTENSION).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]
for statement in ON_SQLITE:
    event.listen(tracks, "after_create", sa.DDL(statement).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]

_indexed: Final = sa.table("tracks_search", sa.column("rowid", Position), sa.column("tracks_search"))
ESCAPE: Final = "/"
"""Before what LIKE would read as a wildcard."""
_is_indexed: Final = _indexed.c.rowid == tracks.c.track_id


@dataclass(frozen=True, eq=False)
class Search:
    """How a term, the parameter `q`, is looked for; and the track id to order by, which costs nothing."""

    contains: sa.ColumnElement[bool]
    track_id: sa.ColumnElement[int]


def _pattern(value: Any) -> sa.ColumnElement[bool]:
    return tracks.c.search.like(value, escape=ESCAPE)


def _phrase(value: Any) -> sa.ColumnElement[bool]:
    return sa.and_(_is_indexed, _indexed.c.tracks_search.op("match")(value))


PATTERN: Final = Search(_pattern(sa.bindparam("q")), tracks.c.track_id)
PHRASE: Final = Search(_phrase(sa.bindparam("q")), _indexed.c.rowid)


def search_of(connection: sa.Connection, text: str, *, in_index: bool = True) -> tuple[Search, str]:
    """Return how to look for a text, in any case, and its parameter; row by row where another index finds the rows."""
    term = normalized(text)
    if connection.dialect.name != "sqlite" or not (in_index and is_indexed(term)):
        return PATTERN, f"%{escaped(term)}%"
    return PHRASE, '"' + term.replace('"', '""') + '"'


def contains(connection: sa.Connection, text: str) -> sa.ColumnElement[bool]:
    search, value = search_of(connection, text)
    return _pattern(value) if search is PATTERN else _phrase(value)


def escaped(term: str) -> str:
    """Return the term as LIKE reads it verbatim."""
    for character in (ESCAPE, "%", "_"):
        term = term.replace(character, ESCAPE + character)
    return term


def is_indexed(term: str) -> bool:
    return len(term) >= MIN_INDEXED_CHARACTERS
