"""The console: what operators see of all accounts, and what admins may do about it."""

from typing import Final

from web.pages.ops import actions, failures, hosts, now, people

ROUTERS: Final = (now.router, failures.router, hosts.router, people.router, actions.router)
