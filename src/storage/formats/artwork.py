"""Decodes cover images, turns them upright, strips their metadata and makes smaller renditions of them."""

import io
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from storage.artwork import RENDITION_SIZES, THUMBNAIL_SIZE, PreparedArtwork
from storage.errors import InvalidMediaError, UnsupportedMediaError

MAX_PIXELS: Final = 40_000_000
MAX_SIDE_PIXELS: Final = 12_000
MAX_STORED_SIDE_PIXELS: Final = 3000
"""What stores and players ask for; a larger image is scaled down. To encode forty megapixels as WebP takes 12 s of CPU."""

_OPENED: Final = ("JPEG", "PNG", "WEBP", "GIF")
_STORED_AS: Final = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "WEBP": "WEBP", "GIF": "PNG"}
"""A JPEG may be opened as MPO: several pictures in one file, as some phones write it."""
_MIME: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_DEEP_MODES: Final = ("I", "F")
# Pillow only warns of sizes far beyond our limits; a filter per call would not be thread safe.
warnings.simplefilter("error", Image.DecompressionBombWarning)


def read_artwork(data: bytes) -> PreparedArtwork:
    """Decode and re-encode the image; raises a RefusedMediaError."""
    with _decoding():
        image, kind = _decode(data)
        return PreparedArtwork.of(_MIME[kind], _encode(image, kind), _renditions(image))


def read_renditions(cover: bytes) -> Mapping[int, bytes]:
    """Decode a stored cover, and make its renditions; raises a RefusedMediaError."""
    with _decoding():
        return _renditions(_decode(cover)[0])


@contextmanager
def _decoding() -> Generator[None]:
    """Let nothing but a RefusedMediaError out."""
    try:
        yield
    except (InvalidMediaError, UnsupportedMediaError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidMediaError("too many pixels") from None
    except Exception as exc:  # a hostile file may make a decoder raise anything
        raise InvalidMediaError("the image cannot be decoded") from exc


def _renditions(image: Image.Image) -> dict[int, bytes]:
    """Make each size of the next larger one; none is larger than the image, except for the thumbnail."""
    made = {THUMBNAIL_SIZE: _encode(ImageOps.fit(image, (THUMBNAIL_SIZE, THUMBNAIL_SIZE)), "WEBP")}
    for size in sorted(set(RENDITION_SIZES) - made.keys(), reverse=True):
        image = _scaled(image, size)
        made[size] = _encode(image, "WEBP")
    return made


def _fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the size with no side longer than `side`, in the same proportion."""
    width, height = (max(1, round(each * side / max(size))) for each in size)
    return (width, height) if max(size) > side else size


def _scaled(image: Image.Image, side: int) -> Image.Image:
    fitting = _fitting(image.size, side)
    return (
        image if fitting == image.size else image.resize(fitting, Image.Resampling.LANCZOS, reducing_gap=3.0)
    )


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
        # a JPEG is decoded at half its size or less, where that is enough
        image.draft(None, _fitting(image.size, MAX_STORED_SIDE_PIXELS))
        image.load()
        with suppress(Exception):  # broken EXIF data loses the orientation, not the picture
            ImageOps.exif_transpose(image, in_place=True)
        return _plain(image, alpha=kind != "JPEG" and image.has_transparency_data), kind


def _plain(image: Image.Image, *, alpha: bool) -> Image.Image:
    """Convert to eight bits per channel and sRGB, as large as it is stored, without metadata."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith(_DEEP_MODES):
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    mode = "RGBA" if alpha else "RGB"
    is_for_print = profile is not None and image.mode == "CMYK"
    # scaled before its colours are converted, which costs the most; a palette cannot be scaled
    image = _scaled(image if is_for_print else image.convert(mode), MAX_STORED_SIDE_PIXELS)
    plain = image if image.mode == mode else image.convert(mode)
    if profile:
        # The profile is dropped, so the colours are converted first; a broken profile is ignored.
        with suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode=mode
            )
            plain = image if converted is None else converted
    plain.info.clear()
    return plain


def _encode(image: Image.Image, kind: str) -> bytes:
    target = io.BytesIO()
    options = {"JPEG": {"quality": 92}, "WEBP": {"quality": 90}, "PNG": {}}[kind]
    image.save(target, kind, **options)
    return target.getvalue()
