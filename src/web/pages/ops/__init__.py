"""The console: what operators see of all accounts, and what admins may do about it."""

from typing import Final

from web.pages.ops import actions, failures, hosts, now, people, repairs

ROUTERS: Final = (now.router, failures.router, hosts.router, repairs.router, people.router, actions.router)
