"""What `transform: exact` and `fast` make of image files, against open_clip's and timm's own transforms."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode

from vlkd_steps.core import image_file
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.decoding import shorter_side
from vlkd_steps.teachers.models import clip, vision
from vlkd_steps.teachers.models.computing import Computing
from vlkd_steps.teachers.models.pixels import Pixels

CLIP = open_clip.image_transform(32, is_train=False)
SQUASHED = open_clip.image_transform(32, is_train=False, resize_mode="squash", interpolation="bilinear")
LONGEST = open_clip.image_transform(32, is_train=False, resize_mode="longest")
SIZES = {"landscape": (97, 61), "portrait": (61, 97), "tiny": (3, 2), "line": (60, 2), "square": (32, 32)}


def photo(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def pixels(transform: Any, way: str = "exact") -> Pixels:
    return Pixels(transform, {"transform": way}, Computing({"name": "t"}, "cpu"))


FILES = {name: encoded(photo(size)) for name, size in SIZES.items()} | {
    "grey": encoded(photo((50, 40), "L")),
    "CMYK": encoded(photo((50, 40), "CMYK")),
    "PNG": encoded(photo((50, 40)), "PNG"),
    "palette": encoded(photo((50, 40)).quantize(50), "PNG"),
    "16 bits": encoded(Image.fromarray(np.linspace(0, 65_535, 2000).astype(np.uint16).reshape(40, 50)), "PNG"),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
@pytest.mark.parametrize("transform", [CLIP, SQUASHED, LONGEST], ids=["shortest", "squash", "longest"])
def test_exact_is_the_transform_itself(content: bytes, transform: Any) -> None:
    made = pixels(transform)
    shaped = made.of(content, "x")
    assert (shaped.dtype, shaped.shape) == (torch.uint8, (3, 32, 32))
    assert torch.equal(made.batch([shaped, shaped])[1], transform(image_file.decode(content, "x")))
    assert made.identity == repr(transform)  # that of the stores made before there was a choice


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
@pytest.mark.parametrize("transform", [CLIP, SQUASHED], ids=["bicubic", "bilinear"])
def test_fast_differs_by_a_level_at_most(content: bytes, transform: Any) -> None:
    fast, exact = (pixels(transform, way).of(content, "x") for way in ("fast", "exact"))
    assert fast.shape == exact.shape == (3, 32, 32)
    assert fast.is_contiguous()
    assert (fast.int() - exact.int()).abs().max() <= 1


def test_fast_is_another_identity() -> None:
    assert pixels(CLIP, "fast").identity == f"fast {CLIP!r}"


def test_what_timm_makes_of_an_image() -> None:
    for crop in ("whole", "centre"):
        made = vision.transform(timm.create_model("test_efficientnet"), {"name": "t", "image_size": 64, "crop": crop})
        image = image_file.decode(FILES["portrait"], "x")
        assert torch.equal(pixels(made).batch([pixels(made).of(FILES["portrait"], "x")])[0], made(image))
        away = pixels(made, "fast").of(FILES["portrait"], "x").int() - pixels(made).of(FILES["portrait"], "x").int()
        assert away.abs().max() <= 1


def test_a_corpus_and_a_file_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(FILES["landscape"])
    for way in ("exact", "fast"):
        made = pixels(CLIP, way)
        assert torch.equal(made.read(tmp_path / "x.jpg"), made.of(FILES["landscape"], "x"))


@pytest.mark.parametrize("way", ["exact", "fast"])
def test_a_file_that_is_cut_off_is_named_and_nothing_is_printed(way: str, capfd: Any) -> None:
    content = FILES["landscape"]
    with pytest.raises(image_file.ImageError, match=r"^the image a/b\.jpg cannot be read \(.+\); replace the file"):
        pixels(CLIP, way).of(content[: len(content) // 2], Path("a/b.jpg"))
    broken = content[:900] + b"\xff\xd3" * 20 + content[940:]  # libjpeg warns of it, and Pillow says nothing
    assert pixels(CLIP, way).of(broken, "x").shape == (3, 32, 32)
    assert capfd.readouterr() == ("", "")


def test_ways_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UserError, match="transform is 'quick'; write exact or fast"):
        pixels(CLIP, "quick")
    nearest = open_clip.image_transform(32, is_train=False)
    nearest.transforms[0].interpolation = InterpolationMode.NEAREST
    for transform in (LONGEST, nearest):
        with pytest.raises(UserError, match=r"fast does not know a step of this model's transform, Resize.*exact"):
            pixels(transform, "fast")


def test_features_of_a_teacher_are_those_of_its_own_transform(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(FILES["portrait"])
    conf = {"name": "t", "model": "vlkd-scenes", "weights": "asset:clip_scenes.safetensors"}
    teacher = clip.ClipTeacher(conf)
    model, transform = clip.create(conf["model"], conf["weights"])
    with torch.inference_mode():
        v = model.eval().encode_image(transform(image_file.read(path))[None]).numpy()
    np.testing.assert_array_equal(teacher.embed_images([teacher.load_image(path)]), v)
    assert teacher.identity["transform"] == repr(transform)
    fast = clip.ClipTeacher(conf | {"transform": "fast"})
    assert fast.identity == teacher.identity | {"transform": f"fast {transform!r}"}
    assert np.abs(fast.embed_images([fast.load_image(path)]) - v).max() < 0.02 * np.abs(v).max()


def test_an_image_too_thin_to_be_resized_is_named() -> None:
    with pytest.raises(image_file.ImageError, match=r"the image thin\.jpg of 200 x 1 cannot be resized"):
        pixels(LONGEST).of(encoded(photo((200, 1))), "thin.jpg")


@pytest.mark.parametrize("way", ["exact", "fast"])
def test_an_image_that_would_grow_beyond_all_bounds_is_named_and_not_resized(way: str) -> None:
    made = pixels(open_clip.image_transform(224, is_train=False), way)
    with pytest.raises(image_file.ImageError, match=r"the image thin\.png of 9000 x 1 cannot be resized: with 224 pix"):
        made.of(encoded(Image.new("RGB", (9000, 1)), "PNG"), "thin.png")
    assert made.of(encoded(Image.new("RGB", (60, 1)), "PNG"), "x").shape == (3, 224, 224)


def test_which_transforms_resize_by_the_shorter_side() -> None:
    keeping = timm.data.create_transform((3, 32, 64), crop_pct=1)
    sides = [shorter_side(transform) for transform in (CLIP, SQUASHED, LONGEST, keeping, lambda image: image)]
    assert sides == [32, 0, 0, 64, 0]
