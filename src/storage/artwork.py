"""Decodes cover images, turns them upright, strips their metadata and makes a thumbnail."""

import io
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from aggregates.values import Artwork
from storage.cid import cid_of
from storage.errors import InvalidMediaError, TooLargeError, UnsupportedMediaError
from storage.upload import Staged

MAX_BYTES: Final = 20 * 1024 * 1024
MAX_PIXELS: Final = 40_000_000
MAX_SIDE_PIXELS: Final = 12_000
THUMBNAIL_PIXELS: Final = (96, 96)
THUMBNAIL_MIME: Final = "image/webp"

_OPENED: Final = ("JPEG", "PNG", "WEBP", "GIF")
_STORED_AS: Final = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "WEBP": "WEBP", "GIF": "PNG"}
"""A JPEG may be opened as MPO: several pictures in one file, as some phones write it."""
_MIME: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_DEEP_MODES: Final = ("I", "F")
# Forty megapixels take about 400 MB while they are decoded.
MAX_CONCURRENT_DECODES: Final = 2
_decodes: Final = threading.BoundedSemaphore(MAX_CONCURRENT_DECODES)

# Pillow only warns of sizes far beyond our limits; a filter per call would not be thread safe.
warnings.simplefilter("error", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class PreparedArtwork:
    """The cover and its thumbnail, re-encoded for storage."""

    artwork: Artwork
    data: bytes
    thumbnail: bytes
    thumbnail_mime: str = THUMBNAIL_MIME


def read_artwork(upload: bytes | Staged) -> PreparedArtwork:
    """Decode and re-encode the image; raises a RefusedMediaError."""
    size = len(upload) if isinstance(upload, bytes) else upload.size
    if size > MAX_BYTES:
        raise TooLargeError(MAX_BYTES)
    data = upload if isinstance(upload, bytes) else upload.path.read_bytes()
    with _decodes:
        try:
            image, kind = _decode(data)
            cover = _encode(image, kind)
            thumbnail = _encode(ImageOps.fit(image, THUMBNAIL_PIXELS), "WEBP")
        except (InvalidMediaError, UnsupportedMediaError):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise InvalidMediaError("too many pixels") from None
        except Exception as exc:  # a hostile file may make a decoder raise anything
            raise InvalidMediaError("the image cannot be decoded") from exc
    artwork = Artwork(cid=cid_of(cover), mime=_MIME[kind], size=len(cover), thumbnail_cid=cid_of(thumbnail))
    return PreparedArtwork(artwork, cover, thumbnail)


def _decode(data: bytes) -> tuple[Image.Image, str]:
    if not data:
        raise InvalidMediaError("the file is empty")
    try:
        opened = Image.open(io.BytesIO(data), formats=_OPENED)
    except UnidentifiedImageError:
        raise UnsupportedMediaError("not a JPEG, PNG, WebP or GIF image") from None
    with opened as image:
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE_PIXELS:
            raise InvalidMediaError(f"more than {MAX_PIXELS} pixels or {MAX_SIDE_PIXELS} on a side")
        kind = _STORED_AS[str(image.format)]
        image.load()
        upright = _upright(image)
        return _plain(upright, alpha=kind != "JPEG" and upright.has_transparency_data), kind


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - broken EXIF data loses the orientation, not the picture
        return image


def _plain(image: Image.Image, *, alpha: bool) -> Image.Image:
    """Convert to eight bits per channel and sRGB, without metadata."""
    if image.mode.startswith(_DEEP_MODES):
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    mode = "RGBA" if alpha else "RGB"
    plain = image.convert(mode)
    if profile := image.info.get("icc_profile"):
        # The profile is dropped, so the colours are converted first; a broken profile is ignored.
        with suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            into = image if image.mode == "CMYK" else plain
            plain = _converted(into, source, mode)
    plain.info.clear()
    return plain


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile, mode: str) -> Image.Image:
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    return image if converted is None else converted


def _encode(image: Image.Image, kind: str) -> bytes:
    target = io.BytesIO()
    options = {"JPEG": {"quality": 92}, "WEBP": {"quality": 90}, "PNG": {}}[kind]
    image.save(target, kind, **options)
    return target.getvalue()
