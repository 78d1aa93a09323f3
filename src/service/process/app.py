"""Builds the ASGI application of `serve`: the API and its pages, with the background work in its lifespan."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from starlette.types import ASGIApp

from service.observability.access_log import AccessLog
from service.process.lifespan import background_work
from service.wiring.bootstrap import Container
from web.app import create_app


def asgi(container: Container) -> ASGIApp:
    """Return the ASGI application; it closes `container` on shutdown."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        container.metrics.pools.watch_requests(current_default_thread_limiter())
        async with background_work(container, relay=container.settings.relay):
            yield

    app = create_app(container.services)
    app.router.lifespan_context = lifespan
    if container.tracer is not None:
        container.tracer.watch_app(app)
    return AccessLog(app, container.metrics.http)
