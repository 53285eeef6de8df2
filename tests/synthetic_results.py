"""Finished runs without any training: predictions drawn from a known model, to test reports and to look at them.

``python tests/synthetic_results.py FOLDER`` fills FOLDER with an experiment called scenes and prints the configuration
that `compare` and `report` take.
"""

import argparse
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image, ImageDraw
from sealed import seal

from vlkd_steps.core import files, layout
from vlkd_steps.tracking.journal import Journal

COLOURS = {"red": "#d43d3d", "blue": "#3d66d4", "green": "#3aa45a", "yellow": "#e3c23b", "purple": "#8a4fbf"}
SHAPES = ["circle", "square", "triangle"]
LABELS = ["contradiction", "entailment", "neutral"]
TASKS = {"scenes_vqa": "vqa", "scenes_ve": "entailment"}
SETS = ["dev", "test", "unseen_pairs", "other_style"]
METHODS = {"finetune": 0.0, "naive_kd": 0.15, "clip_td": 0.5}


def configuration(
    variants: tuple[str, ...] = ("finetune", "naive_kd", "clip_td"),
    shots: tuple[str, ...] = ("100", "300", "1000"),
    seeds: tuple[int, ...] = (10, 11, 12),
    datasets: tuple[str, ...] = ("scenes_vqa", "scenes_ve"),
    sets: tuple[str, ...] = tuple(SETS),
) -> dict[str, Any]:
    """What `compare` and `report` receive."""
    return {
        "experiment": "scenes",
        "datasets": [{"name": name, "task": TASKS[name], "evaluation_sets": list(sets)} for name in datasets],
        "runs": [
            {"dataset": dataset, "student": "vilt_scenes", "teacher": None if variant == "finetune" else "clip_scenes",
             "method": variant, "variant": variant, "shot": shot, "seed": seed}
            for dataset in datasets for variant in variants for shot in shots for seed in seeds
        ],
        "reference": "finetune",
    }  # fmt: skip


def evaluations(config: dict[str, Any]) -> list[dict[str, Any]]:
    """What `evaluate` receives: one configuration for every rule instance."""
    datasets = {dataset["name"]: dataset for dataset in config["datasets"]}
    instances: dict[tuple[str, ...], list[int]] = {}
    for run in config["runs"]:
        instances.setdefault((run["dataset"], run["student"], run["variant"], run["shot"]), []).append(run["seed"])
    return [
        {"experiment": config["experiment"], "dataset": datasets[dataset], "student": student, "variant": variant,
         "shot": shot, "seeds": seeds}
        for (dataset, student, variant, shot), seeds in instances.items()
    ]  # fmt: skip


def write(config: dict[str, Any], images: int = 40, questions: int = 3, steps: int = 60) -> None:
    """Write instances, splits, images and every run's predictions, journal and provenance below the current folder."""
    for dataset in config["datasets"]:
        rows = [
            row
            for evaluation_set in dataset["evaluation_sets"]
            for row in _instances(dataset, evaluation_set, images, questions)
        ]
        table = pl.DataFrame(rows, schema_overrides={"label": pl.Int64, "choices": pl.List(pl.String)})
        _parquet(layout.instances(dataset["name"]), table)
        for evaluation_set in dataset["evaluation_sets"]:
            split = table.filter(pl.col("split") == evaluation_set)
            _parquet(layout.eval_split(dataset["name"], evaluation_set), split.select("instance_id"))
        for number, run in enumerate(config["runs"]):
            if run["dataset"] == dataset["name"]:
                _run(config["experiment"], dataset, table, run, steps, number)
    seal()


def _instances(dataset: dict[str, Any], evaluation_set: str, images: int, questions: int) -> list[dict[str, Any]]:
    generator = random.Random(f"{dataset['name']} {evaluation_set}")
    rows = []
    for image in range(images):
        colour, shape = generator.choice(list(COLOURS)), generator.choice(SHAPES)
        path = Path("data/raw/scenes/images") / evaluation_set / f"{image:06d}.png"
        _draw(path, colour, shape, generator)
        for question in range(questions):
            row = {
                "instance_id": f"{evaluation_set}-{image:06d}-{question}", "split": evaluation_set,
                "image_id": f"{evaluation_set}-{image:06d}", "image_path": str(path), "choices": [], "soft_labels": [],
            }  # fmt: skip
            if dataset["task"] == "vqa":
                kind, text, answer = [
                    ("what color", f"What color is the small {shape} that stands in the corner?", colour),
                    ("what shape", f"Which shape does the {colour} thing in this picture have?", shape),
                    ("how many", f"How many {colour} things can be seen here?", "1"),
                    ("is there", f"Is there a {shape} anywhere in this picture?", "yes"),
                ][(image + question) % 4]
                noisy = generator.randint(0, 3)
                answers = [
                    {"answer_id": i + 1, "answer": answer if i >= noisy else "unsure", "answer_confidence": "yes"}
                    for i in range(10)
                ]
                extra = {"answers": answers, "question_type": kind, "multiple_choice_answer": answer}
                row |= {"text": text, "label": 0, "group": kind, "extra": json.dumps(extra)}
                row |= {"answer_type": "yes/no" if answer == "yes" else "other"}
            else:
                label = generator.randrange(3)
                row |= {"text": f"A {colour} {shape} is in the upper row.", "label": label, "group": LABELS[label]}
                row |= {"answer_type": "", "extra": "{}"}
            rows.append(row)
    return rows


def _run(
    experiment: str, dataset: dict[str, Any], table: pl.DataFrame, run: dict[str, Any], steps: int, number: int
) -> None:
    folder = layout.run(experiment, run["dataset"], run["student"], run["variant"], run["shot"], run["seed"])
    seed = run["seed"]
    method = METHODS.get(run["method"], 0.2)
    ability = method + 0.6 * np.log10(float(run["shot"]) / 300) + 0.1 * np.random.default_rng(number).normal()
    for evaluation_set in dataset["evaluation_sets"]:
        split = table.filter(pl.col("split") == evaluation_set)
        # The item's own difficulty is shared by all runs; what differs between seeds is drawn anew.
        difficulty = np.random.default_rng(len(evaluation_set)).normal(size=len(split))
        noise = np.random.default_rng([number, seed]).logistic(size=len(split))
        shift = {"unseen_pairs": -0.8, "other_style": -1.1}.get(evaluation_set, 0.0)
        right = ability + shift + difficulty + 0.6 * noise > 0
        guess = np.random.default_rng([seed, 1]).integers(1, 3, size=len(split))
        if dataset["task"] == "vqa":
            golds = [json.loads(extra)["multiple_choice_answer"] for extra in split["extra"]]
            others = [[option for option in [*COLOURS, *SHAPES, "no", "2"] if option != gold] for gold in golds]
            answers = [
                gold if ok else other[(int(g) * 7 + i) % len(other)]
                for i, (gold, ok, other, g) in enumerate(zip(golds, right, others, guess, strict=True))
            ]
            classes = np.zeros(len(split), dtype=int)
        else:
            gold = split["label"].to_numpy()
            classes = np.where(right, gold, (gold + guess) % 3)
            answers = [LABELS[c] for c in classes]
        _parquet(
            layout.predictions(folder, evaluation_set),
            split.select("instance_id").with_columns(
                prediction=pl.Series(classes, dtype=pl.Int64), answer=pl.Series(answers), probability=pl.lit(0.5)
            ),
        )
    files.write_text(layout.run_config(folder), f"run_key: '{number:016x}'\n")
    layout.journal(folder).unlink(missing_ok=True)
    wiggle = np.random.default_rng([number, 2]).normal(size=steps) * 0.02
    with Journal(layout.journal(folder)) as journal:
        journal.append("start", run_key=f"{number:016x}", attempt=1, tags={}, params={}, datasets=[])
        for step in range(0, steps, 2):
            task = float(0.15 + 0.55 * np.exp(-(1 + method) * step / steps * 3) + wiggle[step])
            total = task + method * (1 - step / steps)
            metrics = {"loss": total, "loss/task": task}
            if step % 20 == 0 and method:
                metrics |= {"gradient_ratio": method * (1 - step / steps), "distance/image": 0.5 - 0.2 * step / steps}
            journal.append("metrics", step=step, epoch=step / 10, metrics=metrics)
            if step % 20 == 0:
                reached = 30 + (20 + 10 * ability) * (1 - np.exp(-4 * step / steps))
                journal.append("evaluation", step=step, set="dev", metrics={"accuracy": reached})
        journal.append("end", status="FINISHED", seconds=8 + 3 * method, peak_mib=812.5)
    files.write_json(
        layout.provenance(folder),
        {"git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False}, "python": "3.11.2",
         "versions": {"torch": "2.14.1", "transformers": "5.23.0"}, "host": {"cpu": "a synthetic CPU", "cpus": 2},
         "device": "cpu", "precision": "fp32", "threads": 1, "slurm": {},
         "seconds": round(8 + 3 * method + seed % 10 / 10, 3), "peak_mib": 812.5},
    )  # fmt: skip


def _draw(path: Path, colour: str, shape: str, generator: random.Random) -> None:
    if path.exists():
        return
    image = Image.new("RGB", (48, 48), "#e9e6df")
    draw = ImageDraw.Draw(image)
    for _ in range(generator.randint(0, 2)):
        x, y = generator.randint(0, 38), generator.randint(0, 38)
        draw.rectangle([x, y, x + 8, y + 8], fill=COLOURS[generator.choice(list(COLOURS))])
    x, y = generator.randint(2, 26), generator.randint(2, 26)
    box = [x, y, x + 18, y + 18]
    if shape == "circle":
        draw.ellipse(box, fill=COLOURS[colour])
    elif shape == "square":
        draw.rectangle(box, fill=COLOURS[colour])
    else:
        draw.polygon([(x + 9, y), (x, y + 18), (x + 18, y + 18)], fill=COLOURS[colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _parquet(path: Path, table: pl.DataFrame) -> None:
    with files.atomic(path) as temporary:
        table.write_parquet(temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=330)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.folder)
    config = configuration()
    write(config, images=arguments.images, steps=300)
    json.dump(config, sys.stdout)


if __name__ == "__main__":
    main()
