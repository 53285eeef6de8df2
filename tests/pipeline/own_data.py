"""A user's own small data set in a project: one shot, two methods; quick enough to run the whole graph in a test."""

from collections.abc import Mapping
from typing import Any

import yaml
from pipeline_project import Project

from vlkd_steps.benchmarks.scenes.write import write
from vlkd_steps.core.files import sha256

DATASET = """\
name: mine
task: vqa
source: mine
reader: vqa_v2
files:
  train: {questions: vqa/train_questions.json, annotations: vqa/train_annotations.json, images: images/train}
  test: {questions: vqa/test_questions.json, annotations: vqa/test_annotations.json, images: images/test}
image_name: "COCO_{folder}_{image_id:012d}.png"
vocabulary: {minimum: 3, splits: [train]}
roles: {train: {split: train}, dev: {split: train, share: 0.2}, test: {split: test}}
evaluation_sets: [dev, test]
"""
PARAMS = {
    "experiment": "scenes_smoke",
    "grid": {"dataset": ["mine"], "variant": ["finetune", "clip_td"], "shot": [20], "seed": [1]},
    "overrides": {"training.steps": 6, "variants.clip_td.adaptive_steps": 2},
}
# Same inputs, same bytes. Not so: journal, provenance, timings, report (docs/design.md, "Determinism").
DETERMINISTIC = (
    "data/instances/*", "data/splits/**/*", "features/**/manifest.json", "features/**/*.npy", "features/**/*.parquet",
    "runs/**/config.yaml", "runs/**/model.safetensors", "runs/**/predictions/*", "runs/**/scores/*",
    "runs/**/metrics.json",
    "results/*/summary.csv", "results/*/gains.csv", "results/*/metrics/*", "results/*/plots/*",
)  # fmt: skip


def start(project: Project, params: Mapping[str, Any] = PARAMS) -> Project:
    """Write the user's own data and params.yaml, and commit them."""
    images = {"train": 60, "dev": 4, "test": 20, "unseen_pairs": 4, "other_style": 4, "pretrain": 4}
    write(project.folder / "data/incoming/mine", images, seed=3)
    (project.folder / "vlkd_steps/conf/dataset/mine.yaml").write_text(DATASET)
    (project.folder / "params.yaml").write_text(yaml.safe_dump(dict(params)))
    project.run("python", "-m", "vlkd_steps.graph.dvc_vars")
    project.dvc("add", "--quiet", "data/incoming/mine")
    project.commit("My data")
    return project


def hashes(project: Project) -> dict[str, str]:
    found = {path for pattern in DETERMINISTIC for path in project.folder.glob(pattern) if path.is_file()}
    files = [path for path in found if not {"work", "checkpoints"} & set(path.parts)]
    return {str(path.relative_to(project.folder)): sha256(path) for path in sorted(files)}
