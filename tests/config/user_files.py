"""params.yaml and a folder of conf files that it names, as a user writes them, with whatever mistakes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from vlkd_steps.config import composition
from vlkd_steps.core.errors import UserError

GRID = {"dataset": ["scenes_smoke_vqa"], "variant": ["finetune", "clip_td"], "shot": [40], "seed": [1]}
PARAMS = {"experiment": "scenes_smoke", "grid": GRID, "overrides": {}}
DATASET = """
name: mine
task: vqa
source: scenes_smoke
reader: vqa_v2
files:
  train: {questions: vqa/train_questions.json, annotations: vqa/train_annotations.json, images: images/train}
  test: {questions: vqa/test_questions.json, annotations: vqa/test_annotations.json, images: images/test}
image_name: "COCO_{folder}_{image_id:012d}.png"
vocabulary: {minimum: 9, splits: [train]}
roles:
  train: {split: train}
  dev: {split: train, share: 0.1}
  test: {split: test}
evaluation_sets: [dev, test]
"""
SOURCE = "name: mine\nkind: local\npath: there\nfiles: ['*.json']\n"
HTTP = "name: mine\nkind: http\nfiles:\n  - {url: 'https://example.org/a.zip', path: a.zip, sha256: null}\n"
TEACHER = "name: mine\nkind: clip\nmodel: vlkd-scenes\nweights: asset:clip_scenes.safetensors\ndtype: float32\n"
STUDENT = "defaults: [vilt_scenes, _self_]\nname: mine\n"
PRESET = """# @package _global_
defaults: [scenes_smoke, _self_]
grid:
  dataset: [scenes_smoke_vqa]
"""
SWEEP = {"variants.clip_td.sweep": {"lambda0": [1, 3], "learning_rate": [1e-3, 4e-3]}}
"""Overrides that sweep two keys of a variant of GRID."""
FIRST, LAST = "clip_td_lambda0_1_learning_rate_0p001", "clip_td_lambda0_3_learning_rate_0p004"
"""What the first and the last member of that sweep are called."""


class Project:
    """params.yaml and a folder of conf files in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mine").mkdir()

    def conf(self, path: str, text: str | bytes) -> None:
        file = self.folder / "mine" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def params(self, **changes: Any) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"conf": ["mine"]} | changes))

    def message(self) -> str:
        with pytest.raises(UserError) as mistake:
            composition.compose(self.folder / "params.yaml")
        return str(mistake.value)


def holds(message: str, *facts: str) -> None:
    lacking = [fact for fact in facts if fact not in message]
    assert not lacking, f"{lacking} not in: {message}"
