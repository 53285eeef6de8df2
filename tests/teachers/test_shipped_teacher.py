"""The weights that ship as clip_scenes: the acceptance tests of the embedded benchmark's teacher."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

from vlkd_steps.benchmarks.scenes import stream
from vlkd_steps.core import package_assets
from vlkd_steps.data import pretraining_pairs
from vlkd_steps.teachers.models import clip, zero_shot

WEIGHTS = "asset:clip_scenes.safetensors"


@pytest.fixture(scope="module")
def model():
    return clip.create("vlkd-scenes", WEIGHTS)[0].eval()


def test_weights_are_half_precision_and_at_most_four_megabytes() -> None:
    path = package_assets.path(WEIGHTS)
    assert path.stat().st_size <= 4_000_000
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16, torch.int64}


def test_names_colour_and_shape_of_single_objects_zero_shot(model) -> None:
    """At least a mean of 0.8 on 2,000 held-out images of all styles and pairs; for rows the chance is 1/3."""
    measured = zero_shot.scenes_accuracy(model, clip.tokenizer("vlkd-scenes"), n=2000, seed=2024)
    assert measured["mean"] >= 0.95
    assert measured["row"] >= 0.45


def test_the_curve_beside_the_weights_ends_at_their_accuracy(model) -> None:
    curve = json.loads((package_assets.ASSETS / "clip_scenes.curve.json").read_text(encoding="utf-8"))
    last = {key: curve[-1][key] for key in ("colour", "shape", "row")}
    measured = zero_shot.scenes_accuracy(model, clip.tokenizer("vlkd-scenes"))
    assert {key: measured[key] for key in last} == pytest.approx(last, abs=0.005)  # the shipped copy is rounded to fp16


@pytest.mark.parametrize(
    ("batch", "digest"),
    [(next(pretraining_pairs.single_objects(1, 32)), "9eb5b601e587041d"), (stream.batch(1, 32), "e1b110e37221eceb")],
    ids=["single objects", "stream"],
)
def test_the_recipe_still_draws_what_the_shipped_weights_saw(batch, digest: str) -> None:
    """After a change of how its images or captions are drawn, train the teacher again (experiment=scenes_teacher),
    or else the shipped weights have no recipe."""
    images, captions = batch
    assert hashlib.sha256(images.tobytes() + "\n".join(captions).encode()).hexdigest()[:16] == digest
