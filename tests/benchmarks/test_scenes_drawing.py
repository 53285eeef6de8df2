import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from vlkd_steps.benchmarks.scenes import drawing, probes, world
from vlkd_steps.benchmarks.scenes.write import png


@pytest.fixture(scope="module")
def pictures() -> tuple[world.Scenes, np.ndarray]:
    generator = np.random.default_rng(3)
    scenes = world.sample(800, generator, pairs=world.PAIRS)
    return scenes, drawing.draw(scenes, generator)


def cell(image: np.ndarray, number: int) -> np.ndarray:
    y, x = number // 3 * 16, number % 3 * 16
    return image[y : y + 16, x : x + 16].astype(float)


def test_images_are_48_pixels_wide_and_repeat_with_their_generator(pictures):
    scenes, images = pictures
    assert images.shape == (800, 48, 48, 3)
    assert images.dtype == np.uint8
    again = [drawing.draw(scenes, np.random.default_rng(9)) for _ in range(2)]
    assert np.array_equal(*again)
    assert not np.array_equal(again[0], images)  # tints and grain are drawn anew


@pytest.mark.parametrize("style", world.STYLES)
def test_every_object_is_seen_in_its_own_color(pictures, style):
    """Among the pixels that differ from the ground most, the nearest paint is the object's own."""
    scenes, images = pictures
    right = []
    table = drawing.sprites()
    covered = (table.ring if style == "outline" else table.fill)[drawing.sprite_index(scenes)]
    for i, things in enumerate(scenes.things()):
        if world.STYLES[scenes.style[i]] == style:
            for thing in things:
                inside = covered[i, thing.cell] > 0.9
                color = cell(images[i], thing.cell)[inside].mean(axis=0)
                right.append(np.abs(drawing.PAINT - color).sum(axis=1).argmin() == thing.color)
    assert len(right) > 300
    assert np.mean(right) > 0.98


@pytest.mark.parametrize("style", world.STYLES)
def test_every_object_contrasts_with_its_ground(pictures, style):
    scenes, images = pictures
    contrast = []
    for i, things in enumerate(scenes.things()):
        if world.STYLES[scenes.style[i]] == style:
            for thing in things:
                pixels = cell(images[i], thing.cell).reshape(-1, 3)
                ground = np.median(np.concatenate([pixels[:16], pixels[-16:]]), axis=0)
                contrast.append(np.sort(np.abs(pixels - ground).sum(axis=1))[-12])
    assert np.quantile(contrast, 0.01) > 60


def test_the_cover_has_its_own_style(pictures):
    scenes, images = pictures
    for image, cover, things in zip(images, scenes.cover, scenes.things(), strict=True):
        stripes = cell(image, cover)
        purple = (stripes[..., 2] > stripes[..., 1] + 30).mean()
        assert purple > 0.8
        for thing in things:
            assert abs(cell(image, thing.cell) - stripes).mean() > 15


def test_small_and_large_differ_and_no_two_shapes_are_alike():
    fill = drawing.sprites().fill[:-1].reshape(len(world.SHAPES), 2, world.VARIANTS, 16, 16)
    areas = fill.sum(axis=(3, 4))
    for shape in areas:
        assert shape[0].max() < shape[1].min()
    centred = fill.mean(axis=2)  # the mean drawing of each shape and size
    for size in range(2):
        for a, b in pairwise(sorted(range(len(world.SHAPES)))):
            assert abs(centred[a, size] - centred[b, size]).max() > 0.1


def test_png_is_read_back_by_pillow_without_loss(pictures):
    _, images = pictures
    for data, image in zip(png(images[:20]), images, strict=False):
        opened = Image.open(io.BytesIO(data))
        assert opened.mode == "RGB"
        assert np.array_equal(np.asarray(opened), image)


def test_free_flat_images_hold_one_shape_of_any_size_at_any_position():
    generator = np.random.default_rng(0)
    color, shape = generator.integers(8, size=900), generator.integers(6, size=900)
    images = drawing.free_flat(900, color, shape, generator).astype(float)
    ground = np.median(images.reshape(900, -1, 3), axis=1)
    marked = np.abs(images - ground[:, None, None]).sum(axis=3) > 40
    areas = marked.sum(axis=(1, 2))
    assert areas.min() >= 5
    assert areas.max() > 250
    assert ground.min() >= 200
    assert marked.any(axis=0).mean() > 0.95  # somewhere on every pixel


def test_probes_show_single_objects_of_all_styles_and_pairs():
    images, colors, shapes = probes.single_object_images(2000, seed=4)
    assert images.shape == (2000, 48, 48, 3)
    assert len(set(zip(colors.tolist(), shapes.tolist(), strict=True))) == len(world.PAIRS)
    assert np.array_equal(probes.single_object_images(50, 4)[0], probes.single_object_images(50, 4)[0])
    assert [prompts[0] for prompts in probes.color_prompts()][:2] == ["a red shape", "a green shape"]
    assert len(probes.shape_prompts()) == len(world.SHAPES)
