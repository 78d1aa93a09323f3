"""Makes the application that browsers see: the API, and pages made from its answers."""

from typing import Final

from api.app import create_app as create_api
from api.document import DocumentedApp
from api.services import Services
from web import api_pages, rendering
from web.api_pages import error_body, refused, sign_in_first
from web.ask import RefusedError, SignInFirstError
from web.pages import docs, ops, pds, public, studio

ROUTERS: Final = (
    rendering.static,
    public.router,
    api_pages.router,
    pds.router,
    *studio.ROUTERS,
    docs.router,
    *ops.ROUTERS,
)


def create_app(services: Services) -> DocumentedApp:
    """Return the application. Pages come before the API's routes: at a shared address, a browser gets the page."""
    app = create_api(services, error_body)
    app.router.routes[:0] = [route for router in ROUTERS for route in router.routes]
    app.state.sign_in_pages = api_pages.WebSignInPages(services)
    app.state.reference = docs.Reference(app)
    app.add_exception_handler(RefusedError, refused)
    app.add_exception_handler(SignInFirstError, sign_in_first)
    return app
