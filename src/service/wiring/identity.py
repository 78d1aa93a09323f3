"""The composition root's part that knows people: who they are, how they sign in, and the sessions at their PDSes."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from eventstore.event_log import EventLog
from identity.accounts.accounts import Accounts
from identity.accounts.api_tokens import AccountTokens
from identity.accounts.app_password import AppPasswordSignIn
from identity.accounts.credentials import Credentials
from identity.accounts.sign_in import SignIns
from identity.oauth.client import oauth_app
from identity.oauth.flows import Flows
from identity.oauth.grants import OAuthGrants
from identity.oauth.sign_in import OAuthSignIn
from identity.resolution.address_policy import AddressPolicy, public_client
from identity.resolution.resolver import Resolver
from identity.sessions.encryption import Cipher
from identity.sessions.pds_sessions import PdsSessions
from service.config.secret_keys import oauth_keys, secret_keys
from service.config.settings import Settings
from service.wiring.adapters import LanesOfAccounts


@dataclass(frozen=True)
class People:
    """What belongs to one event loop and its client."""

    resolver: Resolver
    sessions: PdsSessions
    accounts: Accounts
    credentials: Credentials
    access: AccountTokens
    app_password: AppPasswordSignIn
    oauth: OAuthSignIn | None
    """None where the service's address is no OAuth client's."""


def people(
    settings: Settings,
    log: EventLog,
    http: httpx.AsyncClient,
    *,
    on_refresh: Callable[[str], None] = lambda _outcome: None,
) -> People:
    """Make them all."""
    resolver = Resolver(settings.plc_url, settings.dev_origins, http)
    flows = Flows(http, AddressPolicy(settings.dev_origins), resolver)
    database = log.database
    lanes, keys, cipher = LanesOfAccounts(database), oauth_keys(settings), Cipher(secret_keys(settings))
    sessions = PdsSessions(
        log,
        cipher,
        http,
        on_reauth=lanes.must_sign_in,
        on_signed_in=lanes.signed_in,
        oauth=OAuthGrants(flows, keys),
        on_refresh=on_refresh,
    )
    accounts, credentials = Accounts(database), Credentials(database, admin_dids=settings.admin_dids)
    sign_ins = SignIns(log, http, sessions=sessions, accounts=accounts, credentials=credentials)
    app = oauth_app(settings.base_url, settings.oauth_scope, keys)
    return People(
        resolver,
        sessions,
        accounts,
        credentials,
        AccountTokens(log, credentials),
        AppPasswordSignIn(http, resolver=resolver, sign_ins=sign_ins),
        OAuthSignIn(app, flows, cipher, sign_ins) if app is not None else None,
    )


def guarded_client(*trusted: str | None) -> httpx.AsyncClient:
    """Return a client for public addresses and these: no account may name an address reserved for us as its PDS."""
    return public_client(_trusting(*trusted))


def client_of_people(settings: Settings) -> httpx.AsyncClient:
    """Return the client for the accounts' PDSes."""
    return public_client(addresses_of_people(settings))


def addresses_of_people(settings: Settings) -> AddressPolicy:
    """Say where everybody's PDS may be."""
    return _trusting(*settings.dev_origins, settings.plc_url)


def _trusting(*origins: str | None) -> AddressPolicy:
    return AddressPolicy([url for url in origins if url is not None])


@asynccontextmanager
async def sessions_of_this_loop(settings: Settings, log: EventLog) -> AsyncGenerator[PdsSessions]:
    """Sessions for a job, which has an event loop of its own."""
    async with client_of_people(settings) as http:
        sessions = people(settings, log, http).sessions
        try:
            yield sessions
        finally:
            await sessions.finish()
