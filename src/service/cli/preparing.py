"""Startup of `serve` and `relay`: builds the container and checks its database."""

from dataclasses import replace

from eventstore.event_log import EventLog
from projections.rebuild.rebuild import rebuild
from service.cli.output import progress_bar
from service.config.settings import Settings
from service.observability.readiness import outdated_projections, require_keys, require_ready
from service.observability.tracing import tracer_of_environment
from service.process.gc_tuning import freeze_startup_objects
from service.process.metrics_server import metrics_listener
from service.schema.high_water_mark import detect_restore
from service.schema.migrate import upgrade_database
from service.wiring.bootstrap import Container, Inherited, build


def prepare(settings: Settings, inherited: Inherited | None = None, *, relay: bool) -> Container:
    """Build the container. Upgrade and rebuild an SQLite database; refuse an outdated one on PostgreSQL, since processes share it.

    A `relay` listens for commits, which it cannot through a pooler: raises PooledConnectionError. Raises SettingsError
    if the address of METRICS is taken, or SECRET_KEYS decrypt no login.
    """
    inherited = inherited or Inherited()
    if settings.metrics is not None and inherited.metrics is None:
        inherited = replace(inherited, metrics=metrics_listener(settings.metrics))
    with freeze_startup_objects():
        container = build(settings, inherited, tracer_of_environment())
    try:
        _make_ready(container.log, settings, relay=relay)
    except Exception:
        container.log.close()
        raise
    return container


def _make_ready(log: EventLog, settings: Settings, *, relay: bool) -> None:
    if not log.database.is_sqlite:
        if relay:
            log.database.require_direct()
        require_ready(log)
    else:
        upgrade_database(log.database)
        if stale := outdated_projections(log):
            with progress_bar("rebuilding") as progress:
                rebuild(log, stale, progress=progress)
    require_keys(log, settings)
    detect_restore(log, settings)
