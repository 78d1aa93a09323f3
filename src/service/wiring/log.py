"""Opens the log and the media store, and makes the data folders. Commands without network import this module alone, which loads fast."""

from pathlib import Path

from sqlalchemy.engine import make_url

from eventstore.coordination.restore_detection import detect_on_connect
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from outbox.lists.record import ListRecords
from outbox.profiles.record import ProfileRecords
from outbox.reactions.record import CommentRecords, LikeRecords
from outbox.record.kind import RecordKinds
from outbox.tracks.record import RecordUrls, TrackRecords
from service.config.settings import Settings
from service.observability.subscribers import PROJECTIONS
from storage.stores.store import MediaStore, open_store, public_copies


def open_log(settings: Settings) -> EventLog:
    """Open the log; makes the data folder, and that of an SQLite database."""
    settings.data.mkdir(parents=True, exist_ok=True)
    if settings.is_sqlite:
        Path(str(make_url(settings.database_url).database)).parent.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    detect_on_connect(database)
    return EventLog(database, projections=PROJECTIONS)


def staging_folder(settings: Settings) -> Path:
    """Return the folder that holds uploads until they are stored."""
    return settings.data / "staging"


def media_store(settings: Settings) -> MediaStore:
    return open_store(settings.media, settings.s3_endpoint, settings.s3_public_url)


def record_urls(settings: Settings, store: MediaStore) -> RecordUrls:
    copies = public_copies(store)
    return RecordUrls(settings.base_url, copies.public_address if copies is not None else None)


def record_kinds(settings: Settings, urls: RecordUrls) -> RecordKinds:
    return RecordKinds(
        TrackRecords(urls, settings.collection, settings.old_collection),
        LikeRecords(f"{settings.namespace}.like"),
        CommentRecords(f"{settings.namespace}.comment"),
        ProfileRecords(urls.artwork, f"{settings.namespace}.actor.profile"),
        ListRecords(f"{settings.namespace}.list", f"{settings.old_namespace}.list"),
    )
