"""Addresses of pages, and of what they show on an artist's PDS."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from identity.resolution.identifiers import INVALID_HANDLE

Json = Mapping[str, Any]

WEB: Final = ("http", "https")
RENDITION: Final = "{address}?size={size}"


def artist_address(handle: str, did: str) -> str:
    """Return the address of an artist's page: by handle, by DID while the handle cannot be confirmed."""
    return "/@" + quote(did if handle == INVALID_HANDLE else handle, safe=":")


def track_address(track: Json) -> str:
    """Return the address of a track's page."""
    return f"{artist_address(track['artist_handle'], track['artist_did'])}/{track['id']}"


def tag_address(tag: str) -> str:
    """Return the address of the list of tracks with a tag."""
    return "/tags/" + quote(tag, safe="")


def cover_address(track: Json, size_pixels: int) -> str | None:
    """Return the address of a track's cover in a size; None where none is served. Pages show images of our origin alone."""
    if track["deleted_at"] is not None or track["taken_down_at"] is not None:
        return None
    if track["thumbnail_url"] is not None:
        return RENDITION.format(address=urlsplit(track["image_url"]).path, size=size_pixels)
    if track["image_url"] is not None:
        return RENDITION.format(address=f"/tracks/{track['id']}/artwork", size=size_pixels)
    return None


def record_address(pds_url: str, uri: str) -> str | None:
    """Return where a PDS shows a record; None for a PDS that is not on the web."""
    repo, collection, rkey = uri.removeprefix("at://").split("/")
    return _at(pds_url, "com.atproto.repo.getRecord", repo=repo, collection=collection, rkey=rkey)


def repo_address(pds_url: str, did: str) -> str | None:
    """Return where a PDS shows an account; None for a PDS that is not on the web."""
    return _at(pds_url, "com.atproto.repo.describeRepo", repo=did)


def origin(url: str) -> str:
    """Return the scheme, host and port of an address: in a policy a path means that one file, not what lies below it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def host(url: str) -> str:
    return urlsplit(url).netloc


def _at(pds_url: str, method: str, **query: str) -> str | None:
    return f"{pds_url}/xrpc/{method}?{urlencode(query)}" if urlsplit(pds_url).scheme in WEB else None
