"""What operators read, and what admins do."""

from typing import Final

from api.routers.ops import accounts, deliveries, overview, repairs, takedowns

ROUTERS: Final = (
    deliveries.router,
    accounts.router,
    overview.router,
    repairs.router,
    takedowns.router,
)
