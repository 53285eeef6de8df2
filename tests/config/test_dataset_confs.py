"""Every data set that ships: its conf composes and names modules and files that exist or can be obtained."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from vlkd_steps.config import composition, hydra_composed, jobs
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.splits import leakage

CONF = composition.CONF
NAMES = composition.options("dataset")
PARAMS = """
experiment: scenes
grid: {{dataset: [{name}], variant: [finetune]}}
overrides: {{}}
"""


@pytest.fixture(scope="module")
def confs():
    """All data sets and sources, composed at once: Hydra takes its time."""
    names = [("dataset", name) for name in NAMES] + [("source", name) for name in composition.options("source")]
    return hydra_composed.composed(
        ConfFiles(), "scenes_smoke", [f"+{group}@{group}s.{name}={name}" for group, name in names]
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_conf_is_sound(confs, name):
    dataset = confs["datasets"][name]
    assert dataset["name"] == name
    assert callable(importlib.import_module(f"vlkd_steps.datasets.{dataset['reader']}").read)
    assert {"source", "task", "roles", "evaluation_sets"} <= set(dataset)
    splits = set(dataset["files"]) | ({"train", "test"} if dataset.get("resplit") else set())
    assert {role["split"] for role in dataset["roles"].values()} <= splits
    assert set(dataset["evaluation_sets"]) <= set(dataset["roles"])
    assert set(dataset.get("allow_leaks", ())) <= set(leakage.STOPPING)
    for source in {dataset["source"], dataset.get("image_source") or dataset["source"]}:
        assert confs["sources"][source]["name"] == source
        importlib.import_module(f"vlkd_steps.sources.{confs['sources'][source]['kind']}")


def test_data_behind_a_sign_up_is_never_fetched_and_says_how_to_get_it(confs):
    for name in ("vcr", "flickr30k", "flickr30k_captions", "snli_ve"):
        source = confs["sources"][name]
        assert source["kind"] == "local"
        assert re.search(r"https://.*data/incoming", source["obtain"])


def test_shared_images_are_a_source_of_their_own(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(PARAMS.format(name="vqa_v2"))
    composed = composition.compose(params)
    assert composed.datasets["vqa_v2"].sources == ["vqa_v2", "coco_2014"]
    assert jobs.prepare(composed, "vqa_v2")["dataset"]["image_source"] == "coco_2014"
    assert jobs.split_eval(composed, "vqa_v2", "test")["dataset"]["allow_leaks"] == []


def test_a_leak_is_allowed_by_name_in_params(tmp_path):
    params = tmp_path / "params.yaml"
    text = PARAMS.format(name="vqa_v2")
    text = text.replace("overrides: {}", "overrides: {datasets.vqa_v2.allow_leaks: [shared_images]}")
    params.write_text(text)
    composed = composition.compose(params)
    assert jobs.split_train(composed, "vqa_v2", "100")["dataset"]["allow_leaks"] == ["shared_images"]


def test_every_conf_says_what_is_known_and_from_where():
    for name in ("ok_vqa", "vqa_cp_v2", "vcr", "nocaps", "coco_karpathy", "flickr30k_captions", "coco_2014"):
        text = (CONF / "source" / f"{name}.yaml").read_text(encoding="utf-8")
        assert re.search(r"from memory|official site|as (?:public|the) ?\w* ?code", text), name


def test_files_are_yaml_with_their_own_name():
    for path in sorted(Path(CONF).glob("source/*.yaml")):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["name"] == path.stem
