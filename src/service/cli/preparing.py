"""Builds the container of a command, and checks its database."""

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from projections.rebuild.rebuild import rebuild
from service.cli.main import freeze_startup_objects
from service.cli.output import progress_bar
from service.config.settings import Settings, load
from service.observability.readiness import require_keys, require_ready
from service.process.metrics_server import metrics_listener
from service.schema.high_water_mark import detect_restore
from service.schema.migrate import require_schema, upgrade_database
from service.wiring.bootstrap import Container, Inherited, build

if TYPE_CHECKING:
    from service.observability.otel import Tracer

logger: Final = logging.getLogger("mastertape.service")


@asynccontextmanager
async def container_of_command() -> AsyncGenerator[Container]:
    """Build the container of the configured service for one command; raises OutdatedSchemaError."""
    container = build(load())
    try:
        require_schema(container.database)
        yield container
    finally:
        await container.close()


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
    log = container.log
    try:
        if not log.database.is_sqlite:
            if relay:
                log.database.require_direct()
            require_ready(log)
        else:
            upgrade_database(log.database)
            if stale := log.outdated():
                with progress_bar("rebuilding") as progress:
                    rebuild(log, stale, progress=progress)
        require_keys(log, settings)
        detect_restore(log, settings)
    except Exception:
        log.close()
        raise
    return container


ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def tracer_of_environment() -> "Tracer | None":
    """Return what sends traces to the collector that the environment names; None if it names none, or nothing can send them."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        from service.observability.otel import Tracer, exporting  # noqa: PLC0415 - an extra, of 30 MB
    except ImportError as error:
        logger.warning(
            "tracing_off",
            extra={
                "error": f"OpenTelemetry is not installed: {error}",
                "next": "nothing is traced; install mastertape[otel], or unset OTEL_EXPORTER_OTLP_ENDPOINT",
            },
        )
        return None
    return Tracer(exporting())
