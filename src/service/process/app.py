"""The ASGI application of one process: the API, and the work beside it for as long as the server runs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from api.app import create_app
from service.observability.access_log import AccessLog
from service.process.lifespan import working
from service.wiring.bootstrap import Application


def asgi(application: Application) -> ASGIApp:
    """Return the ASGI application; it closes `application` on shutdown."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with working(application, relay=application.settings.relay):
            yield

    app = create_app(application.services)
    app.router.lifespan_context = lifespan
    return AccessLog(app)
