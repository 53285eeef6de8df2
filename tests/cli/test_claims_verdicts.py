"""The verdict on a claim: from the gains, their interval, the seeds and the margin."""

import itertools

import pytest
import torch
from claimed_scores import GAINS, claim, falling, of, preset, run, write
from claimed_scores import here as here
from safetensors.torch import save_file

from vlkd_steps.cli import claims
from vlkd_steps.core import files, layout


def test_gains_slopes_and_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    preset(
        {
            "low": claim(level="primary", stated={"vqa": 9.0}, text="more at low shots"),
            "falls": claim(test="slope", direction="below"),
            "rises": claim(test="slope"),
            "style": claim(set=["other_style"]),
            "weight": claim(reference="no_weight"),
            "weight_either": claim(reference="no_weight", direction="either"),
        }
    )
    write(falling, {"scenes_vqa": ["test", "other_style"]}, list(GAINS), ["100", "1000", "10000", "full"])
    found = run(capsys)
    low = of(found, "low")
    assert low["found"]["gain"] == pytest.approx(6.0)
    assert low["found"]["low"] > 5
    assert low["relative"] == pytest.approx(15.0)  # 6 of 40
    assert (low["stated"], low["verdict"], low["text"]) == (9.0, "held", "more at low shots")
    assert (low["seeds"], low["shots"]) == ([1, 2, 3, 4, 5], ["100", "1000", "10000"])
    assert len(low["run_keys"]) == 2 * 3 * 5
    assert found[0] == low  # primary ones first
    assert of(found, "falls")["found"]["gain"] == pytest.approx(-3.0)  # points for ten times the data
    assert of(found, "falls")["verdict"] == "supported"
    assert of(found, "rises")["verdict"] == "contradicted"
    assert of(found, "style")["verdict"] == "contradicted"
    weight = of(found, "weight")
    assert weight["found"]["gain"] == pytest.approx(0.01)
    assert (weight["verdict"], weight["text"]) == ("not decided", "clip_td > no_weight")
    assert of(found, "weight_either")["verdict"] == "not decided"
    assert all(row["p_adjusted"] >= row["p"] for row in found)


def test_runs_that_were_trained_again_since_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Their scores are new, and the keys and measures in summary.csv are not."""
    preset({"low": claim(shot=[100])})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100"])
    folder = layout.run("mine", "scenes_vqa", "vilt_scenes", "clip_td", "100", 3)
    key = files.digest(["scenes_vqa", "clip_td", "100", 3])[:16]
    layout.run_config(folder).write_text(f"run_key: {key}\n")
    assert of(run(capsys), "low")["verdict"] == "supported"
    layout.run_config(folder).write_text("run_key: another\n")
    assert claims.main(["mine"]) == 2
    said = capsys.readouterr().err
    assert "results/mine/summary.csv is of earlier runs: 1 of its 10 " in said
    assert f"{folder}; make it again: vlkd run mine" in said


def test_fewer_than_five_seeds_decide_nothing_and_count_as_declared(capsys: pytest.CaptureFixture[str]) -> None:
    both = claim(level="primary", dataset=["scenes_vqa", "scenes_ve"])
    preset({"low": both, "second": both | {"variant": "naive_kd"}})
    write(lambda *key: None if key[0] == "scenes_vqa" and key[4] > 3 else falling(*key),
          {"scenes_vqa": ["test"], "scenes_ve": ["test"]}, ["finetune", "clip_td"],
          ["100", "1000", "10000"])  # fmt: skip
    found = run(capsys)
    few = of(found, "low", "scenes_vqa")
    assert (few["verdict"], few["reason"]) == ("not decided", "3 seeds of the 5 that a verdict takes")
    enough = of(found, "low", "scenes_ve")
    assert enough["verdict"] == "held"
    assert enough["p_adjusted"] == pytest.approx(4 * enough["p"])  # over all four primary rows
    missing = of(found, "second", "scenes_ve")
    assert (missing["verdict"], missing["reason"]) == ("not decided", "no runs of naive_kd at 100")


def test_no_loss_tests_the_margin_one_sided_with_ten_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    seeds = tuple(range(10))
    preset({"full": claim(level="primary", dataset=["scenes_ve"], shot=["full"], margin=2, seeds=10)})
    for loss, verdict in ((1.0, "held"), (2.0, "not decided"), (9.0, "contradicted")):
        write(lambda *key, loss=loss: 60 - (loss if key[2] == "clip_td" else 0) + key[4] * len(key[2]) / 100,
              {"scenes_ve": ["test"]}, ["finetune", "clip_td"], ["full"], seeds)  # fmt: skip
        row = of(run(capsys), "full")
        assert row["found"]["gain"] == pytest.approx(-loss, abs=0.1)
        assert row["verdict"] == verdict
        assert (row["p"] < 0.05) == (verdict == "held")
    write(lambda *key: 60.0 + key[4] * len(key[2]) / 100, {"scenes_ve": ["test"]}, ["finetune", "clip_td"], ["full"])
    assert of(run(capsys), "full")["reason"] == "5 seeds of the 10 that a verdict takes"


def test_seeds_in_groups_are_tested_exactly_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the seeds learn, half do not: t would call 12 points in every second of ten seeds 0.9 % likely."""
    preset({"low": claim(level="primary", shot=[100])})
    write(lambda *key: 40.0 + (24.0 if key[2] == "clip_td" and key[4] % 2 else 0.0) + key[4] / 10,
          {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100"], tuple(range(10)))  # fmt: skip
    row = of(run(capsys), "low")
    assert row["found"]["grouped"] is True
    assert row["p"] == pytest.approx(2 / 2**5)  # five gains of 24 points, five of none: 32 ways of signs
    assert row["verdict"] == "not decided"
    assert claims.main(["mine"]) == 0
    text = capsys.readouterr().out
    assert "+12.0; seeds 0.0 +24.0 0.0 +24.0" in text
    assert "their gains are listed instead of an interval" in text


def test_differences_that_do_not_vary_decide_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    preset({"naive": claim("naive_kd", shot=[100])})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "naive_kd"], ["100"])  # two names with the same noise
    row = of(run(capsys), "naive")
    assert (row["verdict"], row["p"], row["found"]["low"]) == ("not decided", None, None)
    assert row["reason"] == "no interval: one image, or differences that do not vary"


def test_nothing_added_at_inference_is_read_from_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    same = {"test": "same_tensors", "shot": [100]}
    claims = {"clip": claim(**same, level="primary"), "mad": claim("mad", **same), "naive": claim("naive_kd", **same)}
    preset(claims | {"less": claim(**same)})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td", "mad"], ["100"], (1, 2))
    for variant, seed in itertools.product(("finetune", "clip_td", "mad"), (1, 2)):
        tensors = {"head.weight": torch.zeros(3, 2), **({"extra": torch.zeros(1)} if variant == "mad" else {})}
        folder = layout.run("mine", "scenes_vqa", "vilt_scenes", variant, "100", seed)
        save_file(tensors, folder / "model.safetensors", metadata={"student": "{}"})
    found = run(capsys)
    clip = of(found, "clip")
    assert (clip["verdict"], clip["reason"]) == ("held", "equal names and shapes in 2 pairs of runs")
    assert len(clip["run_keys"]) == 4
    assert of(found, "less")["verdict"] == "supported"  # a secondary claim
    assert of(found, "mad")["verdict"] == "contradicted"
    assert of(found, "mad")["reason"].startswith("runs/mine/scenes_vqa/vilt_scenes/mad/100/s1/model")
    assert of(found, "naive")["verdict"] == "not decided"
    (layout.run("mine", "scenes_vqa", "vilt_scenes", "clip_td", "100", 2) / "model.safetensors").unlink()
    clip = of(run(capsys), "clip")
    assert (clip["verdict"], clip["reason"]) == ("not decided", "1 pairs of runs have weights, 1 lack them")
