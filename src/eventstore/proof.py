"""What a unit of work took to be so before it held the lock, proved by one statement once it does."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, Integer, and_, bindparam, case, literal_column, not_, select
from sqlalchemy.sql.visitors import replacement_traverse

from eventstore.prepared import Prepared, Query, Result

DIVISION_BY_ZERO: Final = "22012"


class StaleError(Exception):
    """Something is not as the unit took it to be; nothing was written."""


class Assumption(NamedTuple):
    """Whether a query finds rows."""

    query: Query
    finds: bool


def prove(connection: Connection, assumptions: Sequence[Assumption]) -> Result | None:
    """Start to prove them: what is wrong makes PostgreSQL refuse this statement, and with it all that follows in a pipeline.

    Raises StaleError on SQLite.
    """
    if not assumptions:
        return None
    proof = _proof(tuple((each.query.statement, each.finds) for each in assumptions))
    values = {
        _numbered(name, number): value
        for number, each in enumerate(assumptions)
        for name, value in each.query.values
    }
    proved = proof.start(connection, values)
    if connection.dialect.name == "sqlite" and proved.all()[0].proved is None:
        raise StaleError
    return proved


@lru_cache(maxsize=1024)
def _proof(assumed: tuple[tuple[Prepared, bool], ...]) -> Prepared:
    def build(dialect: str) -> Any:
        found = [_with_numbers(each.build(dialect).exists(), at) for at, (each, _) in enumerate(assumed)]
        all_hold = and_(
            *(each if finds else not_(each) for each, (_, finds) in zip(found, assumed, strict=True))
        )
        # divides by zero unless they hold, which is null on SQLite
        one = literal_column("1", Integer)
        return select(one.op("/")(case((all_hold, one), else_=literal_column("0", Integer))).label("proved"))

    return Prepared(build)


def _with_numbers(condition: Any, number: int) -> Any:
    """Rename its parameters: each assumption has its own values."""

    def renamed(element: Any, **_: Any) -> Any:
        if isinstance(element, BindParameter) and element.required:
            return bindparam(_numbered(element.key, number), type_=element.type)
        return None

    return replacement_traverse(condition, {}, renamed)


def _numbered(name: str, number: int) -> str:
    return f"{name}_of_{number}"
