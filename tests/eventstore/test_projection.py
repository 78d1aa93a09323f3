"""A rebuild's scratch table holds the key and the derived columns, and nothing else."""

from sqlalchemy import BigInteger, Column, ForeignKey, MetaData, Table, Text, UniqueConstraint

from eventstore.projection import ProjectedTable, into_live, into_scratch


def mirror(metadata: MetaData) -> Table:
    Table("owner", metadata, Column("did", Text, primary_key=True))
    return Table(
        "mirror",
        metadata,
        Column("did", Text, ForeignKey("owner.did"), primary_key=True),
        Column("rkey", Text, primary_key=True),
        Column("desired", BigInteger, nullable=False, index=True),
        Column("observed", Text),
        UniqueConstraint("did", "desired"),
    )


def test_scratch_has_the_key_and_the_derived_columns() -> None:
    table = ProjectedTable(mirror(MetaData()), derived=("desired",))
    assert (table.key, table.columns) == (("did", "rkey"), ("desired",))
    assert list(table.scratch.columns.keys()) == ["did", "rkey", "desired"]
    assert [column.name for column in table.scratch.primary_key] == ["did", "rkey"]
    assert not table.scratch.c.desired.nullable
    assert not table.scratch.foreign_keys
    assert not table.scratch.indexes


def test_every_column_is_derived_unless_said_otherwise() -> None:
    table = ProjectedTable(mirror(MetaData()))
    assert table.columns == ("desired", "observed")


def test_a_projection_writes_into_the_table_or_into_scratch() -> None:
    table = ProjectedTable(mirror(MetaData()))
    assert into_live(table.live) is table.live
    assert into_scratch([table])(table.live) is table.scratch
