"""What a claim combines over shots: slopes and means of the seeds that all of them have."""

import itertools

import numpy as np
import polars as pl
import pytest
from claimed_scores import IMAGES, SEEDS, claim, falling, of, preset, run, write
from claimed_scores import here as here

from vlkd_steps.cli import claims
from vlkd_steps.core import checksums, layout
from vlkd_steps.evaluation.contrasts import Evidence, Term, mean_gain, slope
from vlkd_steps.evaluation.significance import two_way


def pairs(variant: str, reference: str, shots: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    return dict.fromkeys(shots, variant), dict.fromkeys(shots, reference)


def test_a_slope_is_that_of_least_squares_for_every_seed_and_image() -> None:
    shots = ["100", "1000", "10000"]
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], shots)
    evidence = Evidence("mine", claims.summary("mine"))
    found = evidence.contrast("scenes_vqa", "vilt_scenes", "test", slope(*pairs("clip_td", "finetune", shots)))
    gains = np.empty((3, len(SEEDS), IMAGES))
    for (place, shot), (row, seed) in itertools.product(enumerate(shots), enumerate(SEEDS)):
        read = [
            pl.read_parquet(layout.scores(layout.run("mine", "scenes_vqa", "vilt_scenes", v, shot, seed), "test"))
            for v in ("clip_td", "finetune")
        ]
        order = np.argsort(read[0]["image_id"].to_numpy())
        gains[place, row] = 100 * (read[0]["score"] - read[1]["score"]).to_numpy()[order]
    fitted = np.polyfit([2.0, 3.0, 4.0], gains.reshape(3, -1), 1)[0].reshape(len(SEEDS), IMAGES)
    expected = two_way(fitted, np.ones(IMAGES))
    assert found is not None
    assert (found.found.gain, found.found.low, found.found.high) == pytest.approx(
        (expected.gain, expected.low, expected.high)
    )
    assert expected.gain == pytest.approx(-3.0)


def test_images_with_more_questions_weigh_more() -> None:
    """Each second image keeps one of its two questions; the gain stays the mean over questions."""
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100"])
    folder = layout.run("mine", "scenes_vqa", "vilt_scenes", "clip_td", "100", 1).parents[1]
    for path in sorted(folder.parent.rglob("scores/test.parquet")):
        number = pl.int_range(pl.len())
        table = pl.read_parquet(path).with_columns(image_id=pl.format("image {}", number // 2))
        table.filter(number % 4 != 3).write_parquet(path)
        checksums.write(layout.run_checksums(path.parents[1], "evaluate"), [path])
    terms = mean_gain(*pairs("clip_td", "finetune", ["100"]))
    found = Evidence("mine", claims.summary("mine")).contrast("scenes_vqa", "vilt_scenes", "test", terms)
    means = {}
    for variant in ("finetune", "clip_td"):
        runs = [layout.run("mine", "scenes_vqa", "vilt_scenes", variant, "100", seed) for seed in SEEDS]
        means[variant] = np.mean([pl.read_parquet(layout.scores(run, "test"))["score"].mean() for run in runs])
    assert found is not None
    assert found.found.gain == pytest.approx(100 * (means["clip_td"] - means["finetune"]))


def test_only_common_seeds_are_combined() -> None:
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100", "1000"])
    rows = claims.summary("mine")
    fewer = [r for r in rows if not (r["variant"] == "clip_td" and r["shot"] == "100" and r["seed"] == "2")]
    terms = mean_gain(*pairs("clip_td", "finetune", ["100", "1000"]))
    found = Evidence("mine", fewer).contrast("scenes_vqa", "vilt_scenes", "test", terms)
    assert found is not None
    assert found.seeds == [1, 3, 4, 5]
    assert found.found.gain == pytest.approx(7.5, abs=0.05)  # 1.25 times 6
    assert Evidence("mine", rows).contrast("scenes_vqa", "vilt_scenes", "test", [Term(1, "mad", "100")]) is None


def test_other_variants_at_a_shot(capsys: pytest.CaptureFixture[str]) -> None:
    """clip_td gains 8, 6, 4; with fixed steps it would have gained 8 at 10,000 too."""

    def accuracy(dataset: str, name: str, variant: str, shot: str, seed: int) -> float | None:
        gain = {"100": 8.0, "1000": 6.0, "10000": 8.0 if variant == "clip_td_fixed" else 4.0}[shot]
        return 30 + (gain if variant.startswith("clip_td") else 0) + seed * len(variant) / 100

    fixed = {10000: {"variant": "clip_td_fixed", "reference": "finetune"}}
    preset({"falls": claim(test="slope", direction="below"),
            "fixed": claim(test="slope", direction="below", by_shot=fixed)})  # fmt: skip
    write(accuracy, {"scenes_vqa": ["test"]}, ["finetune", "clip_td", "clip_td_fixed"], ["100", "1000", "10000"])
    found = run(capsys)
    assert of(found, "falls")["found"]["gain"] == pytest.approx(-2.0)
    assert of(found, "fixed")["found"]["gain"] == pytest.approx(0.0, abs=0.1)
    assert of(found, "fixed")["verdict"] == "not decided"
