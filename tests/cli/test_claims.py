"""The claims of a preset on made-up scores whose gains are known."""

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from safetensors.torch import save_file

from vlkd_steps.cli import claims
from vlkd_steps.core import checksums, files, layout
from vlkd_steps.evaluation.contrasts import Evidence, Term, mean_gain, slope
from vlkd_steps.evaluation.significance import two_way

IMAGES = 40
SEEDS = (1, 2, 3, 4, 5)
Accuracy = Callable[[str, str, str, str, int], float | None]
HEADER = "# @package _global_\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def preset(claims: dict[str, Any], name: str = "mine", **changes: Any) -> None:
    """A preset of the user's that extends `scenes`, and params.yaml that finds it."""
    content = {
        "defaults": ["scenes", "_self_"],
        "grid": {
            "dataset": ["scenes_vqa", "scenes_ve"],
            "variant": ["finetune", "naive_kd", "clip_td", "mad", "no_weight", "clip_td_fixed"],
            "shot": [100, 1000, 10000, "full"],
        },
        "variants": {
            "no_weight": {"method": "clip_td", "teacher": "clip_scenes", "weight": "uniform"},
            "clip_td_fixed": {"method": "clip_td", "teacher": "clip_scenes"},
        },
        "claims": claims,
    }
    path = Path("conf/experiment") / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + yaml.safe_dump({**content, **changes}, sort_keys=False))
    Path("params.yaml").write_text(yaml.safe_dump({"experiment": name, "conf": ["conf"]}))


def claim(variant: str = "clip_td", reference: str = "finetune", **more: Any) -> dict[str, Any]:
    return {
        "variant": variant, "reference": reference, "level": "secondary", "dataset": ["scenes_vqa"],
        "shot": [100, 1000, 10000], **more,
    }  # fmt: skip


def write(
    accuracy: Accuracy,
    datasets: dict[str, list[str]],
    variants: list[str],
    shots: list[str],
    seeds: tuple[int, ...] = SEEDS,
    experiment: str = "mine",
) -> None:
    """Scores of an experiment: accuracy(dataset, set, variant, shot, seed) in points, with noise that sums to 0."""
    rows = []
    for dataset, sets in datasets.items():
        for variant, shot, seed, name in itertools.product(variants, shots, seeds, sets):
            value = accuracy(dataset, name, variant, shot, seed)
            if value is None:
                continue
            noise = np.random.default_rng([len(variant), int(shot) if shot.isdigit() else 9, seed]).normal(size=IMAGES)
            scores = value / 100 + 0.02 * (noise - noise.mean())
            run = layout.run(experiment, dataset, "vilt_scenes", variant, shot, seed)
            path = layout.scores(run, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            ids = [f"i{number}" for number in range(IMAGES)]
            pl.DataFrame({"instance_id": ids, "image_id": ids, "score": scores}).write_parquet(path)
            checksums.write(layout.run_checksums(run, "evaluate"), sorted(path.parent.glob("*.parquet")))
            key = files.digest([dataset, variant, shot, seed])[:16]
            rows.append(
                {"dataset": dataset, "student": "vilt_scenes", "teacher": "", "method": "finetune", "variant": variant,
                 "shot": shot, "seed": seed, "evaluation_set": name, "metric": "accuracy", "value": value, "n": IMAGES,
                 "run_key": key}
            )  # fmt: skip
    path = layout.results(experiment) / "summary.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def run(capsys: pytest.CaptureFixture[str], *experiments: str) -> list[dict]:
    assert claims.main([*(experiments or ("mine",)), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def of(found: list[dict], name: str, where: str = "") -> dict:
    [row] = [row for row in found if row["claim"] == name and where in (row["dataset"], row["evaluation_set"], "")]
    return row


GAINS = {"finetune": 0.0, "clip_td": 6.0, "naive_kd": 2.0, "mad": 3.0, "no_weight": 5.99}


def falling(dataset: str, name: str, variant: str, shot: str, seed: int) -> float:
    """At 100, 1,000 and 10,000 questions the gains are 1.5, 1 and 0.5 times those of GAINS; 0 at full data."""
    share = {"100": 1.5, "1000": 1.0, "10000": 0.5, "full": 0.0}[shot]
    return 40 + share * GAINS[variant] * (-1 if name == "other_style" else 1) + (seed - 3) * len(variant) / 100


def with_measure(values: dict[str, float]) -> None:
    """Adds a measure's number to `summary.csv`, which varies by 1 % over the seeds of each variant but the first."""
    path = layout.results("mine") / "summary.csv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    first = next(iter(values))
    new = [
        row
        | {"evaluation_set": "kept", "metric": "infilling"}
        | {"value": values[row["variant"]] * (1 if row["variant"] == first else 1 + (int(row["seed"]) - 3) / 200)}
        for row in rows
        if row["evaluation_set"] == "test" and row["shot"] == "100" and row["variant"] in values
    ]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows([*rows, *new])


def test_a_number_of_a_measure_is_compared_in_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    kept = {"test": "measure", "metric": "infilling", "set": ["kept"], "shot": [100], "direction": "below"}
    claimed = {
        "within_five": claim(**kept, margin=5, level="primary"),
        "within_two": claim(**kept, margin=2),
        "no_worse": claim(**kept),
        "no_such": claim(**kept | {"metric": "infiling"}),
    }
    measures = {"scenes_vqa": {"kept": {"measure": "forgetting"}}}
    preset({name: claimed[name] for name in claimed if name != "no_such"}, extra_evals=measures)
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100"])
    with_measure({"finetune": 0.4, "clip_td": 0.412})
    found = run(capsys)
    row = of(found, "within_five")
    assert row["found"]["gain"] == pytest.approx(3.0)
    assert row["found"]["high"] - row["found"]["gain"] == pytest.approx(2.776 * 0.8143 / 5**0.5, rel=1e-3)  # t of 4
    assert (row["per_cent"], row["relative"], row["verdict"]) == (True, None, "held")
    assert of(found, "within_two")["verdict"] != "supported"
    assert of(found, "no_worse")["verdict"] == "contradicted"
    assert claims.main(["mine"]) == 0
    assert "+3.0 % [2.0, 4.0]" in capsys.readouterr().out
    preset(claimed, extra_evals=measures)
    assert claims.main(["mine"]) == 2
    assert "kept has no number 'infiling'; it has infilling" in capsys.readouterr().err


def test_a_measure_that_is_zero_has_no_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    kept = claim(test="measure", metric="infilling", set=["kept"], shot=[100])
    preset({"kept": kept}, extra_evals={"scenes_vqa": {"kept": {"measure": "forgetting"}}})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100"])
    with_measure({"finetune": 0.0, "clip_td": 0.4})
    assert claims.main(["mine"]) == 2
    assert "infilling of kept is 0 in a run of the reference" in capsys.readouterr().err


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


def test_nothing_added_at_inference_is_read_from_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    same = {"test": "same_tensors", "shot": [100]}
    preset({"clip": claim(**same), "mad": claim("mad", **same), "naive": claim("naive_kd", **same)})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td", "mad"], ["100"], (1, 2))
    for variant, seed in itertools.product(("finetune", "clip_td", "mad"), (1, 2)):
        tensors = {"head.weight": torch.zeros(3, 2), **({"extra": torch.zeros(1)} if variant == "mad" else {})}
        folder = layout.run("mine", "scenes_vqa", "vilt_scenes", variant, "100", seed)
        save_file(tensors, folder / "model.safetensors", metadata={"student": "{}"})
    found = run(capsys)
    clip = of(found, "clip")
    assert (clip["verdict"], clip["reason"]) == ("held", "equal names and shapes in 2 pairs of runs")
    assert len(clip["run_keys"]) == 4
    assert of(found, "mad")["verdict"] == "contradicted"
    assert of(found, "mad")["reason"].startswith("runs/mine/scenes_vqa/vilt_scenes/mad/100/s1/model")
    assert of(found, "naive")["verdict"] == "not decided"


def gains_csv(experiment: str = "mine") -> None:
    rows = [
        "dataset,student,variant,method,teacher,shot,evaluation_set,metric,seeds,n,images,mean,sd,reference_mean,gain,"
        "gain_low,gain_high,p,p_holm,bootstrap_low,bootstrap_high",
        "scenes_ve,vilt_scenes,finetune,finetune,,100,test,accuracy,1 2,40,40,40.0,0.1,,,,,,,,",
        "scenes_ve,vilt_scenes,clip_td,clip_td,clip_scenes,100,test,accuracy,1 2,40,40,49,0.1,40,9,8,10,.1,.1,8,10",
    ]
    (layout.results(experiment) / "gains.csv").write_text("\n".join(rows) + "\n")


def test_the_page_has_the_primary_table_first_and_the_runs_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {"note": "what is\nknown of it", "text": "naive_kd\n> finetune"}
    preset({"other": claim("naive_kd", dataset=["scenes_ve"], shot=[100], **lines),
            "low": claim(level="primary", dataset=["scenes_ve"], shot=[100], stated={"entailment": 6.6})})  # fmt: skip
    write(falling, {"scenes_ve": ["test"]}, ["finetune", "naive_kd", "clip_td"], ["100"])
    gains_csv()
    assert claims.main(["--write", "docs/results.md"]) == 0, capsys.readouterr().err  # finds the experiment itself
    text = Path("docs/results.md").read_text()
    overview, details = text.split("## Details")
    assert "`vlkd claims mine --write docs/results.md`" in overview
    assert "1 rows: 1 held." in overview
    [row] = [line for line in overview.splitlines() if line.startswith("| clip_td")]
    assert row.startswith("| clip_td > finetune | scenes_ve | +9.0 [")
    assert row.endswith("| **held** |")
    [row] = [line for line in details.splitlines() if line.startswith("| clip_td > finetune (primary)")]
    assert "| scenes_ve vilt_scenes test | 100 | 5 | +9.0 [" in row
    assert "| +22.5 % | +6.6 % |" in row
    assert "\n- naive_kd > finetune: what is known of it\n" in details
    assert "\n| naive_kd > finetune (secondary) |" in details  # a line each
    assert "| clip_td | 100 | 49.0 ± 0.1, +9.0 [8.0, 10.0] |" in details
    keys = list(csv.DictReader(Path("docs/results.runs.csv").read_text().splitlines()))
    assert [row["claim"] for row in keys] == ["low", "other"]
    assert len(keys[0]["run_keys"].split()) == 10
    first = Path("docs/results.md").read_bytes()
    assert claims.main(["mine", "--write", "docs/results.md"]) == 0
    assert Path("docs/results.md").read_bytes() == first
    Path("docs/results.md").write_text("# My notes\n")
    assert claims.main(["mine", "--write", "docs/results.md"]) == 2
    assert "docs/results.md was not made by vlkd claims" in capsys.readouterr().err
    assert Path("docs/results.md").read_text() == "# My notes\n"


def test_two_experiments_with_one_primary_claim(capsys: pytest.CaptureFixture[str]) -> None:
    mine = {"low": claim(level="primary", shot=[100])}
    preset(mine)
    preset({"renamed": mine["low"]}, "again")
    for name in ("mine", "again"):
        write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100"], experiment=name)
    assert claims.main(["mine", "again"]) == 2
    said = capsys.readouterr().err
    assert "mine and again both have the primary claim clip_td > finetune on scenes_vqa test (low, renamed)" in said


def test_differences_that_do_not_vary_decide_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    preset({"naive": claim("naive_kd", shot=[100])})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "naive_kd"], ["100"])  # two names with the same noise
    row = of(run(capsys), "naive")
    assert (row["verdict"], row["p"], row["found"]["low"]) == ("not decided", None, None)
    assert row["reason"] == "no interval: one image, or differences that do not vary"


def test_a_primary_claim_at_other_shots_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = (claim(level="primary", shot=[shot]) for shot in (100, 1000))
    preset({"few": few, "many": many})
    write(falling, {"scenes_vqa": ["test"]}, ["finetune", "clip_td"], ["100", "1000"])
    assert [row["shots"] for row in run(capsys)] == [["100"], ["1000"]]


def test_an_experiment_without_results_or_claims(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text((root / "params.yaml").read_text())
    assert claims.main(["scenes_full"]) == 2
    said = capsys.readouterr().err
    assert "results/scenes_full/summary.csv does not exist; run: snakemake --cores all --config experiment=" in said
    assert claims.main(["scenes"]) == 2
    assert "experiment scenes has no claims" in capsys.readouterr().err
    assert claims.main([]) == 2
    assert "no experiment with claims has results" in capsys.readouterr().err
