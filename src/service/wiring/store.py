"""Opens the media store, and says which addresses records name for what is in it."""

from outbox.record.record import RecordUrls
from service.config.settings import Settings
from storage.store import MediaStore, open_store, public_copies


def media_store(settings: Settings) -> MediaStore:
    return open_store(settings.media, settings.data, settings.s3_endpoint, settings.s3_public_url)


def record_urls(settings: Settings, store: MediaStore) -> RecordUrls:
    copies = public_copies(store)
    return RecordUrls(settings.base_url, copies.public_address if copies is not None else None)
