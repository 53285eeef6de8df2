"""Every wrong value ends the composition in one message: file, key, value, what is allowed, the nearest valid one.

The mistakes are written into real files: params.yaml, and a folder of the user's that it names by ``conf``.
"""

from typing import Any

import pytest
import yaml
from user_files import DATASET, GRID, HTTP, PARAMS, PRESET, SOURCE, STUDENT, TEACHER, Project, holds

from vlkd_steps.config import composition


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"experimnet": "x"}, ["experimnet", "the top level", "did you mean 'experiment'"]),
        ({"experiment": "scene_smoke"}, ["experiment", "'scene_smoke'", "did you mean 'scenes_smoke'"]),
        ({"experiment": None}, ["experiment is null"]),
        ({"experiment": 3}, ["experiment is 3"]),
        ({"experiment": "../scenes"}, ["experiment is '../scenes'", "letters, digits"]),
        ({"grid": {**GRID, "shots": [1]}}, ["'shots'", "grid", "did you mean 'shot'"]),
        ({"grid": None}, ["grid is null", "mapping"]),
        ({"grid": [1]}, ["grid is [1]", "mapping"]),
        ({"grid": {**GRID, "dataset": "scenes_vqa"}}, ["grid.dataset is 'scenes_vqa'", "list"]),
        ({"grid": {**GRID, "dataset": []}}, ["grid.dataset", "at least one"]),
        ({"grid": {**GRID, "dataset": ["scenes-vqa"]}}, ["grid.dataset.0 is 'scenes-vqa'", "letters, digits"]),
        ({"grid": {**GRID, "dataset": ["../x"]}}, ["grid.dataset.0 is '../x'"]),
        ({"grid": {**GRID, "dataset": ["/tmp/x"]}}, ["grid.dataset.0 is '/tmp/x'"]),
        ({"grid": {**GRID, "dataset": ["scenes_vqq"]}}, ["grid.dataset", "'scenes_vqq'", "did you mean 'scenes_vqa'"]),
        ({"grid": {**GRID, "student": ["vilt"]}}, ["grid.student", "'vilt'", "vilt_"]),
        ({"grid": {**GRID, "variant": ["clip_dt"]}}, ["grid.variant", "'clip_dt'", "did you mean 'clip_td'"]),
        ({"grid": {**GRID, "variant": ["finetune", "finetune"]}}, ["grid.variant", "finetune", "twice"]),
        ({"grid": {**GRID, "shot": ["ten"]}}, ["grid.shot.0 is 'ten'", "a percentage such as 1pct, or full"]),
        ({"grid": {**GRID, "shot": [0]}}, ["grid.shot.0 is 0"]),
        ({"grid": {**GRID, "shot": [True]}}, ["grid.shot.0 is true"]),
        ({"grid": {**GRID, "shot": [40.5]}}, ["grid.shot.0 is 40.5"]),
        ({"grid": {**GRID, "seed": [1, 1]}}, ["grid.seed", "1", "twice"]),
        ({"grid": {**GRID, "seed": [True]}}, ["grid.seed.0 is true", "whole number"]),
        ({"grid": {**GRID, "seed": [1.0]}}, ["grid.seed.0 is 1.0", "whole number"]),
        ({"grid": {**GRID, "seed": ["1"]}}, ["grid.seed.0 is '1'", "whole number"]),
        ({"grid": {**GRID, "seed": [-1]}}, ["grid.seed.0 is -1", "0 or more"]),
        ({"grid": {**GRID, "seed": None}}, ["grid.seed is null"]),
        ({"overrides": None}, ["overrides is null", "mapping"]),
        ({"overrides": {"training.stepz": 3}}, ["overrides", "'training.stepz'", "did you mean 'training.steps'"]),
        ({"overrides": {"training.steps": "many"}}, ["overrides: training.steps is 'many'", "whole number above 0"]),
        ({"overrides": {"training.steps": 0}}, ["overrides: training.steps is 0", "whole number above 0"]),
        ({"overrides": {"training.steps": True}}, ["overrides: training.steps is true"]),
        ({"overrides": {"training.steps": None}}, ["overrides: training.steps is null"]),
        ({"overrides": {"training.device": "gpu"}}, ["overrides: training.device is 'gpu'", "auto, cpu, cuda, mps"]),
        ({"overrides": {"training.warmup": 2}}, ["overrides: training.warmup is 2", "from 0 to 1"]),
        ({"overrides": {"reference": "no good"}}, ["params.yaml: overrides: reference is 'no good'", "letters"]),
        ({"overrides": {"highlight": 5}}, ["params.yaml: overrides: highlight is 5", "letters"]),
        ({"overrides": {"training": 3}}, ["overrides", "replace all of training", "training.steps"]),
        ({"overrides": {"variants.clip_td": 3}}, ["overrides", "replace all of variants.clip_td"]),
        ({"overrides": {"variants.clip_td.lambda": 3}}, ["did you mean 'variants.clip_td.lambda0'"]),
        (
            {"overrides": {"variants.clip_td.distance": "l3"}},
            ["overrides: variants.clip_td.distance is 'l3'", "l1, mse, cosine", "did you mean 'l1'"],
        ),
        ({"overrides": {"variants.clip_td.adaptive": "no"}}, ["variants.clip_td.adaptive is 'no'", "true or false"]),
        (
            {"overrides": {"variants.clip_td.targets": ["imge"]}},
            ["clip_td.targets.0 is 'imge'", "did you mean 'image'"],
        ),
        ({"overrides": {"variants.clip_td.targets": "image"}}, ["clip_td.targets is 'image'", "list"]),
        ({"overrides": {"variants.clip_td.temperature": 0}}, ["clip_td.temperature is 0", "above 0"]),
        ({"overrides": {"variants.clip_td.adaptive_steps": 12}}, ["adaptive_steps is 12", "12 steps"]),
        ({"overrides": {"variants.clip_td.method": "clip_dt"}}, ["clip_td.method", "'clip_dt'", "'clip_td'"]),
        ({"overrides": {"variants.clip_td.teacher": "clip_scene"}}, ["'clip_scene'", "did you mean 'clip_scenes'"]),
        (
            {"overrides": {"variants.clip_td.teacher": 3}},
            ["variants.clip_td.teacher is 3", "{vision: NAME, text: NAME}"],
        ),
        ({"overrides": {"variants.clip_td.teacher": None}}, ["variants.clip_td.teacher is missing", "clip_td"]),
        ({"overrides": {"methods.clip_td.distance": "l3"}}, ["overrides: methods.clip_td.distance is 'l3'"]),
        ({"overrides": {"datasets.scenes_smoke_vqa.roles.dev.split": "deb"}}, ["'deb'", "did you mean 'dev'"]),
        (
            {"overrides": {"datasets.scenes_smoke_vqa.roles.dev": {"split": "dev", "share": 2}}},
            ["roles.dev.share is 2"],
        ),
        (
            {"overrides": {"datasets.scenes_smoke_vqa.evaluation_sets": ["tets"]}},
            ["overrides", "evaluation_sets", "'tets'", "did you mean 'test'"],
        ),
        ({"overrides": {"datasets.scenes_smoke_vqa.name": "other"}}, ["datasets.scenes_smoke_vqa.name", "its file's"]),
        (
            {"overrides": {"teachers.clip_scenes.model": "local-dir:models/mine"}},
            [
                "teachers.clip_scenes",
                "'asset:clip_scenes.safetensors'",
                "'local-dir:models/mine' has weights of its own",
            ],
        ),
        ({"overrides": {"students.vilt_scenes.kind": "vit"}}, ["students.vilt_scenes.kind is 'vit'", "'vilt'"]),
        ({"overrides": {"sources.scenes_smoke.seed": 1.5}}, ["overrides: sources.scenes_smoke.seed is 1.5"]),
        ({"overrides": {"reference": "finetuned"}}, ["reference", "'finetuned'", "did you mean 'finetune'"]),
        ({"conf": ["elsewhere"]}, ["conf", "'elsewhere'", "no folder"]),
        ({"plugins": ["no_such_plugin"]}, ["plugins", "'no_such_plugin'"]),
    ],
)
def test_in_params(project: Project, changes: dict[str, Any], facts: list[str]) -> None:
    project.params(**changes)
    message = project.message()
    holds(message, "params.yaml" if "adaptive_steps" not in str(facts) else "experiment", *facts)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (b"experiment: [", ["not valid YAML", "line "]),
        (b"experiment: scenes\nexperiment: scenes\n", ["'experiment' appears twice", "line 2"]),
        (b"experiment: \xff\n", ["not UTF-8"]),
        (b"", ["is empty"]),
        (b"# nothing\n", ["is empty"]),
        (b"- scenes\n", ["params.yaml", "not a mapping"]),
        (b"grid: {}\n", ["experiment is missing"]),
        (b"[" * 100_000, ["not valid YAML", "levels deep"]),
        (b"experiment: scenes\ngrid: &g {dataset: *g}\n", ["*g", "line 2"]),
        (b"experiment: !!bool x\n", ["!!bool", "delete it"]),
        (b"experiment: scenes\ngrid: {seed: [010]}\n", ["010", "decimal"]),
        (b"experiment: scenes\ngrid: {shot: [1.0pct]}\n", ["grid.shot.0 is '1.0pct'"]),
        (b"#" * 5_000_000, ["5000000 bytes", "at most"]),
        (b"experiment: scenes\ngrid: {seed: [1, a]}\noverrides: 3\n", ["grid.seed.1 is 'a'", "overrides is 3"]),
    ],
)
def test_params_as_a_file(project: Project, text: bytes, facts: list[str]) -> None:
    (project.folder / "params.yaml").write_bytes(text)
    holds(project.message(), "params.yaml", *facts)


@pytest.mark.parametrize(
    ("group", "text", "facts"),
    [
        ("dataset", "", ["is empty"]),
        ("dataset", "name: [", ["not valid YAML", "line "]),
        ("dataset", b"name: m\xfcne\n", ["not UTF-8"]),
        ("dataset", DATASET + "task: vqa\n", ["'task' appears twice"]),
        ("dataset", "- mine\n", ["mine/dataset/mine.yaml", "not a mapping"]),
        ("dataset", DATASET + "null: 3\n", ["not valid YAML", "a key is empty"]),
        ("dataset", DATASET + "[a, b]: 3\n", ["not valid YAML"]),
        ("dataset", DATASET + "group: !!python/name:os.system\n", ["not valid YAML"]),
        ("dataset", "# @package _global_\n" + DATASET, ["@package _global_"]),
        ("dataset", "defaults: [scenes_vqa, _self_]\ntask: vqa\n", ["name is missing", "name: mine"]),
        ("dataset", DATASET.replace("name: mine", "name: other"), ["name is 'other'", "name: mine"]),
        ("dataset", DATASET.replace("name: mine\n", ""), ["name is missing", "name: mine"]),
        ("dataset", DATASET.replace("task: vqa", "task: vqaa"), ["task is 'vqaa'", "did you mean 'vqa'"]),
        ("dataset", DATASET.replace("task: vqa\n", ""), ["task is missing"]),
        ("dataset", DATASET.replace("reader: vqa_v2", "reader: vqa_v3"), ["reader is 'vqa_v3'", "'vqa_v2'"]),
        ("dataset", DATASET.replace("reader: vqa_v2", "reader: null"), ["reader is null"]),
        (
            "dataset",
            DATASET.replace("images: images/train", "images: ../images"),
            ["files.train.images", "'../images'"],
        ),
        (
            "dataset",
            DATASET.replace("vqa/test_questions.json", "/etc/passwd"),
            ["files.test.questions", "'/etc/passwd'"],
        ),
        ("dataset", DATASET.replace("questions: vqa/train", "question: vqa/train"), ["'question'", "files.train"]),
        ("dataset", DATASET.replace("source: scenes_smoke", "source: ../x"), ["source is '../x'"]),
        ("dataset", DATASET.replace("share: 0.1", "share: much"), ["roles.dev.share is 'much'", "a share"]),
        ("dataset", DATASET.replace("minimum: 9", "minimum: 9.5"), ["vocabulary.minimum is 9.5", "whole number"]),
        ("dataset", DATASET.replace("splits: [train]", "splits: [tain]"), ["vocabulary.splits", "'tain'", "'train'"]),
        ("dataset", DATASET.replace("evaluation_sets: [dev, test]", "evaluation_sets: [dev, dev]"), ["'dev'", "twice"]),
        ("dataset", DATASET.replace(", share: 0.1", ""), ["roles dev and train take the same split 'train'"]),
        (
            "dataset",
            DATASET.replace("test: {split: test}", "test: {split: train, share: 0.9}"),
            ["role 'train' takes", "leave, which is nothing", "'dev': 0.1, 'test': 0.9"],
        ),
        (
            "dataset",
            DATASET.replace("evaluation_sets: [dev", "evaluation_sets: [train"),
            ["evaluation_sets", "'train'"],
        ),
        ("dataset", DATASET + "sizes: {train: many}\n", ["sizes.train is 'many'"]),
        ("dataset", DATASET + "size: 3\n", ["'size'", "did you mean 'sizes'"]),
        ("dataset", DATASET + "allow_leaks: [shared_image]\n", ["allow_leaks.0", "did you mean 'shared_images'"]),
        ("dataset", DATASET + "visual_words: scene\n", ["visual_words is 'scene'", "words.txt", "or scenes"]),
        ("dataset", DATASET + "visual_words: []\n", ["visual_words is []", "a list of words"]),
        ("dataset", DATASET + "visual_words: [red, traffic light]\n", ["visual_words: 'traffic light' is no word"]),
        ("dataset", DATASET + "visual_words: [red, 3]\n", ["visual_words: 3 is no word"]),
        ("dataset", DATASET + "group: ${nothing.here}\n", ["group", "nothing"]),
        ("dataset", DATASET + "group: ${oc.env:NO_SUCH_VARIABLE_HERE}\n", ["group", "NO_SUCH_VARIABLE_HERE"]),
        ("dataset", "defaults: [scenes_vqq, _self_]\n" + DATASET, ["defaults", "'scenes_vqq'", "'scenes_vqa'"]),
        ("dataset", "defaults: [mine, _self_]\n" + DATASET, ["defaults", "'mine'", "itself"]),
        ("source", SOURCE.replace("kind: local", "kind: locl"), ["kind is 'locl'", "did you mean 'local'"]),
        ("source", SOURCE.replace("kind: local\n", ""), ["kind is missing"]),
        ("source", SOURCE.replace("name: mine", "name: ../mine"), ["name is '../mine'"]),
        ("source", SOURCE + "transfer: move\n", ["transfer is 'move'", "copy, hardlink, symlink"]),
        ("source", SOURCE.replace("'*.json'", "'../*.json'"), ["files.0 is '../*.json'"]),
        ("source", SOURCE + "unpack: [/a.zip]\n", ["unpack.0 is '/a.zip'"]),
        ("source", SOURCE + "sha256: {a.json: abc}\n", ["sha256", "'abc'", "64 hex digits"]),
        ("source", HTTP.replace("path: a.zip", "path: ../a.zip"), ["files.0.path is '../a.zip'"]),
        ("source", HTTP.replace("https://example.org", "file:///etc"), ["files.0.url", "https://"]),
        ("source", HTTP + "  - {url: 'https://example.org/b', path: a.zip}\n", ["'a.zip'", "twice"]),
        ("source", HTTP + "parallel: 0\n", ["parallel is 0"]),
        ("teacher", TEACHER.replace("kind: clip", "kind: clipp"), ["kind is 'clipp'", "did you mean 'clip'"]),
        ("teacher", TEACHER.replace("float32", "float23"), ["dtype is 'float23'", "did you mean 'float32'"]),
        ("teacher", TEACHER + "template: a photo\n", ["template is 'a photo'", "{}"]),
        ("teacher", TEACHER + "word_template: a photo\n", ["word_template is 'a photo'", "{}"]),
        ("teacher", TEACHER + "thread: 2\n", ["'thread'", "did you mean 'threads'"]),
        ("teacher", TEACHER + "batch_size: 1e2\n", ["batch_size is 100.0", "whole number"]),
        ("teacher", TEACHER + "by_dataset: {scenes_smoke_vqa: {dtyp: 3}}\n", ["'dtyp'", "by_dataset.scenes_smoke_vqa"]),
        ("teacher", TEACHER.replace("name: mine", "name: /mine"), ["name is '/mine'"]),
        ("student", STUDENT + "image_size: big\n", ["image_size is 'big'"]),
        ("student", STUDENT + "spread: {word: 0.3}\n", ["'word'", "spread", "did you mean 'words'"]),
        ("student", STUDENT + "recipe: {vqq: {steps: 3}}\n", ["recipe", "'vqq'", "did you mean 'vqa'"]),
        ("student", STUDENT + "recipe: {vqa: {steps: 0}}\n", ["recipe.vqa.steps is 0"]),
        ("student", STUDENT + "by_task: {vqa: {image_siz: 3}}\n", ["'image_siz'", "by_task.vqa"]),
        ("student", STUDENT + "architecture: 3\n", ["architecture is 3", "mapping"]),
        ("student", STUDENT + "pretrain: {corpus: scenes_captions, steps: 1}\n", ["pretrain.seed is missing"]),
    ],
)
def test_in_a_file_of_the_users(project: Project, group: str, text: str | bytes, facts: list[str]) -> None:
    grid = {**GRID, "dataset": ["mine"]} if group in ("dataset", "source") else dict(GRID)
    if group == "source":
        project.conf("dataset/mine.yaml", DATASET.replace("source: scenes_smoke", "source: mine"))
    changes = {"grid": grid | {"student": ["mine"]} if group == "student" else grid}
    if group == "teacher":
        changes["overrides"] = {"variants.clip_td.teacher": "mine"}
    project.params(**changes)
    project.conf(f"{group}/mine.yaml", text)
    holds(project.message(), f"mine/{group}/mine.yaml", *facts)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (PRESET.replace("# @package _global_\n", ""), ["@package _global_"]),
        ("# mine\n" + PRESET, ["does not begin with", "@package _global_"]),
        ("\ufeff" + PRESET, ["does not begin with", "byte order mark"]),
        (PRESET + "training: 3\n", ["training is 3", "mapping"]),
        (PRESET + "extra_evalz: {}\n", ["'extra_evalz'", "did you mean 'extra_evals'"]),
        (PRESET + "reference: finetuned\n", ["reference", "'finetuned'", "did you mean 'finetune'"]),
        (PRESET + "variants: {clip_td: {method: clipp}}\n", ["variants.clip_td.method", "'clipp'", "'clip_td'"]),
        (PRESET + "variants: {new: {teacher: clip_scenes}}\n", ["variants.new.method is missing"]),
        (PRESET + "variants: {clip_td: {lamda0: 3}}\n", ["variants.clip_td", "'lamda0'", "did you mean 'lambda0'"]),
        (PRESET + "variants: {clip_td: {lambda0: big}}\n", ["variants.clip_td.lambda0 is 'big'", "0 or more"]),
        (PRESET + "variants: {clip_td: {by_shot: {ten: {lambda0: 1}}}}\n", ["variants.clip_td.by_shot", "ten", "1pct"]),
        (PRESET + "variants: {clip_td: {by_shot: {40: {x: 1}}}}\n", ["variants.clip_td.by_shot.40", "'x'"]),
        (
            PRESET + "variants: {clip_td: {by_task: {vqa: {by_shot: {40: {lambda0: s}}}}}}\n",
            ["variants.clip_td.by_task.vqa.by_shot.40.lambda0 is 's'", "a number, 0 or more"],
        ),
        (PRESET + "variants: {clip_td: {by_shot: {40: {init: clip_td}}}}\n", ["by_shot.40", "unknown key 'init'"]),
        (PRESET + "variants: {clip_td: {by_task: {vqa2: {}}}}\n", ["by_task", "'vqa2'", "did you mean 'vqa'"]),
        (PRESET + "variants: {clip_td: {by_task: {vqa: {x: 1}}}}\n", ["variants.clip_td.by_task.vqa", "'x'"]),
        (
            PRESET + "variants: {clip_td: {by_task: {entailment: {distance: l2}}}}\n",
            ["variants.clip_td.by_task.entailment.distance is 'l2'", "l1, mse, cosine"],
        ),
        (PRESET + "variants: {mad: {selection: some}}\n", ["variants.mad.selection is 'some'", "relevance"]),
        (PRESET + "variants: {mad: {teacher: {vision: clip_scenes, text: null}}}\n", ["mad.teacher", "vision: NAME"]),
        (PRESET + "variants: {finetune: {training: {rate: 1}}}\n", ["'rate'", "variants.finetune.training"]),
        (
            PRESET + "variants: {Clip_td: {method: clip_td, teacher: clip_scenes}}\n",
            ["'clip_td'", "'Clip_td'", "folder"],
        ),
        (PRESET + "variants: {a/b: {method: finetune}}\n", ["a/b", "letters, digits"]),
        (
            PRESET + "variants: {clip_td: {teacher: {vision: clip_scenes, text: minilm_l6}}}\n",
            ["two teachers", "one CLIP"],
        ),
        (PRESET + "training: {by_shot: {ten: {steps: 1}}}\n", ["training.by_shot", "ten"]),
        (PRESET + "training: {by_shot: {100: {steps: x}}}\n", ["training.by_shot.100.steps is 'x'"]),
        (PRESET + "training: {by_task: {vqa: {stepz: 1}}}\n", ["'stepz'", "training.by_task.vqa", "'steps'"]),
        (PRESET + "training: null\n", ["training is null"]),
        (PRESET + "training: {learning_rate: fast}\n", ["training.learning_rate is 'fast'", "a number above 0"]),
        (PRESET + "grids: [{shots: [1]}]\n", ["'shots'", "grids.0", "did you mean 'shot'"]),
        (PRESET + "grids: [{seed: [1]}]\n", ["'seed'", "grids.0"]),
        (PRESET + "grids: [{}]\n", ["grids.0", "empty"]),
        (PRESET + "overrides: {training.stepz: 3}\n", ["overrides", "'training.stepz'"]),
        (PRESET + "overrides: {variants.clip_td.distance: l3}\n", ["overrides: variants.clip_td.distance is 'l3'"]),
        (
            PRESET + "extra_evals: {scenes_smoke_vqa: {more: {dataset: scenes_vqa}}}\n",
            ["extra_evals.scenes_smoke_vqa.more.set is missing"],
        ),
        (
            PRESET + "extra_evals: {scenes_smoke_vqa: {m: {measure: forget}}}\n",
            ["'forget'", "did you mean 'forgetting'"],
        ),
        (PRESET + "extra_evals: {scenes_smoke_vqa: {m: 3}}\n", ["extra_evals.scenes_smoke_vqa.m is 3"]),
    ],
)
def test_in_a_preset_of_the_users(project: Project, text: str, facts: list[str]) -> None:
    project.conf("experiment/mine.yaml", text)
    project.params(experiment="mine")
    message = project.message()
    holds(message, *facts)
    assert "mine/experiment/mine.yaml" in message or message.startswith("experiment mine:")


def test_a_value_is_named_in_the_file_that_says_it(project: Project) -> None:
    """The user's preset begins as another of the user's, which says the value."""
    project.conf("experiment/first.yaml", PRESET + "training: {steps: none}\n")
    project.conf("experiment/mine.yaml", "# @package _global_\ndefaults: [first, _self_]\ntraining: {batch_size: 4}\n")
    project.params(experiment="mine")
    holds(project.message(), "mine/experiment/first.yaml: training.steps is 'none'")


def test_a_setting_of_a_method_is_named_in_the_methods_file(project: Project) -> None:
    project.conf(
        "method/clip_td.yaml",
        (composition.CONF / "method/clip_td.yaml").read_text().replace("keyness: idf ", "keyness: yak "),
    )
    project.params()
    holds(project.message(), "mine/method/clip_td.yaml: keyness is 'yak'", "did you mean 'yake'")


def test_all_that_is_wrong_with_a_file_is_reported_at_once(project: Project) -> None:
    project.params(grid={**GRID, "seed": ["a"], "shot": ["b"]}, overrides=[])
    assert len(project.message().splitlines()) == 3


def test_two_models_that_are_made_need_two_names(project: Project) -> None:
    project.conf(
        "teacher/vilt_scenes_pretrained.yaml", "defaults: [clip_easy_vqa, _self_]\nname: vilt_scenes_pretrained\n"
    )
    project.params(
        grid={**GRID, "student": ["vilt_scenes_pretrained"]},
        overrides={"variants.clip_td.teacher": "vilt_scenes_pretrained"},
    )
    holds(project.message(), "models", "'vilt_scenes_pretrained'", "share a folder")


@pytest.mark.parametrize(
    ("entry", "facts"),
    [
        ({"share": 0.5, "cues": {"Top": "neutral"}}, ["cues", "one word", "lower case"]),
        ({"share": 0, "cues": {"top": "neutral"}}, ["share", "above 0 and below 1"]),
    ],
)
def test_a_bias_that_cannot_be_planted_is_refused(project: Project, entry: dict[str, Any], facts: list[str]) -> None:
    files = {"train": {"pairs": "snli_ve/train.jsonl", "images": "images/train", "rule": "biased", **entry}}
    name = {"defaults": ["scenes_smoke_ve", "_self_"], "name": "mine", "files": files}
    project.conf("dataset/mine.yaml", yaml.safe_dump(name))
    project.params(grid={**GRID, "dataset": ["mine"]})
    holds(project.message(), *facts)


def test_measures_alone_are_nothing_to_compare_runs_by(project: Project) -> None:
    name = "scenes_wide_captions"
    bart = {"method": "vlkd", "teacher": "clip_scenes", "ttdm": 0, "itcl": 0, "icti": 0}
    preset = {
        "grid": {"dataset": [name], "student": ["bart_scenes"], "variant": ["bart"], "shot": ["full"], "seed": [1]},
        "reference": "bart",
        "variants": {"bart": bart},
        "training": {"steps": 4, "batch_size": 4, "learning_rate": 1e-3},
        "extra_evals": {name: {"kept": {"measure": "forgetting"}}},
        "overrides": {f"datasets.{name}.evaluation_sets": []},
    }
    project.conf("experiment/mine.yaml", "# @package _global_\n" + yaml.safe_dump(preset))
    project.params(experiment="mine", grid={})
    holds(project.message(), "evaluation_sets", "is empty", "no extra_evals", "has items to score")
    preset["extra_evals"][name]["asked"] = {"dataset": "scenes_vqa", "set": "test"}
    project.conf("experiment/mine.yaml", "# @package _global_\n" + yaml.safe_dump(preset))
    composition.compose(project.folder / "params.yaml")


def test_batches_by_tokens_are_for_classification(project: Project) -> None:
    project.params(experiment="scenes_vlkd", grid={}, overrides={"training.tokens_per_batch": 3000})
    holds(project.message(), "tokens_per_batch is 3000", "method vlkd trains by batch_size", "tokens_per_batch: 0")


def test_a_batch_that_processes_cannot_share_is_refused(project: Project) -> None:
    project.params(overrides={"training": {"batch_size": 33, "processes": 2}})
    holds(project.message(), "batch_size is 33", "2 processes", "such as 32")
    project.params(overrides={"training": {"batch_size": 33, "processes": 2, "tokens_per_batch": 4000}})
    composition.compose(project.folder / "params.yaml")


@pytest.mark.parametrize("written", ["4e-3", "4E-3", "'4e-3'", "0.004", "4.0e-3"])
def test_a_number_may_be_written_as_any_language_writes_it(project: Project, written: str) -> None:
    text = yaml.safe_dump(PARAMS | {"overrides": {"training.learning_rate": "HERE"}}).replace("HERE", written)
    (project.folder / "params.yaml").write_text(text)
    assert composition.compose(project.folder / "params.yaml").training.learning_rate == 0.004


def test_an_empty_grid_is_the_presets(project: Project) -> None:
    project.params(grid={})
    grid = composition.compose(project.folder / "params.yaml").grid
    assert grid.dataset == ("scenes_smoke_vqa", "scenes_smoke_ve")
    assert grid.seed == (1, 2)


def test_data_may_be_stored_anywhere(project: Project) -> None:
    project.conf("dataset/mine.yaml", DATASET.replace("source: scenes_smoke", "source: mine"))
    project.conf("source/mine.yaml", SOURCE.replace("path: there", "path: /data/there"))
    project.params(grid={**GRID, "dataset": ["mine"]})
    assert composition.compose(project.folder / "params.yaml").sources["mine"].path == "/data/there"
