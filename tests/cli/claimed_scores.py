"""A preset with claims, and made-up scores of its runs whose gains are known."""

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from vlkd_steps.cli import claims
from vlkd_steps.core import checksums, files, layout

IMAGES = 40
SEEDS = (1, 2, 3, 4, 5)
Accuracy = Callable[[str, str, str, str, int], float | None]
HEADER = "# @package _global_\n"
GAINS = {"finetune": 0.0, "clip_td": 6.0, "naive_kd": 2.0, "mad": 3.0, "no_weight": 5.99}


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


def falling(dataset: str, name: str, variant: str, shot: str, seed: int) -> float:
    """At 100, 1,000 and 10,000 questions the gains are 1.5, 1 and 0.5 times those of GAINS; 0 at full data."""
    share = {"100": 1.5, "1000": 1.0, "10000": 0.5, "full": 0.0}[shot]
    return 40 + share * GAINS[variant] * (-1 if name == "other_style" else 1) + (seed - 3) * len(variant) / 100


def run(capsys: pytest.CaptureFixture[str], *experiments: str) -> list[dict]:
    assert claims.main([*(experiments or ("mine",)), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def of(found: list[dict], name: str, where: str = "") -> dict:
    [row] = [row for row in found if row["claim"] == name and where in (row["dataset"], row["evaluation_set"], "")]
    return row
