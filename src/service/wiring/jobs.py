"""Wires the worker of a process: every kind of job with its handler."""

from typing import TYPE_CHECKING, Final

from aggregates.accounts.profile import Profile
from aggregates.lists.track_list import TrackList
from aggregates.tracks.track import Track
from application.account import deletion_kind
from application.lists.liked import liked_list_kind
from application.lists.texts import album_texts_kind
from application.reactions import reaction_kind, recount_kind
from application.releases.publishing import Publishing
from eventstore.coordination.threads import Threads
from eventstore.jobs.worker import Worker
from identity.resolution.address_policy import AddressPolicy
from outbox.blobs.worker import Uploads
from outbox.lists.references import references_kinds
from outbox.mirror.hosts import PacedPds
from outbox.probes.jobs import Probes
from outbox.reactions.record import ReactionRecords
from outbox.repo.reads import RepoReads
from replay.adoption.adopt import LISTING_TIMEOUT_SECONDS, Adoption
from replay.adoption.fetcher import Fetcher, OthersAddresses
from replay.adoption.intake import Intake
from replay.adoption.list import ListIntake
from replay.adoption.plain import PlainIntake, ReactionIntake
from replay.derived import DerivedMedia
from replay.exports import Exports
from replay.renewal import renewal_kind
from replay.repair.worker import RepairJobs
from service.config.settings import Settings
from service.schema.migrate import newest, revision_of
from service.wiring.adapters import IdentityDirectory, StorageAudio
from service.wiring.identity import resolver_of
from service.wiring.log import staging_folder

if TYPE_CHECKING:
    from service.wiring.bootstrap import Container

MAX_ADOPTION_THREADS: Final = 12
MAX_ADOPTION_STORE_THREADS: Final = 16
"""Every record of the concurrent adoptions."""
MAX_REPAIR_THREADS: Final = 4
MAX_DELETION_THREADS: Final = 4
MAX_REACTION_THREADS: Final = 4
MAX_LIST_THREADS: Final = 4
MAX_EXPORT_THREADS: Final = 2
MAX_RELEASE_THREADS: Final = 4
MAX_DERIVED_STORE_THREADS: Final = 6
"""Every job of a process."""


def worker_of(parts: "Container") -> Worker:
    settings, others = parts.settings, _others(parts.settings)
    threads = Threads("derived-store", MAX_DERIVED_STORE_THREADS)
    fetcher = Fetcher(parts.http, others.policy, staging_folder(settings), parts.hosts, threads)
    exporting = Threads("exports", MAX_EXPORT_THREADS)
    repairs = RepairJobs(
        parts.log,
        RepoReads(parts.pds),
        parts.kinds,
        Threads("repair", MAX_REPAIR_THREADS),
    )
    paced = PacedPds(parts.sessions, parts.relay_http, parts.hosts)
    uploads = Uploads(parts.log, parts.hosts, paced, StorageAudio(parts.media), metrics=parts.metrics)
    directory = IdentityDirectory(resolver_of(settings, parts.relay_http))
    probes = Probes(parts.database, paced, directory)
    return Worker(
        parts.database,
        [
            uploads.kind(),
            probes.kind(),
            parts.adoptions.kind(),
            repairs.kind(),
            Exports(parts.log, parts.media, staging_folder(settings), newest, exporting).kind(),
            *DerivedMedia(parts.media, fetcher, others, parts.parsers, threads).kinds(),
            *(parts.publisher.kinds.values() if parts.publisher is not None else ()),
            reaction_kind(parts.log, Threads("reactions", MAX_REACTION_THREADS)),
            recount_kind(parts.log, Threads("recount", 1)),
            *references_kinds(parts.log, Threads("references", MAX_LIST_THREADS)),
            album_texts_kind(parts.log, Threads("album-texts", MAX_LIST_THREADS)),
            liked_list_kind(parts.log, Threads("liked-list", MAX_LIST_THREADS)),
            Publishing(
                parts.log,
                parts.accounts,
                parts.kinds,
                parts.media,
                parts.publisher,
                Threads("releases", MAX_RELEASE_THREADS),
            ).kind(),
            renewal_kind(parts.log, Threads("snapshots", 1)),
            deletion_kind(
                parts.log,
                parts.sessions.disconnect,
                Threads("deletions", MAX_DELETION_THREADS),
                knows_all=lambda: revision_of(parts.database) == newest(),
            ),
        ],
        owner=parts.owner,
        lease=parts.lease,
        may_work=lambda: not parts.log.outdated(),
        on_settled=parts.relay.wake,
    )


def adoptions_of(parts: "Container") -> Adoption:
    """Build what adopts records. Token refreshes never wait for its threads."""
    settings, media, others = parts.settings, parts.media, _others(parts.settings)
    threads = Threads("adoption", MAX_ADOPTION_THREADS)
    store_threads = Threads("adoption-store", MAX_ADOPTION_STORE_THREADS)
    fetcher = Fetcher(parts.http, others.policy, staging_folder(settings), parts.hosts, store_threads)
    return Adoption(
        parts.log,
        RepoReads(parts.pds, list_seconds=LISTING_TIMEOUT_SECONDS),
        [
            Intake(
                parts.kinds[Track.TOPIC],
                fetcher,
                others,
                media,
                parts.parsers,
                parts.publisher,
                threads,
                store_threads,
                settings.max_upload_bytes,
            ),
            *(
                ReactionIntake(each, parts.database)
                for each in parts.kinds
                if isinstance(each, ReactionRecords)
            ),
            ListIntake(parts.kinds[TrackList.TOPIC]),
            PlainIntake(parts.kinds[Profile.TOPIC]),
        ],
        threads,
        host_of=parts.resolver.pds_of,
    )


def _others(settings: Settings) -> OthersAddresses:
    ours = (settings.base_url, settings.s3_public_url)
    return OthersAddresses(AddressPolicy(settings.dev_origins), [url for url in ours if url is not None])
