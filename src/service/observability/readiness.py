"""Checks that this process may work on its database: schema and projections must be of its own version."""

from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from eventstore.errors import EventStoreError, OutdatedProjectionError
from eventstore.event_log import EventLog
from eventstore.restore_detection import restored_because
from identity.sessions.encryption import Cipher
from identity.sessions.key_rotation import reencrypt_logins
from service.config.secret_keys import secret_keys
from service.config.settings import Settings, SettingsError
from service.observability.media_health import MediaHealth
from service.schema.migrate import OutdatedSchemaError, require_schema

TRIED_LOGINS: Final = 20


def require_ready(log: EventLog) -> None:
    """Raise OutdatedSchemaError or OutdatedProjectionError; both messages name the command that helps."""
    require_schema(log.database)
    for projection in log.outdated():
        raise OutdatedProjectionError(projection.name)


def require_keys(log: EventLog, settings: Settings) -> None:
    """Raise SettingsError where SECRET_KEYS decrypt none of the logins that are kept; a few of them tell."""
    cipher = Cipher(secret_keys(settings))
    found = reencrypt_logins(log.database, cipher, dry_run=True, limit=TRIED_LOGINS)
    if 0 < len(found.lost) == found.logins:
        raise SettingsError(
            "SECRET_KEYS decrypt none of the logins that are kept: put back the key that encrypted them (on loopback it was "
            "in DATA/secret_keys), or run `mastertape reseal --end-lost`, after which their owners sign in again"
        )


def why_not_ready(log: EventLog, store: MediaHealth | None = None) -> str | None:
    """Return what makes requests fail, of the database or the media store; None if nothing does."""
    try:
        require_ready(log)
        if store is not None:
            return store.health().lost
    except (OutdatedSchemaError, EventStoreError) as error:
        return str(error)
    except (DBAPIError, PoolTimeoutError):
        return "the database does not answer"
    return None


def why_silent(log: EventLog) -> str | None:
    """Return why relays send nothing to any PDS; None if they do."""
    with log.database.read() as connection:
        because = restored_because(connection)
    if because is None:
        return None
    return f"the database was restored ({because}): nothing is sent before `mastertape recovered`"
