"""Pixels of every kind of image file, and the message of every one that is none."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from vlkd_steps.core import image_file
from vlkd_steps.core.image_file import ImageError

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
RAMP = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(image_file.decode(content, "x"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_eight_bit_images_are_what_pillow_decodes(kind: str, mode: str) -> None:
    content = encoded(Image.fromarray(RGB).convert(mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(pixels(content), expected)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RAMP, "PNG"),
        (RAMP, "TIFF"),
        (RAMP.astype(np.int32), "TIFF"),
        (RAMP.astype(np.int32), "PPM"),
        ((RAMP / 65_535).astype(np.float32), "TIFF"),
        ((RAMP / 257).astype(np.float32), "TIFF"),
        (RAMP.astype(np.float32), "TIFF"),
    ],
    ids=["png I;16", "tiff I;16", "tiff I", "pgm I", "tiff F to 1", "tiff F to 255", "tiff F to 65535"],
)
def test_grey_of_more_than_eight_bits_is_scaled(values: np.ndarray, kind: str) -> None:
    found = pixels(encoded(Image.fromarray(values), kind))
    np.testing.assert_array_equal(found[..., 0], np.rint(RAMP / 257))
    assert found.mean() == 127.5


def tiff(bits: int, photometric: int, kind: int, data: bytes) -> bytes:
    """A row of four grey pixels of `kind` (1: integers, 3: floating-point numbers)."""
    tags = {256: 4, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: len(data), 339: kind}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    ("content", "grey"),
    [
        (tiff(8, 0, 1, bytes([0, 64, 128, 255])), [255, 191, 127, 0]),
        (tiff(16, 1, 1, struct.pack("<4H", 0, 16_448, 32_896, 65_535)), [0, 64, 128, 255]),
        (tiff(16, 0, 1, struct.pack("<4H", 0, 16_448, 32_896, 65_535)), [255, 191, 127, 0]),
        (tiff(32, 0, 3, struct.pack("<4f", 0, 0.25, 0.5, 1)), [255, 191, 127, 0]),
        (tiff(12, 1, 1, bytes([0xFF, 0xF8, 0x08, 0, 0, 0])), [255, 128, 0, 0]),
    ],
    ids=["8 bits", "16 bits, black is zero", "16 bits", "floating", "12 bits"],
)
def test_what_a_tiff_says_of_its_white(content: bytes, grey: list[int]) -> None:
    assert pixels(content)[0, :, 0].tolist() == grey


def test_big_endian_sixteen_bits() -> None:
    content = encoded(Image.fromarray(np.full((4, 4), 32_768, np.uint16)), "TIFF")
    assert pixels(content)[0, 0].tolist() == [128, 128, 128]
    swapped = Image.frombytes("I;16B", (4, 4), struct.pack(">16H", *[32_768] * 16))
    assert pixels(encoded(swapped, "TIFF"))[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 3.0, 1e6], ids=str)
def test_numbers_of_no_known_range_are_refused(value: float) -> None:
    values = np.zeros((4, 4), np.float32)
    values[1, 1] = value
    with pytest.raises(ImageError, match=r"the image x cannot be read \(its numbers reach from .* 0\.\.1, 0\.\.255"):
        pixels(encoded(Image.fromarray(values), "TIFF"))


def half(mode: str) -> Image.Image:
    """Black, half transparent."""
    alpha = Image.new("L", (4, 4), 128)
    if mode == "PA":
        image = Image.new("PA", (4, 4))
        image.putpalette([0, 0, 0])
        image.putalpha(alpha)
        return image
    image = Image.new("L" if mode == "LA" else "RGB", (4, 4), 0)
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize("content", [
    encoded(half("LA"), "PNG"),
    encoded(half("RGBA"), "PNG"),
    encoded(half("RGBA"), "TIFF"),
    encoded(half("RGBA"), "WEBP", lossless=True),
    encoded(Image.new("P", (4, 4), 0), "PNG", transparency=b"\x80"),
], ids=["LA", "RGBA", "RGBA tiff", "RGBA webp", "P"])  # fmt: skip
def test_alpha_is_composed_on_white(content: bytes) -> None:
    assert pixels(content)[0, 0].tolist() == [127, 127, 127]


def test_palette_with_alpha_is_composed_on_white() -> None:
    assert np.asarray(image_file._rgb(half("PA")))[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize(
    ("image", "colour"),
    [(Image.new("RGB", (4, 4), (1, 2, 3)), (1, 2, 3)), (Image.new("L", (4, 4), 7), 7), (Image.fromarray(RAMP), 0)],
    ids=["RGB", "L", "I;16"],
)
def test_a_transparent_colour_is_white(image: Image.Image, colour: object) -> None:
    assert pixels(encoded(image, "PNG", transparency=colour))[0, 0].tolist() == [255, 255, 255]


def png(bits: int, colour_type: int, pixels: bytes, transparent: bytes) -> bytes:
    """A PNG of one row, 2 pixels wide, of a depth that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    size = struct.pack(">IIBBBBB", 2, 1, bits, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize(("bits", "pair"), [(2, b"\x60"), (4, b"\x5a"), (8, b"\x05\xaa"), (16, b"\0\x05\xaa\xaa")])
def test_a_transparent_grey_of_any_depth_is_white(bits: int, pair: bytes) -> None:
    """The first pixel has the transparent value."""
    value = pair[0] >> (8 - bits) if bits < 8 else int.from_bytes(pair[: bits // 8])
    found = pixels(png(bits, 0, pair, struct.pack(">H", value)))[0, :, 0].tolist()
    assert found == [255, 170]


def test_a_transparent_colour_of_sixteen_bits_is_refused() -> None:
    """Pillow compares it with the high bytes of the pixels, and so takes other colours for it."""
    colour = struct.pack(">HHH", 0x80, 0x40, 0x10)
    with pytest.raises(ImageError, match="its transparent colour has 16 bits a channel"):
        pixels(png(16, 2, 2 * struct.pack(">HHH", 0x8000, 0x4000, 0x1000), colour))


def test_opaque_alpha_and_palette_keep_their_colours() -> None:
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(opaque), "PNG")), RGB)
    palette = Image.fromarray(RGB).quantize(200)
    np.testing.assert_array_equal(pixels(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_orientation_is_not_applied(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(RGB), kind, exif=exif)
    np.testing.assert_array_equal(pixels(content), RGB)
    assert image_file.size(content, "x") == (20, 12)
    assert image_file.shown_as(content, "x") == ("image/png" if (kind, orientation) == ("PNG", 1) else None)


def test_cmyk_is_read_by_its_profile() -> None:
    image = Image.new("CMYK", (4, 4), (0, 0, 0, 128))
    assert pixels(encoded(image, "TIFF"))[0, 0].tolist() == [127, 127, 127]
    profile = cmyk_profile()
    by_profile = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    expected = np.asarray(by_profile)[0, 0].tolist()
    assert pixels(encoded(image, "TIFF", icc_profile=profile))[0, 0].tolist() == expected != [127, 127, 127]
    with pytest.raises(ImageError, match="the image x cannot be read"):
        pixels(encoded(image, "TIFF", icc_profile=profile[:100]))


def cmyk_profile() -> bytes:
    """A smallest ICC profile of CMYK: lut8 tables of two points a channel, whose Lab lightness is that of K alone."""
    table = b"".join(bytes([0 if n & 1 else 255, 128, 128]) for n in range(16))  # K varies fastest
    identity = bytes(range(256))
    matrix = struct.pack(">9i", *(65_536 if n % 4 == 0 else 0 for n in range(9)))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + table + identity * 3
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
    tags, data, offset = b"", b"", 128 + 4 + 12 * 3
    for name, content in ((b"A2B0", lut), (b"desc", text), (b"wtpt", white)):
        tags += name + struct.pack(">II", offset + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", offset + len(data), b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63_190, 65_536, 54_061)
    return head + bytes(128 - len(head)) + struct.pack(">I", 3) + tags + data


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (12_000, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        content = (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
        )
        with pytest.raises(ImageError, match=r"the image x .*pixels"):
            pixels(content)


@pytest.mark.parametrize("kind", image_file.FORMATS)
def test_a_file_that_is_cut_off_is_named(kind: str) -> None:
    content = encoded(Image.fromarray(RGB), kind)
    for share in (0, 0.05, 0.5, 0.9):
        with pytest.raises(ImageError, match=r"^the image folder/x\.y cannot be read \(.+\); replace the file"):
            image_file.decode(content[: int(share * len(content))], Path("folder/x.y"))


def test_a_format_that_another_program_decodes_is_refused() -> None:
    with pytest.raises(ImageError, match="no image of a known format"):
        pixels(encoded(Image.fromarray(RGB), "EPS"))


def test_heic_is_named_with_how_to_convert_it(tmp_path: Path) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    (tmp_path / "photo.heic").write_bytes(heic)
    for look in (image_file.read, image_file.size):
        with pytest.raises(ImageError, match=r"photo\.heic is HEIC, which is not read; convert it to JPEG"):
            look(tmp_path / "photo.heic")
    with pytest.raises(ImageError, match="HEIC"):
        image_file.suffix(heic, "row 3")


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no\.png is missing; run the download of its source again"):
        image_file.read(tmp_path / "no.png")
    for path in (tmp_path, tmp_path / "nul\0.png", tmp_path / ("long" * 200)):
        with pytest.raises(ImageError, match="cannot be read"):
            image_file.read(path)
