"""Sign-in with an app password, wired as in the service."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

from pydantic import SecretStr

from eventstore.event_log import EventLog
from identity.accounts.accounts import Accounts
from identity.accounts.credentials import Credentials
from identity.accounts.sign_in import AppPasswordSignIn, SignIns
from identity.resolution.address_policy import AddressPolicy, public_client
from identity.resolution.resolver import Resolver
from identity.sessions.pds_sessions import PdsSessions
from tests.identity.conftest import by

GET_SESSION = "com.atproto.server.getSession"


def wired(database, cipher, hooks, pds, admins=()):
    """The services of sign-in, within one event loop."""

    @asynccontextmanager
    async def opened():
        async with public_client(AddressPolicy([pds.url, pds.plc_url])) as http:
            log = EventLog(database)
            sessions = PdsSessions(
                log, cipher, http, on_reauth=hooks.on_reauth, on_signed_in=hooks.on_signed_in
            )
            accounts, credentials = Accounts(database), Credentials(database, admin_dids=admins)
            made = SimpleNamespace(
                sessions=sessions,
                resolver=Resolver(pds.plc_url, [pds.url], http),
                sign_ins=SignIns(log, http, sessions=sessions, accounts=accounts, credentials=credentials),
            )
            made.app_password = AppPasswordSignIn(http, resolver=made.resolver, sign_ins=made.sign_ins)
            made.sign_in = made.app_password.sign_in
            yield made

    return opened


def run(signed, story):
    async def with_parts():
        async with signed() as made:
            return await story(made)

    return asyncio.run(with_parts())


def sign_in(signed, identifier, password):
    return run(signed, lambda made: made.sign_in(identifier, SecretStr(password), by=by))


def ask(signed, did):
    return run(signed, lambda made: made.sessions.request(did, "GET", GET_SESSION, timeout=20))


def take_down(pds, did):
    subject = {"$type": "com.atproto.admin.defs#repoRef", "did": did}
    body = {"subject": subject, "takedown": {"applied": True, "ref": "1"}}
    pds.procedure("com.atproto.admin.updateSubjectStatus", body, by="admin")
