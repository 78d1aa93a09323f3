"""Sign-in with OAuth and with app passwords, wired as in the service."""

import asyncio
import json
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

import httpcore
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from eventstore.event_log import EventLog
from identity.accounts.accounts import Accounts
from identity.accounts.credentials import Credentials
from identity.accounts.sign_in import SignIns, sign_in_by_password
from identity.oauth.flows import Flows, OAuthGrants
from identity.oauth.sign_in import AuthorizationResponse, OAuthSignIn, oauth_app
from identity.resolution.address_policy import AddressPolicy, public_client
from identity.resolution.resolver import Resolver
from identity.sessions.pds_sessions import PdsSessions
from identity.sessions.session_store import PURPOSE, pds_session
from tests.identity.conftest import by
from tests.servers.consent import Consenter

GET_SESSION = "com.atproto.server.getSession"
BASE_URL = "http://127.0.0.1:8000"
SCOPE = "atproto repo:fm.plyr.track repo:app.relay.track blob:audio/* blob:image/*"


class Rig:
    def __init__(self, database, cipher, hooks, pds, *, scope=SCOPE):
        self.database, self.cipher, self.hooks, self.pds, self.scope = database, cipher, hooks, pds, scope
        self.admins = []

    @asynccontextmanager
    async def parts(self):
        pds = self.pds
        async with public_client(AddressPolicy([pds.url, pds.plc_url])) as http:
            resolver = Resolver(pds.plc_url, [pds.url], http)
            flows = Flows(http, AddressPolicy([pds.url]), resolver)
            sessions = PdsSessions(
                EventLog(self.database),
                self.cipher,
                http,
                on_reauth=self.hooks.on_reauth,
                on_signed_in=self.hooks.on_signed_in,
                oauth=OAuthGrants(flows, ()),
            )
            sign_ins = SignIns(
                EventLog(self.database),
                http,
                sessions=sessions,
                accounts=Accounts(self.database),
                credentials=Credentials(self.database, admin_dids=self.admins),
            )
            app = oauth_app(BASE_URL, self.scope, ())
            yield SimpleNamespace(
                sessions=sessions,
                oauth=OAuthSignIn(app, flows, self.cipher, sign_ins),
                sign_in=partial(sign_in_by_password, sign_ins, resolver, http),
            )

    def run(self, story):
        async def with_parts():
            async with self.parts() as parts:
                return await story(parts)

        return asyncio.run(with_parts())

    def start(self, identifier, *, return_to="/me", **wanted):
        return self.run(lambda parts: parts.oauth.start(identifier, return_to=return_to, **wanted))

    def finish(self, query, cookie):
        returned = AuthorizationResponse(**query)
        return self.run(lambda parts: parts.oauth.finish(returned, cookie, by=by))

    def start_with_consent(self, account, identifier=None, **wanted):
        """Return the sign-in that was begun, and the query with which the PDS sends the browser back."""
        started = self.start(identifier or account.handle, **wanted)
        return started, Consenter(started.url).consents(account.handle, account.password)

    def sign_in(self, account):
        started, query = self.start_with_consent(account)
        signed_in, _ = self.finish(query, started.cookie)
        return signed_in

    def sign_in_by_password(self, identifier, password, **wanted):
        return self.run(lambda parts: parts.sign_in(identifier, SecretStr(password), by=by, **wanted))

    def request(self, did, method, nsid, **given):
        return self.run(lambda parts: parts.sessions.request(did, method, nsid, timeout=60, **given))


def ask(rig, did):
    return rig.request(did, "GET", GET_SESSION).status_code


def stored_tokens(rig, did):
    with rig.database.read() as connection:
        encrypted = connection.scalars(select(pds_session.c.sealed).where(pds_session.c.did == did)).one()
    return json.loads(rig.cipher.decrypt(encrypted, purpose=PURPOSE, did=did))


def store_tokens(rig, did, tokens):
    encrypted = rig.cipher.encrypt(json.dumps(tokens).encode(), purpose=PURPOSE, did=did)
    with rig.database.write() as connection:
        connection.execute(update(pds_session).values(status="active", sealed=encrypted))


@contextmanager
def refusing_connections(pds):
    """As if the PDS was stopped, whose start would take as long as the tests of a module: they reach a port where none listens."""
    connect = httpcore.AnyIOBackend.connect_tcp

    def refused(self, host, port, *options):
        return connect(self, host, 1 if port == httpx.URL(pds.url).port else port, *options)

    with patch.object(httpcore.AnyIOBackend, "connect_tcp", refused):
        yield


@pytest.fixture
def rig(database, cipher, hooks, pds):
    return Rig(database, cipher, hooks, pds)
