"""What the routes need. service/wiring/bootstrap.py fills it in; nothing here is made or connected."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from api.middleware.rate_limits import RateLimits
from application.event_poller import EventPoller
from application.playback_access import Supporters
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from eventstore.threads import Threads
from identity.accounts.accounts import Accounts
from identity.accounts.api_tokens import AccountTokens
from identity.accounts.app_password import AppPasswordSignIn
from identity.accounts.credentials import Credentials
from identity.oauth.sign_in import OAuthSignIn
from identity.resolution.resolver import Resolver
from outbox.mirror.paced_pds import PacedPds
from outbox.record.record import RecordUrls
from outbox.views.waits import MirrorWaits
from storage.media import Media
from storage.public.publisher import Publisher


@dataclass(frozen=True)
class Services:
    """What the routes use of one process."""

    database: Database
    log: EventLog
    threads: Threads
    """For the database calls of use cases that are asynchronous."""
    media: Media
    staging: Path
    accounts: Accounts
    credentials: Credentials
    access: AccountTokens
    resolver: Resolver
    pds: PacedPds
    waits: MirrorWaits
    event_poller: EventPoller
    urls: RecordUrls
    base_url: str
    collection: str
    old_collection: str
    max_upload_bytes: int
    schema: Callable[[], str]
    """Says which schema the database has, for exports."""
    not_ready_because: Callable[[], str | None]
    """Says why the service cannot work now: the database, its schema, a projection, the wrong store. None when it can."""
    disconnect: Callable[[str, Envelope], Awaitable[bool]]
    """Ends an account's session at its PDS, and says whether the PDS confirmed it."""
    wake: Callable[[], None]
    """Called after commits; the relay and the publisher, which it wakes, would come by themselves a moment later."""
    resolved: Callable[[str], None] = lambda _keep: None
    """Counts what owners decide on records that others have changed."""
    silent_because: Callable[[], str | None] = lambda: None
    """Says why nothing may be sent to any PDS; None when it may."""
    media_away_because: Callable[[], str | None] = lambda: None
    """Says why no bytes are given or taken now; None when they are."""
    metrics: Callable[[], bytes] | None = None
    """None where everybody could read them."""
    publisher: Publisher | None = None
    """None where the store has no public copies."""
    sign_in: AppPasswordSignIn | None = None
    """None where people may not sign in with an app password."""
    oauth: OAuthSignIn | None = None
    """None where the service's address is no OAuth client's."""
    supporters: Supporters | None = None
    rate_limits: RateLimits | None = None
    """None where everybody may ask for as much as they like."""
    cors_origins: tuple[str, ...] = ()
