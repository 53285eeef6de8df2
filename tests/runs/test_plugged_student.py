"""A student that sees its teacher's patches, through the real extraction and the real training step."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from vlkd_steps.cli import ask, export
from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded
from vlkd_steps.data.items import read_items
from vlkd_steps.deployment import finished_run
from vlkd_steps.steps import distill, extract
from vlkd_steps.students import exported, vilt
from vlkd_steps.students.seen_patches import PatchSight, plugged_width
from vlkd_steps.teachers.features.store import FeatureStore


@pytest.fixture
def eyes(project: Path, job: dict[str, Any]) -> dict[str, Any]:
    """The job of a plug_in run whose teacher's patches are extracted."""
    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet").state_dict(), "eyes.safetensors")
    teacher = {"name": "eyes", "kind": "vision", "model": "test_efficientnet", "weights": "eyes.safetensors"}
    teacher |= {"image_size": 96, "patches": True, "splits": "used", "device": "cpu"}
    dataset = {"name": "toy", "roles": {name: {"split": name} for name in ("train", "dev", "test")}}
    assert extract.main(["--config", json.dumps({"teacher": teacher, "dataset": dataset})]) == 0
    return job | {
        "variant": "plug_in",
        "method": {"name": "plug_in"},
        "teacher": {"name": "eyes", "kind": "vision"},
    }


def test_it_trains_predicts_and_needs_patches_at_inference(eyes: dict[str, Any]) -> None:
    assert distill.main(["--config", json.dumps(eyes)]) == 0
    folder = layout.run("toys", "toy", "vilt_toy", "plug_in", "30", 1)
    student = vilt.load(folder / "model.safetensors")
    store = FeatureStore.open(layout.features("eyes", "toy"))
    assert student.visual_width == store.patch_shape[1] == plugged_width(store, "eyes")
    items = read_items(layout.instances("toy"), layout.eval_split("toy", "dev"), student.labels)
    data = Encoded(items, student.tokenizer, 16, 32, sight=PatchSight(store, items.image_ids))
    inputs = data.batch(torch.arange(3)).inputs
    assert inputs.images is None
    with torch.inference_mode():
        output = student(inputs)
        assert output.visual.shape == (3, 9, student.width)  # 96 pixels, stride 32; its own grid would be 2 x 2
        other = student(data.batch(torch.tensor([0, 4, 5])).inputs)
    torch.testing.assert_close(output.logits[0], other.logits[0])
    assert not torch.equal(output.logits[1], other.logits[1])  # the image matters
    frozen = student.vilt.embeddings.patch_embeddings.projection.weight
    started = vilt.build(eyes["student"], "vqa", student.labels, seed=1)
    assert torch.equal(frozen, started.vilt.embeddings.patch_embeddings.projection.weight)


def test_a_finished_run_answers_as_it_did_in_evaluation_and_is_exported(
    eyes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distill.main(["--config", json.dumps(eyes)]) == 0
    folder = layout.run("toys", "toy", "vilt_toy", "plug_in", "30", 1)
    model = finished_run.load(folder)
    rows = pl.read_parquet(layout.predictions(folder, "test")).join(
        pl.read_parquet(layout.instances("toy")), on="instance_id"
    )
    for row in rows.head(6).iter_rows(named=True):
        best = model.answers(finished_run.Query(Path(row["image_path"]), row["text"]), 1)[0]
        assert (best.text, best.probability) == (row["answer"], pytest.approx(row["probability"], abs=1e-5))
    assert export.main([str(folder), "--out", "out"]) == 0
    loaded = exported.load(Path("out"))
    assert loaded.visual_width == model.student.visual_width
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.student.state_dict().items())
    assert "reads the patches of its teacher `eyes` instead of pixels" in Path("out/README.md").read_text()
    capsys.readouterr()
    assert export.main([str(folder), "--out", "onnx", "--onnx"]) == 2
    assert "--onnx is for students with pixel input" in capsys.readouterr().err
    Image.new("RGB", (9, 9)).save("own.png")
    assert ask.main([str(folder), "--image", "own.png", "what color is it"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "its student reads its teacher's features, which were extracted only for the images of toy" in said
    manifest = layout.features_manifest("eyes", "toy")
    files.write_json(manifest, files.read_json(manifest) | {"key": "0" * 64})  # as after another extraction
    with pytest.raises(UserError, match=r"these features are others than those that runs/.* was trained with"):
        model.answers(finished_run.Query(Path(row["image_path"]), row["text"]))


def test_the_sight_is_the_same_from_memory_and_from_disk(eyes: dict[str, Any]) -> None:
    store = FeatureStore.open(layout.features("eyes", "toy"))
    names = [f"train{n // 2}-{n}" for n in range(6)]
    rows = torch.tensor([5, 0, 5])
    near, far = (PatchSight(store, names, limit).batch(rows)["regions"] for limit in (1 << 20, 0))
    assert torch.equal(near.features, far.features)
    assert near.features.shape[:2] == near.mask.shape == near.locations.shape[:2] == (3, 9)
    assert torch.equal(near.features, torch.from_numpy(store.patches([names[n] for n in (5, 0, 5)])))


def test_a_teacher_without_patches_or_without_the_evaluated_images(eyes: dict[str, Any], capsys: Any) -> None:
    store = FeatureStore.open(layout.features("eyes", "toy"))
    with pytest.raises(UserError, match="have no image 'elsewhere'"):
        PatchSight(store, ["elsewhere"])
    assert distill.main(["--config", json.dumps(eyes | {"teacher": None})]) == 2
    assert "method plug_in needs a teacher; name one" in capsys.readouterr().err
