"""Students that see regions in the composed configuration: what they need, and what their jobs get."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from vlkd_steps.config import composition, jobs, step_code
from vlkd_steps.config.models import kinds
from vlkd_steps.config.models.composition import Cell
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.preset import Training, Variant

GRID = {
    "dataset": ["scenes_smoke_vqa"],
    "student": ["uniter_scenes", "visual_bert_scenes", "vilt_scenes"],
    "variant": ["finetune", "clip_td"],
    "shot": [40],
    "seed": [1],
}


@pytest.fixture
def params(tmp_path: Path):
    def write(**grid: object) -> Path:
        path = tmp_path / "params.yaml"
        params = {"experiment": "scenes_smoke", "grid": {**GRID, **grid}}
        path.write_text(yaml.safe_dump(params))
        return path

    return write


def test_their_extractor_is_an_artifact_of_the_grid(params) -> None:
    composed = composition.compose(params())
    assert composed.artifacts.teacher == ["boxes_scenes", "clip_scenes"]
    assert "boxes_scenes" in composed.teachers
    assert composition.compose(params(student=["vilt_scenes"])).artifacts.teacher == ["clip_scenes"]


def test_regions_are_extracted_for_all_roles_and_features_for_training_alone(params) -> None:
    composed = composition.compose(params())
    seen = jobs.extract(composed, "boxes_scenes", "scenes_smoke_vqa")
    assert set(seen["dataset"]["roles"]) == {"train", "dev", "test", "unseen_pairs", "other_style"}
    assert set(jobs.extract(composed, "clip_scenes", "scenes_smoke_vqa")["dataset"]["roles"]) == {"train"}
    assert step_code.code(composed, "extract", teacher="boxes_scenes")


def test_a_run_reads_its_students_regions(params) -> None:
    composed = composition.compose(params())
    manifest = "features/boxes_scenes/scenes_smoke_vqa/manifest.json"
    assert jobs.regions_of(composed, "uniter_scenes", "scenes_smoke_vqa") == [manifest]
    assert jobs.regions_of(composed, "vilt_scenes", "scenes_smoke_vqa") == []
    job = jobs.distill(composed, Cell("scenes_smoke_vqa", "visual_bert_scenes", "finetune", "40"))
    assert job["student"]["regions"] == "boxes_scenes"
    assert step_code.code(composed, "distill", dataset="scenes_smoke_vqa", variant="finetune", student="uniter_scenes")


@pytest.mark.parametrize("name", ["uniter_base", "uniter_large", "villa_base", "villa_large"])
def test_official_students_take_each_tasks_weights_and_files(name: str) -> None:
    conf = yaml.safe_load((composition.CONF / "student" / f"{name}.yaml").read_text())
    extractor = yaml.safe_load((composition.CONF / "teacher" / f"{conf['regions']}.yaml").read_text())
    datasets = {
        dataset: Dataset.model_construct(name=dataset, task=task, evaluation_sets=(), roles={})
        for dataset, task in (("vcr", "vcr"), ("vqa_v2", "vqa"))
    }
    c = SimpleNamespace(
        experiment="x",
        students={name: kinds.model("student", conf["kind"]).model_validate(conf)},
        teachers={extractor["name"]: kinds.model("teacher", extractor["kind"]).model_validate(extractor)},
        variants={"finetune": Variant(method="finetune")},
        methods={"finetune": declaration("finetune").settings(name="finetune")},
        grid=SimpleNamespace(seed=[1]),
        training=Training(steps=1, batch_size=1, learning_rate=1),
        datasets=datasets,
        extra_evals={},
        members=(),
        overrides=(),
    )
    weights = {d: jobs.distill(c, Cell(d, name, "finetune", "40"))["student"] for d in ("vcr", "vqa_v2")}
    assert "2nd" in weights["vcr"]["weights"]
    assert weights["vqa_v2"]["weights"] == conf["weights"]
    assert not {"recipe", "by_task"} & set(weights["vcr"])
    read = {d: jobs.extract(c, extractor["name"], d)["teacher"] for d in ("vcr", "vqa_v2")}
    assert len(read["vcr"]["parts"]) == 2
    assert read["vqa_v2"]["key"] == "coco_{folder}_{number:012d}.npz"
    assert "by_dataset" not in read["vcr"]
    for task, gpus in {"vqa": 8 if "large" in name else 4, "entailment": 4 if "large" in name else 2, "vcr": 4}.items():
        recipe = conf["recipe"][task]
        assert recipe["tokens_per_batch"] % 8 == 0
        assert recipe["clip"] * recipe["accumulation"] / gpus == pytest.approx(2.0)  # of a sum over a GPU's batches
