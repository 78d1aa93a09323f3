"""The console: what operators see of all accounts, and what admins may do about it."""

from typing import Final

from web.pages.ops import actions, deliveries, now, people, repairs

ROUTERS: Final = tuple(module.router for module in (now, deliveries, repairs, people, actions))
