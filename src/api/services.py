"""The services that the routes use; service/wiring/bootstrap.py builds them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.errors import NotOfferedError
from api.middleware.http_layer import Answered
from api.middleware.rate_limits import RateLimits
from application.authorization import Supporters
from application.event_poller import EventPoller
from eventstore.change import Envelope
from eventstore.coordination.commit_signals import Wake
from eventstore.coordination.threads import Threads, Turns
from eventstore.event_budget import EventBudget
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import Accounts
from identity.accounts.credentials import AccountTokens, Credentials
from identity.accounts.sign_in import SignInResult
from identity.oauth.sign_in import OAuthSignIn
from identity.resolution.resolver import FeaturedArtists, Resolver
from outbox.mirror.hosts import PacedPds
from outbox.record.kind import RecordKinds
from outbox.repo.reads import RecordReads
from outbox.tracks.record import RecordUrls
from outbox.views.waits import MirrorWaits
from replay.reconcile.verify import Verifier
from storage.media import Media
from storage.parsers import Parsers
from storage.public.publisher import Publisher
from storage.stores.store import StoreThreads


@dataclass(frozen=True)
class MediaThreads:
    """The threads for work on media: a store or a disk that hangs takes those of one kind of work, and no others."""

    reads: StoreThreads
    writes: StoreThreads
    public_copies: StoreThreads
    staging: StoreThreads


@dataclass(frozen=True)
class Services:
    database: Database
    log: EventLog
    threads: Threads
    """For the database calls of asynchronous use cases."""
    media: Media
    media_threads: MediaThreads
    parsers: Parsers
    health_threads: Threads
    """For the checks of readiness, which may find a database, a disk or a store that hangs."""
    staging: Path
    accounts: Accounts
    credentials: Credentials
    access: AccountTokens
    resolver: Resolver
    featured_artists: FeaturedArtists
    pds: PacedPds
    pds_checks: Turns
    """Of an account's reads of its PDS before its commands."""
    record_reads: RecordReads
    verifier: Verifier
    waits: MirrorWaits
    event_poller: EventPoller
    urls: RecordUrls
    kinds: RecordKinds
    base_url: str
    max_upload_bytes: int
    event_budget: EventBudget
    sweep_grace: timedelta
    scan_interval: timedelta
    follows_firehose: bool
    schema: Callable[[], str]
    """Returns the schema revision, for exports."""
    not_ready_because: Callable[[], str | None]
    """Returns why the service cannot work now (database, schema, projection, media store); None if it can."""
    disconnect: Callable[[str, Envelope], Awaitable[bool]]
    """Ends an account's session at its PDS; returns whether the PDS confirmed it."""
    wake: Wake
    """Called after commits: wakes every subscriber that works after them, which would poll a moment later."""
    claim_with: Callable[[UnitOfWork], None] = lambda _unit: None
    """Called with a unit whose caller waits for the PDS, before it saves: a relay in this process may begin without a poll."""
    silent_because: Callable[[], str | None] = lambda: None
    """Returns why nothing may be sent to any PDS; None if it may."""
    media_away_because: Callable[[], str | None] = lambda: None
    """Returns why no media is served or accepted now; None if it is."""
    disk_full_because: Callable[[], str | None] = lambda: None
    """Returns which disk has no room for more; None if all have."""
    metrics: Callable[[], bytes] | None = None
    """None where the port is public."""
    answered: Answered | None = None
    publisher: Publisher | None = None
    """None where the store has no public copies."""
    sign_in: Callable[..., Awaitable[SignInResult]] | None = None
    """By app password; None where APP_PASSWORD_LOGIN is off."""
    oauth: OAuthSignIn | None = None
    """None where BASE_URL cannot be an OAuth client's."""
    offers: Callable[[str], bool] = lambda _collection: True
    """Whether OAUTH_SCOPE lets records in a collection be written."""
    supporters: Supporters | None = None
    rate_limits: RateLimits | None = None
    """None where RATE_LIMITS is off."""
    cors_origins: tuple[str, ...] = ()
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When the process began, by its own clock."""

    def collection_of(self, kind: str) -> str:
        """Return where new records of a kind are written; raises NotOfferedError where OAUTH_SCOPE leaves that out."""
        collection = self.kinds[kind].collection
        if not self.offers(collection):
            raise NotOfferedError(f"{kind}s")
        return collection
