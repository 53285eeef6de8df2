"""The claims on made-up scores whose gains are known."""

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from vlkd_steps.cli import claims
from vlkd_steps.core import checksums, files, layout
from vlkd_steps.evaluation.contrasts import Evidence, Term, mean_gain, slope
from vlkd_steps.evaluation.significance import two_way

IMAGES = 40
SEEDS = (1, 2, 3)
Accuracy = Callable[[str, str, str, str], float | None]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(
    accuracy: Accuracy,
    datasets: dict[str, list[str]],
    variants: list[str],
    shots: list[str],
    seeds: tuple[int, ...] = SEEDS,
    spread: float = 0.02,
) -> None:
    """Scores of an experiment `scenes`: accuracy(dataset, set, variant, shot) in points, with noise that sums to 0."""
    rows = []
    for dataset, sets in datasets.items():
        for variant, shot, seed, name in itertools.product(variants, shots, seeds, sets):
            value = accuracy(dataset, name, variant, shot)
            if value is None:
                continue
            noise = np.random.default_rng([len(variant), int(shot) if shot.isdigit() else 9, seed]).normal(size=IMAGES)
            scores = value / 100 + spread * (noise - noise.mean())
            run = layout.run("scenes", dataset, "vilt_scenes", variant, shot, seed)
            path = layout.scores(run, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            ids = [f"i{number}" for number in range(IMAGES)]
            pl.DataFrame({"instance_id": ids, "image_id": ids, "score": scores}).write_parquet(path)
            checksums.write(layout.run_checksums(run, "evaluate"), sorted(path.parent.glob("*.parquet")))
            method = variant if variant in ("finetune", "naive_kd", "mad", "plug_in") else "clip_td"
            key = files.digest([dataset, variant, shot, seed])[:16]
            rows.append(
                {"dataset": dataset, "student": "vilt_scenes", "teacher": "" if method == "finetune" else "clip_scenes",
                 "method": "finetune" if variant.startswith("finetune") else method, "variant": variant, "shot": shot,
                 "seed": seed, "evaluation_set": name, "metric": "accuracy", "value": value, "n": IMAGES,
                 "run_key": key}
            )  # fmt: skip
    path = layout.results("scenes") / "summary.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def run(root: Path, capsys: pytest.CaptureFixture[str]) -> list[dict]:
    Path("params.yaml").write_text((root / "params.yaml").read_text())
    assert claims.main(["scenes", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def of(found: list[dict], number: int, words: str = "", where: str = "") -> dict:
    [claim] = [c for c in found if c["number"] == number and words in c["text"] and where in c["where"]]
    return claim


GAINS = {"finetune": 0.0, "clip_td": 6.0, "naive_kd": 2.0, "mad": 3.0, "plug_in": 9.0, "no_weight": 5.99}
VARIANTS = list(GAINS)


def falling(dataset: str, name: str, variant: str, shot: str) -> float:
    """At 100, 1,000 and 10,000 questions the gains are 1.5, 1 and 0.5 times those of GAINS; 0 at full data."""
    share = {"100": 1.5, "1000": 1.0, "10000": 0.5, "full": 0.0}[shot]
    return 40 + share * GAINS[variant] * (-1 if name == "other_style" else 1)


def test_gains_slopes_and_verdicts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["dev", "test", "unseen_pairs", "other_style"]
    write(falling, {"scenes_vqa": sets}, VARIANTS, ["100", "1000", "10000", "full"])
    found = run(root, capsys)
    first = of(found, 1)
    assert first["found"]["gain"] == pytest.approx(6.0)
    assert first["found"]["low"] > 5
    assert first["relative"] == pytest.approx(15.0)  # 6 of 40
    assert (first["papers"], first["verdict"]) == (9.0, "held")
    assert (first["seeds"], first["shots"]) == ([1, 2, 3], ["100", "1000", "10000"])
    assert len(first["run_keys"]) == 2 * 3 * 3
    assert of(found, 2)["found"]["gain"] == pytest.approx(-3.0)  # points for ten times the data
    assert of(found, 2)["verdict"] == "held"
    assert of(found, 3)["found"]["gain"] == pytest.approx(4.0)
    assert of(found, 4, where="unseen_pairs")["verdict"] == "held"
    style = of(found, 4, where="other_style")
    assert style["verdict"] == "not held: the interval lies below 0"
    assert of(found, 5, "clip_td")["verdict"] == "not decided: 3 seeds of the 10 that it takes"
    assert of(found, 7)["found"]["gain"] == pytest.approx(3.0)
    assert of(found, 8)["found"]["gain"] == pytest.approx(-6.0)
    assert of(found, 8)["verdict"] == "not held: the interval lies below 0"
    component = of(found, 9, "clip_td > no_weight")
    assert component["found"]["gain"] == pytest.approx(0.01)
    assert component["verdict"] == "not decided: the interval holds 0"
    assert of(found, 6)["verdict"] == "not decided: not run"  # there are no weights
    adjusted = [claim["p_holm"] for claim in found if claim["p_holm"] is not None]
    assert len(adjusted) > 7
    assert all(claim["p_holm"] >= claim["found"]["p"] for claim in found if claim["p_holm"] is not None)


def test_no_loss_at_full_data_takes_ten_seeds_and_a_margin(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = tuple(range(10))
    for loss, verdict in ((1.0, "held"), (2.0, "not decided: the interval reaches below -2"),
                          (9.0, "not held: the whole interval lies below -2")):  # fmt: skip
        write(lambda *run, loss=loss: 60 - (loss if run[2] == "clip_td" else 0), {"scenes_ve": ["test"]},
              ["finetune", "clip_td"], ["full"], seeds)  # fmt: skip
        claim = of(run(root, capsys), 5)
        assert claim["found"]["gain"] == pytest.approx(-loss)
        assert (claim["verdict"], claim["papers"]) == (verdict, 3.0)


def test_fixed_steps_are_shown_beside_the_presets_own(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """clip_td gains 8, 6, 4; trained with fixed steps it would have gained 8 at 10,000 too."""

    def accuracy(dataset: str, name: str, variant: str, shot: str) -> float | None:
        if variant.endswith("_fixed") and shot != "10000":
            return None
        gain = {"100": 8.0, "1000": 6.0, "10000": 8.0 if variant == "clip_td_fixed" else 4.0}[shot]
        return 30 + (gain if variant.startswith("clip_td") else 0)

    names = ["finetune", "clip_td", "finetune_fixed", "clip_td_fixed"]
    write(accuracy, {"scenes_vqa": ["test"]}, names, ["100", "1000", "10000"])
    found = run(root, capsys)
    assert of(found, 2, "as the preset")["found"]["gain"] == pytest.approx(-2.0)
    assert of(found, 2, "same steps")["found"]["gain"] == pytest.approx(0.0, abs=1e-9)
    assert of(found, 2, "same steps")["verdict"] == "not decided: the interval holds 0"
    assert of(found, 9)["verdict"] == "not decided: not run"  # clip_td_fixed is no ablation


def test_a_slope_is_that_of_least_squares_for_every_seed_and_image() -> None:
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100", "1000", "10000"])
    evidence = Evidence("scenes", claims.summary("scenes"))
    shots = ["100", "1000", "10000"]
    names = dict.fromkeys(shots, "clip_td"), dict.fromkeys(shots, "finetune")
    found = evidence.contrast("scenes_vqa", "vilt_scenes", "test", slope(*names))
    gains = np.empty((3, len(SEEDS), IMAGES))
    for (place, shot), (row, seed) in itertools.product(enumerate(shots), enumerate(SEEDS)):
        read = [
            pl.read_parquet(layout.scores(layout.run("scenes", "scenes_vqa", "vilt_scenes", v, shot, seed), "test"))
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


def test_only_common_seeds_are_combined_and_none_is_said_so() -> None:
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100", "1000"])
    rows = claims.summary("scenes")
    fewer = [r for r in rows if not (r["variant"] == "clip_td" and r["shot"] == "100" and r["seed"] == "2")]
    terms = mean_gain("clip_td", "finetune", ["100", "1000"])
    found = Evidence("scenes", fewer).contrast("scenes_vqa", "vilt_scenes", "test", terms)
    assert found is not None
    assert found.seeds == [1, 3]
    assert found.found.gain == pytest.approx(7.5)  # 1.25 times 6
    none = Evidence("scenes", rows).contrast("scenes_vqa", "vilt_scenes", "test", [Term(1, "mad", "100")])
    assert none is None


def test_nothing_added_at_inference_is_read_from_the_weights(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td", "mad"], ["100"], (1, 2))
    for variant, seed in itertools.product(("finetune", "clip_td", "mad"), (1, 2)):
        tensors = {"head.weight": torch.zeros(3, 2), **({"extra": torch.zeros(1)} if variant == "mad" else {})}
        folder = layout.run("scenes", "scenes_vqa", "vilt_scenes", variant, "100", seed)
        save_file(tensors, folder / "model.safetensors", metadata={"student": "{}"})
    found = run(root, capsys)
    assert of(found, 6, "clip_td")["verdict"] == "held"
    assert "in 2 pairs of runs" in of(found, 6, "clip_td")["text"]
    assert len(of(found, 6, "clip_td")["run_keys"]) == 4
    assert of(found, 6, "mad")["verdict"].startswith("not held: runs/scenes/scenes_vqa/vilt_scenes/mad/100/s1/model")


def test_a_shift_with_its_own_training_set_counts_as_shift(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "vlkd_steps/conf/dataset/scenes_vqa_cp.yaml"
    assert path.is_file()
    text = (root / "params.yaml").read_text().replace("[scenes_vqa, scenes_ve]", "[scenes_vqa_cp]")
    write(falling, {"scenes_vqa_cp": ["test"]}, ["finetune", "clip_td"], ["1000"])
    Path("params.yaml").write_text(text)
    assert claims.main(["scenes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert of(found, 4)["text"] == "clip_td > finetune, under shift (scenes_vqa_cp)"
    assert of(found, 1)["verdict"] == "not decided: not run"


def test_the_table_names_the_command_and_the_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(falling, {"scenes_ve": ["test"]}, ["finetune", "clip_td"], ["100"])
    Path("params.yaml").write_text((root / "params.yaml").read_text())
    assert claims.main(["scenes", "--out", "table.md"]) == 0
    text = Path("table.md").read_text()
    [row] = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert "scenes_ve vilt_scenes test | 100 | +9.0 [" in row
    assert "+22.5 % | +6.6 % | **held** | `make demo EXPERIMENT=scenes` | R1 (6) |" in row
    [keys] = [line for line in text.splitlines() if line.startswith("- R1: ")]
    assert len(keys.removeprefix("- R1: ").split()) == 6


def test_an_experiment_that_was_not_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text((root / "params.yaml").read_text())
    assert claims.main(["scenes_core"]) == 2
    said = capsys.readouterr().err
    assert "results/scenes_core/summary.csv does not exist; run: snakemake --cores all --config experiment=" in said
