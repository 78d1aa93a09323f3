"""Whether the process lives, and whether it can work."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from api.caller import Parts
from api.documented import errors
from api.refusals import NotReadyError

router = APIRouter(tags=["health"])
monitoring = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses=errors(503, free=True))
def readyz(parts: Parts) -> dict[str, str]:
    """Say that the database is there, that the media store is the one that it names bytes of, and that what is made from the log is of this version.

    Ready all the same: `media` says why a store that does not answer gives no bytes, `relay` why nothing is sent.
    """
    if (reason := parts.not_ready_because()) is not None:
        raise NotReadyError(reason)
    reasons = {"media": parts.media_away_because(), "relay": parts.silent_because()}
    return {"status": "ready"} | {name: reason for name, reason in reasons.items() if reason is not None}


@monitoring.get("/metrics", response_class=PlainTextResponse)
def metrics(parts: Parts) -> Response:
    """Give numbers in Prometheus' format; only a service for this machine alone has them at this address."""
    assert parts.metrics is not None  # noqa: S101 - the route is there only with them
    return Response(parts.metrics(), media_type="text/plain; version=1.0.0; charset=utf-8")
