"""Key rotation: re-encrypts logins with the first of SECRET_KEYS, and counts the logins that each of OAUTH_KEYS serves."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, select, update

from eventstore.database import Database
from identity.errors import DecryptionError
from identity.sessions.encryption import Cipher
from identity.sessions.session_store import PURPOSE, Tokens, pds_session


@dataclass(frozen=True)
class ReencryptionReport:
    logins: int
    resealed: int
    """Re-encrypted, or in a dry run to be."""
    lost: list[tuple[str, int]]
    """DID and generation of those that no key decrypts: these accounts have to sign in again."""


def reencrypt_logins(
    database: Database,
    cipher: Cipher,
    *,
    progress: Callable[[int, int], None] | None = None,
    dry_run: bool = False,
    limit: int | None = None,
) -> ReencryptionReport:
    """Encrypt each login with the newest key, or only count; a login that is refreshed meanwhile is left as it is."""
    rows = _logins(database, limit)
    reencrypted, lost = 0, []
    for number, row in enumerate(rows, start=1):
        if not cipher.is_current(row.sealed):
            try:
                plaintext = cipher.decrypt(row.sealed, purpose=PURPOSE, did=row.did)
            except DecryptionError:
                lost.append((row.did, row.generation))
            else:
                encrypted = cipher.encrypt(plaintext, purpose=PURPOSE, did=row.did)
                reencrypted += 1 if dry_run else _replaced(database, row, encrypted)
        if progress is not None:
            progress(number, len(rows))
    return ReencryptionReport(len(rows), reencrypted, lost)


def logins_by_oauth_key(database: Database, cipher: Cipher) -> Counter[str]:
    """Count the logins that began with each of OAUTH_KEYS, by kid: without its key a login cannot be refreshed."""
    decrypted = (cipher.decrypt(row.sealed, purpose=PURPOSE, did=row.did) for row in _logins(database))
    bindings = (Tokens.from_bytes(each, "", None).binding for each in decrypted)
    return Counter(binding.kid for binding in bindings if binding is not None and binding.kid is not None)


def _logins(database: Database, limit: int | None = None) -> Sequence[Row[str, int, bytes]]:
    session = pds_session.c
    with database.read() as connection:
        return connection.execute(
            select(session.did, session.generation, session.sealed)
            .where(session.sealed.is_not(None))
            .order_by(session.did)
            .limit(limit)
        ).all()


def _replaced(database: Database, row: Row[str, int, bytes], encrypted: bytes) -> int:
    session = pds_session.c
    is_as_read = (session.did == row.did, session.generation == row.generation, session.sealed == row.sealed)
    with database.write() as connection:
        return connection.execute(update(pds_session).where(*is_as_read).values(sealed=encrypted)).rowcount
