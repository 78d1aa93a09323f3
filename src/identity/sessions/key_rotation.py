"""Changing keys: every login sealed with the first of SECRET_KEYS, and which of OAUTH_KEYS logins need still."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, select, update

from eventstore.database import Database
from identity.errors import SealBrokenError
from identity.sessions.encryption import Seal
from identity.sessions.session_store import PURPOSE, pds_session
from identity.sessions.tokens import Tokens


@dataclass(frozen=True)
class Resealed:
    """How many logins there are, how many were sealed anew, and how many no key opens: those people sign in again."""

    logins: int
    resealed: int
    lost: int


def reseal(
    database: Database,
    seal: Seal,
    *,
    progress: Callable[[int, int], None] | None = None,
    dry_run: bool = False,
) -> Resealed:
    """Seal each login with the newest key, or only count; a login that is renewed meanwhile is as it is then."""
    rows = _logins(database)
    resealed = lost = 0
    for number, row in enumerate(rows, start=1):
        if not seal.is_current(row.sealed):
            try:
                resealed += _reseal(database, seal, row, dry_run=dry_run)
            except SealBrokenError:
                lost += 1
        if progress is not None:
            progress(number, len(rows))
    return Resealed(len(rows), resealed, lost)


def logins_by_oauth_key(database: Database, seal: Seal) -> Counter[str]:
    """Count the logins that began with each of OAUTH_KEYS, by its kid: without it they cannot be renewed."""
    opened = (seal.open(row.sealed, purpose=PURPOSE, did=row.did) for row in _logins(database))
    grants = (Tokens.from_bytes(each, "", None).grant for each in opened)
    return Counter(grant.kid for grant in grants if grant is not None and grant.kid is not None)


def _logins(database: Database) -> Sequence[Row[str, int, bytes]]:
    held = pds_session.c
    with database.read() as connection:
        return connection.execute(
            select(held.did, held.generation, held.sealed).where(held.sealed.is_not(None))
        ).all()


def _reseal(database: Database, seal: Seal, row: Row[str, int, bytes], *, dry_run: bool) -> int:
    did, generation, sealed = row
    opened = seal.open(sealed, purpose=PURPOSE, did=did)
    if dry_run:
        return 1
    with database.write() as connection:
        done = connection.execute(
            update(pds_session)
            .where(pds_session.c.did == did, pds_session.c.generation == generation)
            .where(pds_session.c.sealed == sealed)
            .values(sealed=seal.seal(opened, purpose=PURPOSE, did=did))
        )
    return done.rowcount
