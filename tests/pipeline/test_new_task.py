"""A user adds a task: one module, one data set's configuration, and their files; nothing of the package is edited.

The task: is a sentence about an image true or false? Its files have the form of SNLI-VE's.
"""

import csv
import json
import random

import pytest
import yaml
from PIL import Image, ImageDraw

TASK = '''\
"""True or false: does a sentence hold of an image?"""

from vlkd_steps.tasks import Task


class TrueFalse(Task):
    head = "classes"
    metric = "accuracy"
    labels = ("false", "true")

    def strata(self, items):
        return items["group"]

    def gold(self, row):
        return row["group"]


TASK = TrueFalse()
'''
DATASET = {
    "name": "sentences",
    "task": "true_false",
    "source": "sentences",
    "reader": "snli_ve",
    "files": {split: {"pairs": f"{split}.jsonl", "images": split} for split in ("train", "test")},
    "image_name": "{image_id}.png",
    "roles": {"train": {"split": "train"}, "dev": {"split": "train", "share": 0.25}, "test": {"split": "test"}},
    "evaluation_sets": ["dev", "test"],
}
PARAMS = {
    "experiment": "scenes_smoke",
    "grid": {"dataset": ["sentences"], "variant": ["finetune", "clip_td"], "shot": [24], "seed": [1, 2]},
    "overrides": {"training.steps": 6, "variants.clip_td.adaptive_steps": 2},
}
COLORS = ("red", "green", "blue", "yellow")


def write_sentences(folder, images: dict[str, int]) -> None:
    """A circle on each image, and of each image a true and a false sentence about its colour."""
    chance = random.Random(1)
    for split, number in images.items():
        (folder / split).mkdir(parents=True)
        lines = []
        for n in range(number):
            name, color = f"{split}_{n}", chance.choice(COLORS)
            image = Image.new("RGB", (48, 48), "white")
            x, y = chance.randrange(20), chance.randrange(20)
            ImageDraw.Draw(image).ellipse((x, y, x + 10 + n % 9, y + 10 + n % 9), fill=color)
            image.save(folder / split / f"{name}.png")
            other = chance.choice([c for c in COLORS if c != color])
            for said, gold in ((color, "true"), (other, "false")):
                record = {"pairID": f"{name}_{gold}", "Flickr30K_ID": name, "gold_label": gold}
                lines.append(json.dumps({**record, "sentence2": f"there is a {said} circle"}))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def project(new_project):
    made = new_project("task")
    (made.folder / "vlkd_steps/tasks/true_false.py").write_text(TASK)
    (made.folder / "vlkd_steps/conf/dataset/sentences.yaml").write_text(yaml.safe_dump(DATASET))
    (made.folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    write_sentences(made.folder / "data/incoming/sentences", {"train": 40, "test": 12})
    made.commit("A task")
    return made


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_new_task_is_planned_trained_compared_and_shown(project) -> None:
    plan = ("python", "-m", "vlkd_steps.cli.plan", "--json", "--tflops", "0.05")
    planned = project.run(*plan)
    assert json.loads(planned[planned.index("{") :])["runs"]["to_train"] == 4

    project.snakemake("--", "results/scenes_smoke/report.html", "data/splits/sentences/eval-test.parquet")
    assert json.loads((project.folder / "data/instances/sentences.labels.json").read_text()) == ["false", "true"]
    split = json.loads((project.folder / "data/splits/sentences/train-24-s1.json").read_text())
    assert (set(split["labels"]), sum(split["labels"].values())) == ({"false", "true"}, 24)
    run = project.folder / "runs/scenes_smoke/sentences/vilt_scenes/clip_td/24/s1"
    assert set(json.loads((run / "metrics.json").read_text())["test"]["by_label"]) == {"false", "true"}
    with (project.folder / "results/scenes_smoke/gains.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["variant"], row["evaluation_set"], row["metric"], row["n"]) for row in rows} == {
        (variant, name, "accuracy", n)
        for variant in ("finetune", "clip_td")
        for name, n in (("dev", rows[0]["n"]), ("test", "24"))
    }
    assert "sentences" in (project.folder / "results/scenes_smoke/report.html").read_text()
    assert project.dry_run("--", "results/scenes_smoke/report.html") == {}

    # prepared now, it is counted, and derived hours are known
    planned = project.run(*plan, "scenes_smoke")
    assert json.loads(planned[planned.index("{") :])["totals"]["not_known"] == 0

    module = project.folder / "vlkd_steps/tasks/true_false.py"
    module.write_text(module.read_text().replace('items["group"]', 'items["answer_type"]'))
    assert project.dry_run("--", "results/scenes_smoke/report.html")["split_train"] == 1


def test_a_task_that_does_not_exist_is_named_before_anything_runs(project) -> None:
    conf = project.folder / "vlkd_steps/conf/dataset/sentences.yaml"
    good = conf.read_text()
    conf.write_text(good.replace("true_false", "true_fals"))
    output = project.snakemake("-n", status=2)
    conf.write_text(good)
    assert "task is 'true_fals'" in output
    assert "did you mean 'true_false'?" in output
    assert "Traceback" not in output
