"""Identifies the version of a read model: its columns, and a number that is raised by hand."""

from hashlib import sha256

from sqlalchemy import Table


def fingerprint(version: int, *tables: Table) -> str:
    """Hash the columns and `version`, which is raised when the meaning of a column changes."""
    columns = [
        f"{table.name}.{column.name} {type(column.type).__name__} {column.nullable} {column.primary_key}"
        for table in tables
        for column in table.columns
    ]
    return sha256("\n".join([str(version), *columns]).encode()).hexdigest()[:16]
