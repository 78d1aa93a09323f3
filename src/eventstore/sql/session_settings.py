"""Checks each new connection to PostgreSQL for the settings that promises rest on: a pooler may drop them without a word."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import EncodingError, UnsafeConnectionError

if TYPE_CHECKING:
    import psycopg

IS_POOLED: Final = "mastertape_is_pooled"
"""The key in a connection's `info` that says whether its server session belongs to a pooler."""
DURABLE: Final = ("on", "remote_apply")
"""The values of synchronous_commit that make a commit wait until it is flushed."""
TIMEOUTS: Final = ("lock_timeout", "idle_in_transaction_session_timeout")

_SESSION: Final = f"""
    select pg_backend_pid() as backend_pid, current_setting('synchronous_commit') as synchronous_commit,
        {", ".join(f"current_setting('{name}') as {name}" for name in TIMEOUTS)},
        array[{", ".join(f"current_setting('{name}')::interval = %({name})s::interval" for name in TIMEOUTS)}] as kept"""


def check_session(driver: "psycopg.Connection[Any]", asked: Mapping[str, str]) -> bool:
    """Return whether a pooler is between.

    Raises EncodingError unless the database stores UTF-8, UnsafeConnectionError where the session lacks these settings.
    """
    if (encoding := driver.info.parameter_status("server_encoding")) not in {None, "UTF8"}:
        raise EncodingError(str(encoding))
    driver.autocommit = True  # one round trip, and no transaction
    try:
        found = driver.execute(_SESSION, {name: asked[name] for name in TIMEOUTS}).fetchone()
    finally:
        driver.autocommit = False
    assert found is not None  # noqa: S101
    backend_pid, synchronous_commit, *timeouts, kept = found
    dropped = [] if synchronous_commit in DURABLE else [("synchronous_commit", synchronous_commit, "on")]
    for name, value, is_kept in zip(TIMEOUTS, timeouts, kept, strict=True):
        if not is_kept:
            dropped.append((name, value, asked[name]))
    if dropped:
        said = ", ".join(f"{name} is {value} instead of {asked}" for name, value, asked in dropped)
        raise UnsafeConnectionError(said)
    # a pooler cannot tell its clients the pid of one server session
    is_pooled: bool = driver.info.backend_pid != backend_pid
    if is_pooled:  # the next transaction may have another session, without the statement
        driver.prepare_threshold = None
    return is_pooled
