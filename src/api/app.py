"""The HTTP application, made from its parts."""

from typing import Final

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.caller import counted
from api.errors import add_error_handlers
from api.idempotency import RunningRequests
from api.media_work import MediaWork
from api.rate_limits import RateLimitHeaders
from api.request_id import RequestIds
from api.routers import (
    audit,
    auth,
    health,
    history,
    me,
    media,
    migrations,
    mirrors,
    oauth,
    ops,
    records,
    track_commands,
    tracks,
    undo,
    verify,
)
from api.services import Services
from api.turns import Turns

ROUTERS: Final = tuple(
    module.router
    for module in (
        tracks,
        track_commands,
        undo,
        verify,
        records,
        mirrors,
        history,
        audit,
        media,
        me,
        migrations,
        ops,
        auth,
        health,
    )
)
EXPOSED: Final = (
    "ETag", "Location", "X-Request-Id", "Retry-After", "Preference-Applied", "Content-Range",
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
)  # fmt: skip


def create_app(services: Services) -> FastAPI:
    """Make the application; nothing connects before the first request."""
    app = FastAPI(
        title="mastertape",
        summary="Tracks whose records on their artists' PDSes agree with an event log.",
        version="1",
    )
    app.state.services = services
    app.state.running = RunningRequests()
    app.state.turns = Turns()
    app.state.media_work = MediaWork(services.media)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(oauth.router, dependencies=[Depends(counted)])
    if services.metrics is not None:
        app.include_router(health.monitoring)
    if services.sign_in is not None:
        app.include_router(auth.app_password, dependencies=[Depends(counted)])
    add_error_handlers(app)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(RequestIds)
    if services.cors_origins:
        _allow_origins(app, services.cors_origins)
    return app


def _allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_credentials=True,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization", "Content-Type", "If-Match", "Idempotency-Key", "Prefer", "Range", "X-Request-Id",
        ],
        expose_headers=list(EXPOSED),
        max_age=3600,
    )  # fmt: skip
