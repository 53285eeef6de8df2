"""What a claim combines over shots: slopes and means of the seeds that all of them have."""

import itertools

import numpy as np
import polars as pl
import pytest
from claimed_scores import IMAGES, SEEDS, claim, falling, of, preset, run, write
from claimed_scores import here as here

from vlkd_steps.cli import claims
from vlkd_steps.core import layout
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
