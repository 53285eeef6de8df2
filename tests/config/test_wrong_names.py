"""Values that are well-formed and mean nothing, or another kind of thing, end the composition in one message."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from user_files import DATASET, GRID, PRESET, STUDENT, TEACHER, Project, holds

from vlkd_steps.config import composition
from vlkd_steps.config.models.architecture import BartArchitecture, ViltArchitecture, VisualBertArchitecture
from vlkd_steps.core import components

PRETRAINED = "defaults: [vilt_scenes_pretrained, _self_]\nname: mine\n"
CLIP = "defaults: [clip_easy_vqa, _self_]\nname: mine\nweights: models/mine/model.safetensors\n"
REGIONS = "defaults: [uniter_scenes, _self_]\nname: mine\n"
PATTERN = '"COCO_{folder}_{image_id:012d}.png"'


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(components.VARIABLE, "")


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (DATASET.replace("  train: {split: train}\n", ""), ["roles has no train", "roles are: dev, test"]),
        (DATASET.replace("[dev, test]", "[]"), ["evaluation_sets is empty", "dev, test"]),
        (DATASET.replace(", images: images/test", ""), ["files.test.images names no folder", "test is test"]),
        (DATASET.replace("images: images/train", "images: null"), ["files.train.images names no folder"]),
        (DATASET.replace("annotations: vqa/test_annotations.json, ", ""), ["files.test.annotations is missing"]),
        (DATASET.replace("task: vqa", "task: vcr"), ["reader is 'vqa_v2'", "task is 'vcr'", "readers vcr"]),
        (DATASET.replace("source: scenes_smoke", "source: scenes_smok"), ["source", "did you mean 'scenes_smoke'"]),
        (DATASET.replace(PATTERN, "'{image}.png'"), ["image_name is '{image}.png'", "did you mean 'image_id'"]),
        (DATASET.replace(PATTERN, "'{image_id.foo}.png'"), ["image_name", "'image_id.foo'"]),
        (DATASET.replace(PATTERN, "'{image_id:q}.png'"), ["image_name", "'{image_id}.jpg'"]),
        (DATASET.replace(PATTERN, "'{image_id:99999999d}'"), ["image_name", "width"]),
        (DATASET.replace(PATTERN, "image.png"), ["image_name", "the same for all images", "{image_id}"]),
        (DATASET.replace(PATTERN, "'../{image_id}'"), ["image_name", "out of the folder"]),
        (DATASET.replace(f"image_name: {PATTERN}\n", ""), ["image_name is missing"]),
        (DATASET + "group: domain\n", ["group is not read by reader vqa_v2"]),
        (DATASET + "sizes: {dev: 3}\n", ["'dev' at sizes", "train"]),
        (DATASET + "allow_leaks: [shared_images, shared_images]\n", ["allow_leaks", "twice"]),
    ],
)
def test_of_a_data_set(project: Project, text: str, facts: list[str]) -> None:
    project.params(grid=GRID | {"dataset": ["mine"]})
    project.conf("dataset/mine.yaml", text)
    holds(project.message(), "mine/dataset/mine.yaml: ", *facts)


def test_a_data_set_may_have_the_name_of_its_own_folder(project: Project) -> None:
    project.params(grid=GRID | {"dataset": ["mine"]})
    project.conf("dataset/mine.yaml", DATASET.replace("source: scenes_smoke", "source: mine"))
    composed = composition.compose(Path("params.yaml"))
    assert composed.datasets["mine"].source == "mine"
    assert composed.sources["mine"].written()["path"] == "data/incoming/mine"


@pytest.mark.parametrize(
    ("group", "text", "facts"),
    [
        ("student", STUDENT + "architecture: {hidden_sise: 3}\n", ["'hidden_sise'", "did you mean 'hidden_size'"]),
        ("student", STUDENT + "architecture: {hidden_size: many}\n", ["architecture.hidden_size is 'many'", "whole"]),
        ("student", STUDENT + "architecture: {num_attention_heads: 7}\n", ["64", "no multiple", "7"]),
        ("student", STUDENT + "architecture: {hidden_act: gelo}\n", ["hidden_act is 'gelo'", "did you mean 'gelu'"]),
        ("student", STUDENT + "by_task: {vqa: {architecture: {x: 1}}}\n", ["'x' at by_task.vqa.architecture"]),
        ("student", STUDENT + "vocabulary: scens\n", ["vocabulary is 'scens'", "did you mean 'scenes'", ".txt"]),
        ("student", STUDENT + "vocabulary: null\n", ["neither weights nor vocabulary"]),
        ("student", REGIONS + "regions: boxes_scense\n", ["regions names 'boxes_scense'", "'boxes_scenes'"]),
        ("student", REGIONS + "regions: clip_scenes\n", ["regions names 'clip_scenes'", "kind clip", "'boxes_scenes'"]),
        ("student", PRETRAINED + "pretrain: {corpus: scenes_caption}\n", ["pretrain.corpus", "'scenes_captions'"]),
        ("student", PRETRAINED + "pretrain: {corpus: scenes_vqa}\n", ["pretrain.corpus is 'scenes_vqa'", "task vqa"]),
        ("student", PRETRAINED + "pretrain: {split: pretran}\n", ["pretrain.split is 'pretran'", "'pretrain'"]),
        ("teacher", CLIP + "pretrain: {init: clip_scense}\n", ["pretrain.init", "did you mean 'clip_scenes'"]),
        ("teacher", CLIP + "pretrain: {init: boxes_scenes}\n", ["pretrain.init", "kind regions_boxes"]),
        ("teacher", CLIP + "pretrain: {init: clip_vit_b32}\n", ["pretrain.init is 'clip_vit_b32'", "neither ships"]),
        ("teacher", CLIP + "pretrain: {init: mine}\n", ["pretrain.init is 'mine'", "itself"]),
        ("teacher", CLIP + "pretrain: {stream: scenes}\n", ["pretrain", "stream: scenes, or by corpus"]),
        ("teacher", CLIP + "weights: models/other/model.safetensors\n", ["weights: models/mine/model.safetensors"]),
        ("teacher", TEACHER.replace("vlkd-scenes", "vlkd-scense"), ["model is 'vlkd-scense'", "'vlkd-scenes'"]),
        ("teacher", TEACHER.replace("asset:clip_scenes", "asset:clip_scens"), ["weights", "asset:clip_scenes"]),
        ("teacher", TEACHER + "by_dataset: {scenes_smoke_vqq: {}}\n", ["by_dataset", "'scenes_smoke_vqa'"]),
    ],
)
def test_of_a_model(project: Project, group: str, text: str, facts: list[str]) -> None:
    text = text.replace("weights: models/mine/model.safetensors\nweights:", "weights:")
    project.params(
        grid=GRID | ({"student": ["mine"]} if group == "student" else {}),
        overrides={"variants.clip_td.teacher": "mine"} if group == "teacher" else {},
    )
    project.conf(f"{group}/mine.yaml", text)
    holds(project.message(), f"mine/{group}/mine.yaml: ", *facts)


@pytest.mark.parametrize(
    ("group", "part", "key"),
    [
        ("student", "by_task: {vqa: {%s}}", "name: other"),
        ("student", "by_task: {vqa: {%s}}", "recipe: {vqa: {steps: 3}}"),
        ("student", "by_task: {vqa: {%s}}", "regions: boxes_scenes"),
        ("student", "by_task: {vqa: {%s}}", "vocabulary: scenes"),
        ("student", "by_task: {vqa: {%s}}", "pretrain: null"),
        ("student", "by_task: {vqa: {%s}}", "by_task: {}"),
        ("teacher", "by_dataset: {scenes_smoke_vqa: {%s}}", "splits: used"),
        ("teacher", "by_dataset: {scenes_smoke_vqa: {%s}}", "pretrain: null"),
        ("teacher", "by_dataset: {scenes_smoke_vqa: {%s}}", "by_dataset: {}"),
    ],
)
def test_a_key_that_is_read_from_the_whole_cannot_differ(project: Project, group: str, part: str, key: str) -> None:
    of = {"student": STUDENT, "teacher": TEACHER}[group]
    test_of_a_model(project, group, of + part % key + "\n", [f".{key.partition(':')[0]} cannot differ; delete it"])


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        ({"variants": {"other": {"method": "finetune", "init": "fintune"}}}, ["variants.other.init", "'finetune'"]),
        ({"variants": {"other": {"method": "mad", "teacher": "clip"}}}, ["variants.other.teacher", "clip_scenes"]),
        ({"variants": {"other": {"method": "mad"}}}, ["variants.other.teacher is missing"]),
        ({"variants": {"clip_td": {"targets": []}}}, ["variants.clip_td.targets is []", "at least one"]),
        ({"grids": [{"shot": [40]}, {"shot": [40]}]}, ["grids: 1 is the same block as 0"]),
        ({"grids": []}, ["grids is []"]),
        ({"grids": [{"dataset": ["scenes_smoke_vqq"]}]}, ["grids.0.dataset", "'scenes_smoke_vqa'"]),
        ({"overrides": {"variants.mad.adaptive_steps": "x"}}, ["overrides: variants.mad.adaptive_steps is 'x'"]),
        (
            {"extra_evals": {"scenes_smoke_vqa": {"x": {"dataset": "scenes_smoke_vqq", "set": "test"}}}},
            ["extra_evals.scenes_smoke_vqa.x.dataset", "did you mean 'scenes_smoke_vqa'"],
        ),
    ],
)
def test_of_a_preset(project: Project, more: dict[str, Any], facts: list[str]) -> None:
    project.params(experiment="mine", grid={})
    project.conf("experiment/mine.yaml", PRESET + yaml.safe_dump(more))
    holds(project.message(), "mine/experiment/mine.yaml: ", *facts)


@pytest.mark.parametrize(
    ("plugins", "facts"),
    [
        (["json"], ["names 'json'", "no component", "students.NAME"]),
        (["vlkd_steps"], ["names 'vlkd_steps'", "no component"]),
        (["nothing_here"], ["names 'nothing_here'", "no such package"]),
        (["json", "json"], ["twice"]),
        (["toy_broken"], ["plugin module toy_broken.methods.toy defines no METHOD"]),
    ],
)
def test_of_a_plugin(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    plugins: list[str],
    facts: list[str],
) -> None:
    for folder in ("toy_broken", "toy_broken/methods", "toy_broken/methods/toy"):
        Path(folder).mkdir()
        Path(folder, "__init__.py").touch()
    monkeypatch.syspath_prepend(str(Path.cwd()))
    project.conf("method/toy.yaml", "name: toy\n")
    project.conf("experiment/mine.yaml", PRESET + "variants: {toy: {method: toy}}\n")
    project.params(experiment="mine", grid={}, plugins=plugins)
    holds(project.message(), "params.yaml: plugins", *facts)
    monkeypatch.setenv(components.VARIABLE, "")
    components.forget()


@pytest.mark.exhaustive
def test_an_architecture_has_only_keys_of_transformers() -> None:
    from transformers import BartConfig, ViltConfig, VisualBertConfig
    from transformers.activations import ACT2FN

    pairs = ((BartArchitecture, BartConfig), (ViltArchitecture, ViltConfig), (VisualBertArchitecture, VisualBertConfig))
    for ours, theirs in pairs:
        known = theirs().to_dict()
        assert set(ours.model_fields) <= set(known), theirs
        activation = next(key for key in ours.model_fields if key in ("hidden_act", "activation_function"))
        assert set(ours.model_fields[activation].annotation.__args__) <= set(ACT2FN)


@pytest.mark.parametrize("name", ["2024", "null", "true", "nan", "1_000", "_self_", "2nd"])
def test_a_preset_may_be_called_as_hydra_writes_other_values(project: Project, name: str) -> None:
    project.params(experiment=name)
    project.conf(f"experiment/{name}.yaml", PRESET)
    assert composition.compose(Path("params.yaml")).experiment == name


@pytest.mark.parametrize("name", ["5", "null", "true", "inf"])
def test_a_data_set_may_be_called_as_hydra_writes_other_values(project: Project, name: str) -> None:
    project.params(grid=GRID | {"dataset": [name]})
    project.conf(f"dataset/{name}.yaml", DATASET.replace("name: mine", f"name: '{name}'"))
    assert list(composition.compose(Path("params.yaml")).datasets) == [name]


@pytest.mark.parametrize("name", ["_global_", "_self_", "_group_", "0x1f", "007", "2nd"])
def test_a_name_that_hydra_reads_as_something_else_is_refused(project: Project, name: str) -> None:
    project.params(grid=GRID | {"student": [name]})
    project.conf(f"student/{name}.yaml", STUDENT.replace("name: mine", f"name: '{name}'"))
    holds(project.message(), f"mine/student/{name}.yaml: a student cannot be called '{name}'", "rename the file")


def test_teachers_whose_pre_training_starts_from_each_other_are_refused(project: Project) -> None:
    project.params(overrides={"variants.clip_td.teacher": "mine"})
    for name, init in (("mine", "other"), ("other", "mine")):
        project.conf(f"teacher/{name}.yaml", CLIP.replace("mine", name) + f"pretrain: {{init: {init}}}\n")
    holds(project.message(), "pretrain.init is circular: mine starts from other starts from mine")
