"""The console: what operators see of all accounts, and what admins may do about it."""

from typing import Final

from web.pages.ops import actions, failures, hosts, now, people, records, repairs, work

ROUTERS: Final = (
    now.router,
    failures.router,
    records.router,
    hosts.router,
    work.router,
    repairs.router,
    people.router,
    actions.router,
)
