"""A sub-select names the bucket that the statement around it names, and no other one does."""

from unittest.mock import Mock

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from eventstore.streams.buckets import account_columns, in_part

metadata = sa.MetaData()
person, deed, word = (
    sa.Table(name, metadata, *account_columns(), sa.Column("host", sa.Text))
    for name in ("person", "deed", "word")
)
THIS = person.c.did == sa.bindparam("did")
OF_PERSON = sa.exists().where(deed.c.did == person.c.did)


def said(statement: sa.Executable, dialect: sa.Dialect | None = None) -> str:
    return " ".join(str(statement.compile(dialect=dialect or postgresql.dialect())).split())


def test_a_sub_select_about_the_person_of_a_statement_names_its_bucket() -> None:
    named = "deed.bucket = person.bucket AND deed.bucket = %(bucket_did)s::SMALLINT"
    for statement in (
        sa.select(person.c.host).where(THIS, OF_PERSON),
        sa.update(person).values(host="h").where(THIS, ~OF_PERSON),
        sa.delete(person).where(THIS, sa.or_(person.c.host == "h", OF_PERSON)),
        sa.select(sa.select(person.c.host).where(THIS, OF_PERSON).scalar_subquery()),
    ):
        assert named in said(statement)


def test_one_in_another_names_it_as_well() -> None:
    within = sa.exists().where(deed.c.did == person.c.did, sa.exists().where(word.c.did == deed.c.did))
    assert "word.bucket = %(bucket_did)s::SMALLINT" in said(sa.select(person.c.host).where(THIS, within))


def test_the_tables_of_a_select_are_known_without_compiling_it_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else each level is compiled again for all levels around it, and a new process takes seconds for its first polls."""
    monkeypatch.setattr(sa.Select, "_default_compiler", Mock(side_effect=AssertionError))
    test_one_in_another_names_it_as_well()


def test_a_sub_select_of_a_part_names_the_buckets_of_the_part() -> None:
    of_part = sa.select(person.c.host).where(in_part(person.c.bucket, (1, 2)), OF_PERSON)
    assert "deed.bucket = ANY ('{1,2}'::smallint[])" in said(of_part)


def test_one_that_reads_the_same_table_anew_stays_as_wide_as_it_is() -> None:
    """The persons of the sub-select are others than the one around it."""
    others = sa.select(sa.func.count()).select_from(person.join(deed, deed.c.did == person.c.did))
    others = others.where(person.c.host == word.c.host).correlate(word)
    around = sa.select(word.c.host, person.c.host).where(THIS, word.c.did == person.c.did)
    assert "%(bucket_did)s" not in said(around.add_columns(others.scalar_subquery())).split(" FROM ")[0]
    assert said(around.where(others.scalar_subquery() > 1)).count("%(bucket_did)s") == 1


def test_what_holds_beside_or_names_nothing() -> None:
    either = sa.select(person.c.host).where(sa.or_(THIS, person.c.host == "h"), OF_PERSON)
    assert said(either).count("%(bucket_did)s") == 1


def test_sqlite_gets_the_statement_as_it_is() -> None:
    assert said(sa.select(person.c.host).where(THIS, OF_PERSON), sqlite.dialect()).count("deed.bucket =") == 1
