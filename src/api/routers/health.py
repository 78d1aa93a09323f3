"""Liveness, readiness and metrics."""

import asyncio
from typing import Final

from fastapi import APIRouter, Request, Response

from api.auth.authentication import ServicesDep
from api.errors import NotReadyError
from api.openapi import TEXT, errors
from api.requests.parameters import StrictRoute
from api.services import Services
from eventstore.coordination.threads import Joint
from eventstore.errors import ThreadsBusyError

router = APIRouter(tags=["health"], route_class=StrictRoute)
monitoring = APIRouter(tags=["health"], route_class=StrictRoute)

READY_TIMEOUT_SECONDS: Final = 10.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process responds."""
    return {"status": "ok"}


@router.get("/readyz", responses=errors(503))
async def readyz(request: Request, services: ServicesDep) -> dict[str, str]:
    """Say that the database is available, that the media store holds what it names, and that the read models are of this version.

    While it is ready, `disk` says which disk is full, `media` why the store does not respond, and `relay` why nothing is being
    sent, if so. All that ask at once are told what one look finds.
    """

    async def look() -> dict[str, str]:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            return await services.health_threads.run(_ready, services)

    looks: Joint[str, dict[str, str]] = request.app.state.readiness
    try:
        return await looks.result("", look)
    except (TimeoutError, ThreadsBusyError):
        raise NotReadyError("the database or a disk does not answer") from None


def _ready(services: Services) -> dict[str, str]:
    if (reason := services.not_ready_because()) is not None:
        raise NotReadyError(reason)
    reasons = {
        "disk": services.disk_full_because(),
        "media": services.media_away_because(),
        "relay": services.silent_because(),
    }
    return {"status": "ready"} | {name: reason for name, reason in reasons.items() if reason is not None}


@monitoring.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": TEXT}}}}
)
async def metrics(services: ServicesDep) -> Response:
    """Return metrics in Prometheus format; served here only when BASE_URL is loopback."""
    assert services.metrics is not None  # noqa: S101 - the route is there only with them
    content = await services.health_threads.run(services.metrics)
    return Response(content, media_type="text/plain; version=1.0.0; charset=utf-8")
