"""What tells one shape of a read model from another."""

from hashlib import sha256

from sqlalchemy import Table


def fingerprint(version: int, *tables: Table) -> str:
    """Hash the columns, and the version that is raised by hand when the meaning of a column changes."""
    columns = [
        f"{table.name}.{column.name} {type(column.type).__name__} {column.nullable} {column.primary_key}"
        for table in tables
        for column in table.columns
    ]
    return sha256("\n".join([str(version), *columns]).encode()).hexdigest()[:16]
