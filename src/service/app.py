"""The ASGI application of one process: the API, and the work beside it for as long as the server runs."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from api.app import create_app
from starlette.types import ASGIApp

from service.access_log import AccessLog
from service.bootstrap import Application
from service.work import working


def asgi(application: Application) -> ASGIApp:
    """Give what a server serves; it closes the application when it ends."""
    app = create_app(application.services)

    def lifespan(_app: Any) -> AbstractAsyncContextManager[Any]:
        return working(application, relay=application.settings.relay)

    app.router.lifespan_context = lifespan
    return AccessLog(app)
