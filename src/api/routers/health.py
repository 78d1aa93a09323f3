"""Whether the process lives, and whether it can work."""

from fastapi import APIRouter

from api.caller import Parts
from api.documented import errors
from api.refusals import NotReadyError

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses=errors(503))
def readyz(parts: Parts) -> dict[str, str]:
    """Say that the database is there, and that its schema and read models are of this version."""
    if (reason := parts.not_ready_because()) is not None:
        raise NotReadyError(reason)
    return {"status": "ready"}
