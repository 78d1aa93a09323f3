"""References to blobs, as another server or client wrote them."""

from typing import Any, Final

from outbox.record.dag_cbor import MAX_INTEGER, Record

MAX_LINK_LENGTH: Final = 256
MAX_MIME_LENGTH: Final = 255


def blob_reference(value: Any) -> Record | None:
    """Return the parts of a reference alone: what else another client put there, the log would keep for ever.

    None if it is no reference, or a part is longer than any real one.
    """
    match value:
        case {"$type": "blob", "ref": {"$link": str(link)}, "mimeType": str(mime), "size": int(size)}:
            is_type = len(mime) <= MAX_MIME_LENGTH and mime.isascii() and mime.isprintable()
            if is_type and len(link) <= MAX_LINK_LENGTH and 0 <= size <= MAX_INTEGER:
                return {"$type": "blob", "ref": {"$link": link}, "mimeType": mime, "size": size}
    return None
