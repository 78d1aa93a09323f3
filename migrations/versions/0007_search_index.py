"""An index in which a search finds its tracks, whatever number there is: trigrams, by pg_trgm or FTS5."""

from alembic import op

revision = "0007"
down_revision = "0006"

ON_SQLITE = (
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
    "insert into tracks_search (tracks_search) values ('rebuild')",
)


def upgrade() -> None:
    """A PostgreSQL role that may not create extensions needs pg_trgm from its administrator first."""
    if op.get_context().dialect.name == "sqlite":
        for statement in ON_SQLITE:
            op.execute(statement)
        return
    op.execute("create extension if not exists pg_trgm")
    op.create_index(
        "ix_tracks_search",
        "tracks",
        ["search"],
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
