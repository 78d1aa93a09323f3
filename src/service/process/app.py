"""Builds the ASGI application of `serve`: the API and its pages, with the background work in its lifespan."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

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
        async with background_work(container, relay=container.settings.relay):
            yield

    app = create_app(container.services)
    app.router.lifespan_context = lifespan
    return AccessLog(app)
