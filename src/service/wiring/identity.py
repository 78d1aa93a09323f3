"""Wires identity: accounts, sign-in, and sessions at PDSes."""

from collections.abc import Callable, Iterable
from functools import partial

import httpx

from eventstore.coordination.threads import Turns
from eventstore.event_log import EventLog
from identity.accounts.accounts import Accounts
from identity.accounts.credentials import AccountTokens, Credentials
from identity.accounts.sign_in import SignIns, sign_in_by_password
from identity.oauth.flows import Flows, OAuthGrants
from identity.oauth.sign_in import OAuthSignIn, oauth_app
from identity.resolution.address_policy import MAX_CONNECTIONS, PUBLIC_PLC, AddressPolicy, public_client
from identity.resolution.resolver import Resolver
from identity.sessions.encryption import Cipher
from identity.sessions.pds_sessions import PdsSessions
from outbox.mirror.lanes import park_lane
from service.config.secret_keys import oauth_keys, secret_keys
from service.config.settings import Settings
from service.wiring.adapters import lane_signed_in


class IdentityParts:
    """`http` sends what deliveries need; `on_refresh` is called with the outcome of each session refresh."""

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        http: httpx.AsyncClient,
        sign_in_http: httpx.AsyncClient,
        *,
        collections: Iterable[str],
        on_refresh: Callable[[str], None],
    ) -> None:
        database = log.database
        keys, cipher = oauth_keys(settings), Cipher(secret_keys(settings))
        self.sessions = PdsSessions(
            log,
            cipher,
            http,
            on_reauth=park_lane,
            on_signed_in=partial(lane_signed_in, database),
            oauth=OAuthGrants(_flows(settings, http), keys),
            on_refresh=on_refresh,
        )
        self.accounts = Accounts(database)
        self.credentials = Credentials(
            database, admin_dids=settings.admin_dids, operator_dids=settings.operator_dids
        )
        self.access = AccountTokens(log, self.credentials)
        sign_ins = SignIns(
            log, sign_in_http, sessions=self.sessions, accounts=self.accounts, credentials=self.credentials
        )
        app = oauth_app(settings.base_url, settings.oauth_scope or scope_of(collections), keys)
        resolver = resolver_of(settings, sign_in_http)
        self.app_password = partial(sign_in_by_password, sign_ins, resolver, sign_in_http)
        self.oauth: OAuthSignIn | None = None
        """None where `base_url` cannot be an OAuth client."""
        if app is not None:
            self.oauth = OAuthSignIn(app, _flows(settings, sign_in_http), cipher, sign_ins)


def scope_of(collections: Iterable[str]) -> str:
    """Return the scope that lets us write records in these collections, and upload what they name."""
    return " ".join(["atproto", *(f"repo:{each}" for each in collections), "blob:audio/* blob:image/*"])


def allows(scope: str | None, collection: str) -> bool:
    """Whether a login with this scope may write records in the collection; None stands for the scope of all of them."""
    asked = f"repo:{collection}"
    granted = () if scope is None else scope.split()
    return scope is None or any(
        each in {"transition:generic", "repo:*", asked} or each.startswith(f"{asked}?") for each in granted
    )


def resolver_of(settings: Settings, http: httpx.AsyncClient, turns: Turns | None = None) -> Resolver:
    return Resolver(settings.plc_url, settings.dev_origins, http, turns=turns)


def _flows(settings: Settings, http: httpx.AsyncClient) -> Flows:
    return Flows(http, AddressPolicy(settings.dev_origins), resolver_of(settings, http))


def pds_http_client(
    settings: Settings, max_connections: int = MAX_CONNECTIONS, *, of_a_host: int | None = None
) -> httpx.AsyncClient:
    """Return a client with connections of its own to the accounts' PDSes, of which each may take few, and the PLC directory."""
    return public_client(
        pds_address_policy(settings),
        max_connections=max_connections,
        of_a_host=of_a_host,
        unlimited=settings.plc_url or PUBLIC_PLC,
    )


def pds_address_policy(settings: Settings) -> AddressPolicy:
    return AddressPolicy([*settings.dev_origins, *([settings.plc_url] if settings.plc_url else [])])
