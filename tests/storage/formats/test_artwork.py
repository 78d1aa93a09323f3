import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageOps

from storage.cid import cid_of
from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.formats.artwork import read_artwork, read_renditions
from tests.media_samples import samples


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def near(pixel: object, expected: tuple[int, ...], by: int = 12) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= by for a, b in zip(pixel, expected, strict=True))


@pytest.mark.parametrize(
    ("data", "mime", "kind"),
    [
        (samples.jpeg(), "image/jpeg", "JPEG"),
        (samples.png(), "image/png", "PNG"),
        (samples.webp(), "image/webp", "WEBP"),
        (samples.gif(), "image/png", "PNG"),
    ],
)
def test_every_accepted_kind_is_kept_in_a_kind_that_browsers_show(data: bytes, mime: str, kind: str) -> None:
    prepared = read_artwork(data)
    cover = opened(prepared.data)
    assert (cover.format, cover.size, prepared.artwork.mime) == (kind, (64, 48), mime)
    assert near(cover.convert("RGB").getpixel((5, 5)), (0, 128, 128))
    assert prepared.artwork.cid == cid_of(prepared.data)
    assert prepared.artwork.size == len(prepared.data)


@pytest.mark.parametrize(
    ("size", "small", "large"),
    [
        ((1500, 750), (480, 240), (1200, 600)),
        ((700, 1000), (336, 480), (700, 1000)),
        ((64, 48), (64, 48), (64, 48)),
        ((12_000, 1), (480, 1), (1200, 1)),
    ],
)
def test_renditions_are_webp_and_never_larger_than_the_cover(
    size: tuple[int, int], small: tuple[int, int], large: tuple[int, int]
) -> None:
    prepared = read_artwork(samples.png(*size))
    made = {side: opened(data) for side, data in prepared.renditions.items()}
    assert {each.format for each in made.values()} == {"WEBP"}
    assert {side: each.size for side, each in made.items()} == {96: (96, 96), 480: small, 1200: large}
    assert prepared.artwork.thumbnail_cid == cid_of(prepared.renditions[96])
    again = {side: opened(data).size for side, data in read_renditions(prepared.data).items()}
    assert again == {96: (96, 96), 480: small, 1200: large}


def test_orientation_is_applied_and_all_metadata_dropped() -> None:
    image = Image.new("RGB", (400, 200), "red")
    image.paste("blue", (0, 0, 200, 200))
    exif = image.getexif()
    exif[0x0112] = 6  # turn a quarter clockwise: the left half comes to the top
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    data = saved(image, "JPEG", exif=exif, comment=b"SecretComment", quality=95)
    assert b"SecretCamera" in data
    prepared = read_artwork(data)
    cover = opened(prepared.data)
    assert cover.size == (200, 400)
    assert near(cover.getpixel((100, 50)), (0, 0, 255))
    assert near(cover.getpixel((100, 350)), (255, 0, 0))
    assert near(opened(prepared.renditions[96]).convert("RGB").getpixel((48, 20)), (0, 0, 255))
    for kept in (prepared.data, *prepared.renditions.values()):
        assert len(opened(kept).getexif()) == 0
        assert b"Secret" not in kept
        assert b"Exif" not in kept


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_metadata_goes_from_other_kinds_too(kind: str) -> None:
    image = Image.new("RGB", (30, 20), "red")
    exif = image.getexif()
    exif[0x010F] = "SecretCamera"
    exif[0x0112] = 3
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(image, kind, exif=exif, icc_profile=profile, xmp=b"<x>SecretXmp</x>")
    assert b"Secret" in data
    prepared = read_artwork(data)
    assert b"Secret" not in prepared.data
    assert set(opened(prepared.data).info) <= {"loop", "background", "timestamp", "duration"}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_spoils_only_itself() -> None:
    data = saved(Image.new("RGB", (30, 20), "red"), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(20))
    assert opened(read_artwork(data).data).size == (30, 20)


def test_colours_of_another_profile_look_the_same_without_it() -> None:
    swapped = Image.new("RGB", (20, 20), "red")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    unchanged = read_artwork(saved(swapped, "PNG", icc_profile=b"no profile at all"))
    assert near(opened(unchanged.data).getpixel((5, 5)), (255, 0, 0))
    assert opened(read_artwork(saved(swapped, "PNG", icc_profile=lab)).data).size == (20, 20)


def test_colours_are_converted_of_no_more_pixels_than_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[tuple[int, int]] = []

    def convert(image: Image.Image, *_: Any, **__: Any) -> Image.Image:
        converted.append(image.size)
        return image

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    read_artwork(saved(Image.new("RGB", (3200, 1600), "teal"), "PNG", icc_profile=profile))
    assert converted == [(3000, 1500)]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_transparency_stays_where_the_kind_has_it(kind: str) -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 20, 40))
    cover = opened(read_artwork(saved(image, kind)).data)
    assert cover.mode == "RGBA"
    assert near(cover.getpixel((5, 5)), (0, 0, 255, 255))
    assert cover.getchannel("A").getpixel((35, 5)) == 0


@pytest.mark.parametrize(("mode", "kind"), [("LA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG")])
def test_unusual_pixels_become_usual_ones(mode: str, kind: str) -> None:
    image = Image.new(mode, (30, 30), 0 if mode == "CMYK" else None)
    cover = opened(read_artwork(saved(image, kind)).data)
    assert cover.mode in {"RGB", "RGBA"}


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    cover = opened(read_artwork(saved(Image.new("I;16", (30, 30), 32768), "PNG")).data)
    assert near(cover.getpixel((5, 5)), (128, 128, 128))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    cover = opened(read_artwork(samples.gif(color="red")).data)
    assert not getattr(cover, "is_animated", False)
    assert near(cover.convert("RGB").getpixel((5, 5)), (255, 0, 0))


def test_of_several_pictures_in_one_jpeg_the_first_is_taken() -> None:
    second = Image.new("RGB", (64, 48), "blue")
    stereo = saved(opened(samples.jpeg()), "MPO", save_all=True, append_images=[second])
    assert opened(stereo).format == "MPO"
    prepared = read_artwork(stereo)
    cover = opened(prepared.data)
    assert (cover.format, cover.size, prepared.artwork.mime) == ("JPEG", (64, 48), "image/jpeg")
    assert near(cover.getpixel((5, 5)), (0, 128, 128))


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"),
    [(9000, 9900), (12_001, 10), (12_000, 12_000), (20_000, 20_000)],
    ids=["our pixels", "our side", "what the decoder warns of", "what the decoder refuses"],
)
def test_a_bomb_is_refused_by_its_size_not_by_opening_it(width: int, height: int) -> None:
    with pytest.raises(InvalidMediaError, match="pixels"):
        read_artwork(png_that_claims(width, height))


@pytest.mark.parametrize(
    ("kind", "size", "kept"),
    [("JPEG", (3000, 2999), (3000, 2999)), ("PNG", (3001, 4), (3000, 4))],
)
def test_a_cover_is_kept_with_at_most_3000_pixels_on_a_side(
    kind: str, size: tuple[int, int], kept: tuple[int, int]
) -> None:
    assert opened(read_artwork(saved(Image.new("RGB", size, "teal"), kind)).data).size == kept


def test_the_largest_picture_allowed_is_taken_and_of_a_jpeg_not_decoded_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[tuple[int, int]] = []
    upright = ImageOps.exif_transpose

    def seen(image: Image.Image, **how: bool) -> object:
        decoded.append(image.size)
        return upright(image, **how)

    monkeypatch.setattr(ImageOps, "exif_transpose", seen)
    prepared = read_artwork(saved(Image.new("RGB", (8000, 5000), "teal"), "JPEG"))
    assert decoded == [(4000, 2500)]
    assert opened(prepared.data).size == (3000, 1875)


@pytest.mark.parametrize("kind", ["jpeg", "gif"])
def test_a_picture_with_a_broken_body_is_invalid(kind: str) -> None:
    whole = getattr(samples, kind)(400, 400)
    with pytest.raises(InvalidMediaError):
        read_artwork(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n" + b"nothing", samples.image("BMP", 10, 10), samples.mp3()],
)
def test_other_kinds_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedMediaError):
        read_artwork(data)


def test_an_empty_file_is_invalid() -> None:
    with pytest.raises(InvalidMediaError):
        read_artwork(b"")
