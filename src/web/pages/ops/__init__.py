"""The console: what operators see of all accounts, and what admins may do about it."""

from typing import Final

from web.pages.ops import actions, deliveries, now, people, repairs, work

ROUTERS: Final = (
    now.router,
    deliveries.router,
    work.router,
    repairs.router,
    people.router,
    actions.router,
)
