"""An exported folder answers as its run did, by transformers alone where its class has the head; it appears whole."""

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor, ViltModel

from vlkd_steps.cli import export
from vlkd_steps.core import checksums, files, layout
from vlkd_steps.deployment import finished_run, model_card
from vlkd_steps.deployment.export import whole
from vlkd_steps.students import exported


@pytest.fixture
def job(job: dict[str, Any]) -> dict[str, Any]:
    job["student"]["head"] = "vilt"
    return job


def test_transformers_answers_as_evaluation_did(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export.main([str(run), "--out", str(out)]) == 0
    model, loaded = AutoModelForVisualQuestionAnswering.from_pretrained(out, output_loading_info=True)
    assert not any(loaded[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    processor = AutoProcessor.from_pretrained(out)
    rows = pl.read_parquet(layout.instances("toy"))
    compared = 0
    for name in ("dev", "test"):
        predictions = pl.read_parquet(layout.predictions(run, name)).join(rows, on="instance_id", how="left")
        for row in predictions.iter_rows(named=True):
            shown = processor(images=Image.open(row["image_path"]), text=row["text"], return_tensors="pt")
            with torch.inference_mode():
                probable = model(**shown).logits.sigmoid()[0]
            assert model.config.id2label[int(probable.argmax())] == row["answer"]
            assert float(probable.max()) == pytest.approx(row["probability"], abs=1e-5)
            compared += 1
    assert compared == 54


def test_images_of_another_size_are_resized_as_in_evaluation(run: Path, tmp_path: Path) -> None:
    out, photo = tmp_path / "out", tmp_path / "photo.png"
    assert export.main([str(run), "--out", str(out)]) == 0
    drawn = torch.rand(3, 9, 13, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(drawn[None], (90, 130), mode="bilinear")[0]
    Image.fromarray((smooth * 255).byte().permute(1, 2, 0).numpy()).save(photo)
    processor = AutoProcessor.from_pretrained(out)
    theirs = processor(images=Image.open(photo), text="what", return_tensors="pt")["pixel_values"][0]
    ours = finished_run.Pixels(photo, 32).image[0].float() / 127.5 - 1
    assert theirs.shape == ours.shape
    assert (theirs - ours).abs().max() * 127.5 < 2.5  # grey levels: torchvision's bicubic filter rounds elsewhere


def test_the_folder_loads_whole_as_our_student(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export.main([str(run), "--out", str(out)]) == 0
    held, ours = exported.load(out).state_dict(), finished_run.load(run).student.state_dict()
    assert held.keys() == ours.keys()
    assert all(torch.equal(held[name], ours[name]) for name in ours)
    assert {path.suffix for path in out.iterdir()} == {".json", ".md", ".safetensors"}
    listed = json.loads((out / "vlkd_export.json").read_text())["files"]
    assert set(listed) == {path.name for path in out.iterdir()}


def score(run: Path) -> None:
    """What `evaluate` leaves, as far as the card reads it."""
    files.write_json(layout.metrics(run), {"dev": {"accuracy": 12.5, "n": 24}})
    for name in ("dev", "test"):
        files.write_text(layout.scores(run, name), "")
    checksums.write(layout.run_checksums(run, "evaluate"), [layout.metrics(run)])


def test_the_card_has_the_runs_facts(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    score(run)
    assert export.main([str(run), "--out", str(out)]) == 0
    _, header, body = (out / "README.md").read_text().split("---\n", 2)
    card, recorded = yaml.safe_load(header), yaml.safe_load((run / "config.yaml").read_text())
    assert card["license"] == "unknown"
    assert card["library_name"] == "transformers"
    assert card["vlkd_steps"]["run_key"] == recorded["run_key"]
    assert card["vlkd_steps"] | {"dataset": "toy", "method": "finetune", "teacher": None} == card["vlkd_steps"]
    (result,) = card["model-index"][0]["results"]
    assert result["dataset"]["name"] == "toy, dev"
    assert result["metrics"] == [{"type": "accuracy", "value": 12.5, "name": "accuracy, seed 1"}]
    assert "| dev | accuracy | 12.50 |" in body
    assert "have not been compared" in body


def test_the_card_has_intervals_over_seeds_of_these_weights_alone(run: Path, tmp_path: Path) -> None:
    score(run)
    results = layout.results("toys")
    results.mkdir(parents=True)
    common = "toy,vilt_toy,finetune,finetune,,30,dev,accuracy"
    (results / "gains.csv").write_text(
        "dataset,student,variant,method,teacher,shot,evaluation_set,metric,seeds,n,images,mean,sd,reference_mean,gain,"
        f"gain_low,gain_high\n{common},1 2,24,24,12.5,1.25,10.0,2.5,1.0,4.0\n"
    )
    for key, expected in ((finished_run.load(run).described["run_key"], True), ("0" * 16, False)):
        (results / "summary.csv").write_text(
            f"dataset,student,variant,method,teacher,shot,evaluation_set,metric,seed,value,run_key\n{common},1,12.5,{key}\n"
        )
        text = model_card.card(finished_run.load(run), tmp_path)
        assert ("| dev | accuracy | 1 2 | 12.5 ± 1.2 | +2.5 [1.0, 4.0] |" in text) is expected
        assert ("from other weights" in text) is not expected


@pytest.mark.parametrize("name", ["s0", "s0/exported", "s0/../s0/a/b"])
def test_nothing_is_exported_into_a_runs_own_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s0").mkdir()
    assert export.main(["s0", "--out", name]) == 2
    assert "is in the run's own folder" in capsys.readouterr().err
    assert not list(Path("s0").iterdir())


def test_only_an_export_of_the_same_run_is_replaced(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    call = [str(run), "--out", str(out)]
    assert export.main(call) == 0
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert export.main(call) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    (out / "notes.txt").write_text("mine")
    assert export.main(call) == 2
    assert "contains notes.txt, which vlkd export did not write" in capsys.readouterr().err
    (out / "notes.txt").unlink()
    record = json.loads((out / "vlkd_export.json").read_text())
    (out / "vlkd_export.json").write_text(json.dumps(record | {"run": "runs/other"}))
    assert export.main(call) == 2
    assert "exists and is an export of runs/other; name a new folder" in capsys.readouterr().err
    (out / "vlkd_export.json").unlink()
    assert export.main(call) == 2
    assert "exists and is no export of this run" in capsys.readouterr().err

    def broken(*_: Any) -> str:
        raise RuntimeError("stop")

    monkeypatch.setattr(model_card, "card", broken)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert export.main([str(run), "--out", str(tmp_path / "new")]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_of_a_link_the_folder_that_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk/old").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk")
    with whole(tmp_path / "link") as made:
        (made / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["new"]


def test_a_file_for_onnx_gives_the_evaluations_answer(run: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "out"
    assert export.main([str(run), "--out", str(out), "--onnx"]) == 0
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    student = finished_run.load(run).student
    row = pl.read_parquet(layout.predictions(run, "test")).join(
        pl.read_parquet(layout.instances("toy")), on="instance_id"
    ).row(0, named=True)  # fmt: skip
    text = student.tokenizer(row["text"], padding="max_length", max_length=student.max_tokens, return_tensors="np")
    pixels = finished_run.Pixels(Path(row["image_path"]), student.image_size).image.numpy()
    tokens, mask = text["input_ids"], text["attention_mask"]
    (logits,) = session.run(None, {"tokens": tokens, "mask": mask, "types": 0 * mask, "images": pixels})
    assert student.labels[int(logits[0].argmax())] == row["answer"]
    assert float(torch.from_numpy(logits).sigmoid().max()) == pytest.approx(row["probability"], abs=1e-4)


def test_without_the_extra_onnx_nothing_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert export.main([str(run), "--out", str(tmp_path / "out"), "--onnx"]) == 2
    assert "--onnx needs onnxruntime: pip install 'vlkd-steps[onnx]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class TestWithTheOtherHead:
    @pytest.fixture
    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        del job["student"]["head"]
        return job

    def test_the_encoder_is_transformers_and_the_head_is_beside_it(self, run: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        assert export.main([str(run), "--out", str(out)]) == 0
        assert json.loads((out / "config.json").read_text())["architectures"] == ["ViltModel"]
        assert "from transformers import ViltModel" in (out / "README.md").read_text()
        student, ours = exported.load(out), finished_run.load(run).student
        assert isinstance(student.vilt, ViltModel)
        assert all(torch.equal(value, ours.state_dict()[name]) for name, value in student.state_dict().items())
        with safe_open(out / "head.safetensors", framework="pt") as rest:
            assert {name.partition(".")[0] for name in rest.keys()} == {"head"}  # noqa: SIM118


def test_the_card_says_what_training_started_from_and_what_the_student_reads(run: Path, tmp_path: Path) -> None:
    model = finished_run.load(run)
    assert "from scratch, trained for" in model_card.card(model, tmp_path)
    model.described["init"] = {"dataset": "captions", "student": "vilt_toy", "variant": "vlkd", "shot": "full"}
    model.described["student"]["regions"] = "boxes"
    text = model_card.card(model, tmp_path)
    assert "from the model of variant `vlkd` on `captions` (shot full, same seed), trained for" in text
    assert "It reads regions of `boxes` instead of pixels." in text
