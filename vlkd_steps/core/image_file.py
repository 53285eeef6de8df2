"""Images from outside as 8-bit RGB: the one reader of teachers, students, region extractors, splits and reports.

Pixels are those of the file, in its own orientation: an EXIF or TIFF orientation is not applied, as open_clip and timm
do not apply it and as the boxes that come with data sets count pixels. 8-bit RGB and grey pass unchanged. Of the rest:

- more than 8 bits: 16-bit grey and integers are divided by 257 and rounded (65,535 is white; of a TIFF of 12 bits
  4,095, and of one whose white is zero 0); 16-bit colour is reduced by Pillow to its high bytes. Floating-point numbers
  must lie in 0..1, 0..255 or 0..65,535, and the smallest such range that holds all of them is taken; numbers so small
  for their range that they could be meant in the one below it, those below 0 and those that are not finite are refused;
- transparent pixels and a palette's or a file's transparent colour are composed on white (one of 16 bits a channel is
  refused);
- CMYK and Lab go to sRGB, CMYK by the file's own profile where it has one; a profile of RGB or grey is not applied;
- of an animation the first frame, of a TIFF the first page.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from vlkd_steps.core import raw_files
from vlkd_steps.core.errors import UserError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow reads others too, some by other programs (PostScript by Ghostscript)."""

HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
CONVERT = "convert it to JPEG, such as by ImageMagick: magick photo.heic photo.jpg"

MOST_PIXELS = 1 << 27
"""An image of more (400 MB decoded) is taken for a decompression bomb."""

BACKGROUND = (255, 255, 255)
WHITES = (1, 255, 65_535)
_DARK = 1 / 16
_STEPS = {"L;2": 85, "L;4": 17}
"""Grey of a PNG's pixels for each value of 2 and 4 bits; Pillow scales the pixels, not their transparent value."""
_TWELVE_BITS = 4095
_BITS, _PHOTOMETRIC = 0x0102, 0x0106
_ORIENTATION = 0x0112
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What undoes each orientation."""
_MEDIA_TYPES = {kind: f"image/{kind.lower()}" for kind in ("GIF", "JPEG", "PNG", "WEBP")}

warnings.filterwarnings("ignore", module=r"PIL\.")  # of large and of cut files, which `decode` refuses


class ImageError(UserError):
    """An image that is missing or cannot be decoded."""


def read(path: Path, near: int | None = None) -> Image.Image:
    """An image file as RGB; arguments and errors as for `read_bytes` and `decode`."""
    return decode(read_bytes(path), path, near)


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file, which is read once, and compared with what was downloaded (`raw_files`).

    Raises:
        ImageError: it is missing or cannot be read.
        UserError: it is not the one that was downloaded, or is gone since.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raw_files.check_missing(path)
        raise ImageError(f"the image {path} is missing; run the download of its source again") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise _unreadable(path, error) from error
    raw_files.check(path, content)
    return content


def decode(content: bytes, name: Path | str, near: int | None = None) -> Image.Image:
    """The bytes of an image file as RGB, 8 bits a channel.

    Args:
        name: of the file, for messages.
        near: a JPEG may be decoded at a smaller size of which both sides are at least so long.

    Raises:
        ImageError: not an image, of a format that is not in `FORMATS`, damaged, cut off, or larger than `MOST_PIXELS`.
    """
    with _opened(content, name) as image:
        if near is not None:
            image.draft("RGB", (near, near))
        tags = getattr(image, "tag_v2", {})
        twelve, white_is_zero = tags.get(_BITS) == (12,), tags.get(_PHOTOMETRIC) == 0
        return _rgb(_as_stored(image), _TWELVE_BITS if twelve else None, white_is_zero)


def size(source: bytes | Path, name: Path | str = "") -> tuple[int, int]:
    """Width and height of an image by its bytes or its file, of which the header alone is read; errors as `decode`."""
    with _opened(source, name or str(source)) as image:
        turned = image.format == "TIFF" and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
        return (image.height, image.width) if turned else image.size


def check_side(size: tuple[int, int], side: int, name: Path | str) -> None:
    """Refuse an image so thin that it has too many pixels when its shorter side is resized to `side` (0: it is not).

    Raises:
        ImageError: they would be more than `MOST_PIXELS`.
    """
    if side**2 * max(size) > MOST_PIXELS * min(size):
        raise thin(size, name, f"with {side} pixels on its shorter side it would have more than {MOST_PIXELS:,}")


def thin(size: tuple[int, int], name: Path | str, why: object) -> ImageError:
    """The error for an image of which one side is too short for the other."""
    return ImageError(f"the image {name} of {size[0]} x {size[1]} cannot be resized: {why}; crop it, or leave it out")


def suffix(content: bytes, name: Path | str) -> str:
    """How the name of a file with these bytes ends, such as ``.jpg``; errors as `decode`, of its header alone."""
    with _opened(content, name) as image:
        kind = (image.format or "").lower()
        return {"jpeg": ".jpg", "mpo": ".jpg", "jpeg2000": ".jp2"}.get(kind, f".{kind}")


def shown_as(content: bytes, name: Path | str) -> str | None:
    """The media type under which a browser shows a file's bytes as `decode` reads them; None: there is none."""
    with _opened(content, name) as image:
        plain = image.mode in ("L", "RGB") and "icc_profile" not in image.info and not image.has_transparency_data
        upright = image.getexif().get(_ORIENTATION, 1) == 1
        return _MEDIA_TYPES.get(image.format or "") if plain and upright else None


@contextmanager
def _opened(source: bytes | Path, name: Path | str) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ImageError(
                    f"the image {name} has {image.width} x {image.height} pixels, more than the {MOST_PIXELS:,} that "
                    "are decoded; make it smaller, or leave it out"
                )
            yield image
    except ImageError:
        raise
    except Exception as error:  # a damaged file may raise anything in a decoder: SyntaxError, struct.error, KeyError...
        if isinstance(error, Image.UnidentifiedImageError) and _is_heic(source):
            raise ImageError(f"the image {name} is HEIC, which is not read; {CONVERT}") from error
        raise _unreadable(name, error) from error


def _is_heic(source: bytes | Path) -> bool:
    """Whether a file has the container and one of the brands of HEIC, which Pillow does not decode."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            start = stream.read(12)
    except OSError:
        return False
    return start[4:8] == b"ftyp" and start[8:] in HEIC


def _unreadable(name: Path | str, error: Exception) -> ImageError:
    why = " ".join(str(error).split()) or type(error).__name__
    why = "no image of a known format, or damaged" if isinstance(error, Image.UnidentifiedImageError) else why
    return ImageError(f"the image {name} cannot be read ({why[:200]}); replace the file, or run its download again")


def _as_stored(image: Image.Image) -> Image.Image:
    """The decoded image; Pillow applies the orientation of a TIFF when it decodes it, which is undone."""
    turned = image.getexif().get(_ORIENTATION, 1) if image.format == "TIFF" else 1
    tiles = getattr(image, "tile", ())
    coded = str(tiles[0][3]) if image.format == "PNG" and tiles else ""
    image.load()
    if "transparency" in image.info and coded in _STEPS:
        image.info["transparency"] *= _STEPS[coded]
    if "transparency" in image.info and coded == "RGB;16B":
        raise ValueError("its transparent colour has 16 bits a channel, of which 8 are read; save it with alpha")
    return image.transpose(_STORED[turned]) if turned in _STORED else image


def _rgb(image: Image.Image, white: int | None = None, white_is_zero: bool = False) -> Image.Image:
    """`image` as RGB; of more than 8 bits, `white` is its largest number (None: that of its mode), or stands for black
    where `white_is_zero`, which Pillow sees to in images of 8 bits alone."""
    if image.mode.startswith(("I", "F")):
        whites = (white,) if white else WHITES if image.mode == "F" else WHITES[-1:]
        return _of_numbers(np.asarray(image), image.info.get("transparency"), whites, white_is_zero)
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        return _to_srgb(image, ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])))
    if image.mode == "LAB":
        return _to_srgb(image, ImageCms.createProfile("LAB"))
    if image.has_transparency_data:
        colours = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (*BACKGROUND, 255)), colours).convert("RGB")
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: object) -> Image.Image:
    found = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")  # type: ignore[arg-type]
    assert found is not None  # None is for a change in place
    return found


def _of_numbers(
    values: np.ndarray, transparent: object, whites: tuple[int, ...], white_is_zero: bool = False
) -> Image.Image:
    """Grey values of more than 8 bits, [H, W], as RGB: the smallest of `whites` that none exceeds is white."""
    low, high = values.min(), values.max()
    white = next((white for white in whites if high <= white), None)
    ambiguous = white is not None and white != whites[0] and high < white * _DARK
    if white is None or ambiguous or not low >= 0:  # so NaN is refused too
        ranges = ", ".join(f"0..{white:,}" for white in whites)
        raise ValueError(f"its numbers reach from {low:g} to {high:g}, which is no range that is known: {ranges}")
    grey = np.rint(values.astype(np.float64) * (255 / white)).astype(np.uint8)
    grey = 255 - grey if white_is_zero else grey
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")
