"""Opens the media store, and says what records say of what is in it."""

from outbox.record.kind import RecordKinds
from outbox.tracks.record import RecordUrls, TrackRecords
from service.config.settings import Settings
from storage.store import MediaStore, open_store, public_copies


def media_store(settings: Settings) -> MediaStore:
    return open_store(settings.media, settings.data, settings.s3_endpoint, settings.s3_public_url)


def record_urls(settings: Settings, store: MediaStore) -> RecordUrls:
    copies = public_copies(store)
    return RecordUrls(settings.base_url, copies.public_address if copies is not None else None)


def record_kinds(urls: RecordUrls) -> RecordKinds:
    """Return all kinds of record that this service writes."""
    return RecordKinds(TrackRecords(urls))
