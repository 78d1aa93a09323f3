"""What operators read, and what admins do."""

from typing import Final

from api.routers.ops import accounts, deliveries, overview, repairs, takedowns, work

ROUTERS: Final = (
    deliveries.router,
    accounts.router,
    overview.router,
    work.router,
    repairs.router,
    takedowns.router,
)
