"""Decides whether this process traces: if OpenTelemetry's own variables name a collector, and its packages are installed."""

import logging
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from service.observability.otel import Tracer

logger: Final = logging.getLogger("mastertape.service")

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
