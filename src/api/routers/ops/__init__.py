"""What operators read, and what admins do."""

from typing import Final

from api.routers.ops import accounts, deliveries, work

ROUTERS: Final = (
    deliveries.router,
    accounts.router,
    work.router,
)
