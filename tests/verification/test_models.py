"""`vlkd verify models/NAME`: a model that `pretrain` made is trained again and compared; its files are verified."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from toy_project import LABELS, write_instances

from vlkd_steps.cli import verify
from vlkd_steps.core import artifacts, checksums, files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.runs.model_dir import ModelDir
from vlkd_steps.steps import pretrain

FOLDER = layout.model("vilt_toy")


@pytest.fixture
def config(project: Path, job: dict[str, Any]) -> dict[str, Any]:
    """A `pretrain` job's model: a small ViLT on captions that name the colour of each toy image."""
    frame = pl.read_parquet(layout.instances("toy"))
    captions = {"text": pl.Series(LABELS).gather(frame["label"]), "label": pl.lit(None, pl.Int64)}
    write_instances("captions", frame.with_columns(**captions, soft_labels=pl.lit([], frame.schema["soft_labels"])))
    making = {"corpus": "captions", "split": "train", "seed": 0, "mask_rate": 0.3, "mismatched": 0.5}
    recipe = {"steps": 2, "batch_size": 4, "learning_rate": 0.01, "precision": "fp32"}
    return job["student"] | {"pretrain": making | recipe}


@pytest.fixture
def made(config: dict[str, Any]) -> dict[str, Any]:
    """The same, with its folder as a training leaves it."""
    model = ModelDir.of(config)
    for name in ("model.safetensors", "config.json", "curve.json"):
        files.write_text(model.kept / name, name)
    checksums.write(model.kept / "pretrain.sha256", sorted(model.kept.iterdir()))
    assert pretrain.main(["--config", json.dumps({"model": config})]) == 0
    return config


def refused(capsys: pytest.CaptureFixture[str], path: Path | str = FOLDER) -> str:
    assert verify.main([str(path)]) == 2
    return capsys.readouterr().err


@pytest.mark.exhaustive
def test_a_model_that_repeats_itself_is_equal_and_a_changed_one_is_not(
    config: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert pretrain.main(["--config", json.dumps({"model": config})]) == 0
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert verify.main([str(FOLDER)]) == 0
    printed = capfd.readouterr().out
    assert printed.startswith(f"equal: {FOLDER}\n")
    assert "files have equal bytes: config.json, curve.json, model.safetensors" in printed
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.exhaustive
def test_an_edited_recipe_is_a_cause_of_other_bytes(config: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert pretrain.main(["--config", json.dumps({"model": config})]) == 0
    path = layout.model_config("vilt_toy")
    described = yaml.safe_load(path.read_text())
    described["model"]["pretrain"]["learning_rate"] = 0.02
    files.write_text(path, yaml.safe_dump(described))
    assert verify.main([str(FOLDER)]) == 1
    printed = capfd.readouterr().out
    assert "model.safetensors: " in printed
    assert f"likely cause: content key of {path}, which was changed after training" in printed


def test_config_yaml_says_what_it_was_made_of_and_the_list_has_every_file(made: dict[str, Any]) -> None:
    described = yaml.safe_load(layout.model_config("vilt_toy").read_text())
    assert described["model"] == made
    assert described["made_of"]["pretrain.corpus"] == files.sha256(layout.instances("captions"))
    assert described["made_of"]["vocabulary"] == files.sha256(Path("words.txt"))
    assert described["content_key"] == ModelDir.of(made).key
    listed = {path.name for path in checksums.read(layout.model_checksums("vilt_toy"))}
    assert listed == {"config.json", "config.yaml", "curve.json", "model.safetensors"}


def test_another_corpus_is_named_before_anything_is_trained(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_instances("captions", pl.read_parquet(layout.instances("captions"))[1:])
    said = refused(capsys)
    assert f"{FOLDER} cannot be verified: its inputs have changed" in said
    assert "data/instances/captions.parquet: recorded" in said
    assert "made_of.pretrain.corpus" in said
    image = next(Path("data/raw/toy").glob("train*.png"))
    image.unlink()
    assert f"{image}: missing" in refused(capsys)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "config.yaml"])
def test_readers_notice_a_damaged_file(made: dict[str, Any], name: str) -> None:
    path = FOLDER / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=f"{path} is damaged.*differs from that in models/vilt_toy/pretrain.sha256"):
        artifacts.model(FOLDER)


def test_a_damaged_copy_is_not_published(made: dict[str, Any]) -> None:
    model = ModelDir.of(made)
    assert model.finished()
    (model.kept / "model.safetensors").write_bytes(b"model.safetensorz")
    assert not ModelDir.of(made).finished()


def test_what_is_no_finished_model_is_refused(made: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no model models/vilt_tou; did you mean 'vilt_toy'?" in refused(capsys, "models/vilt_tou")
    (FOLDER / "model.safetensors").unlink()
    assert "models/vilt_toy is not finished: model.safetensors is missing" in refused(capsys)
    FOLDER.rename("models/other")
    assert "models/other has the model vilt_toy" in refused(capsys, "models/other")
    Path("models/other/config.yaml").unlink()
    assert "it has no config.yaml; make it: snakemake --cores all models/other/config.yaml" in (
        refused(capsys, "models/other")
    )
    layout.model("official").mkdir()
    assert "models/official is not a finished model of `pretrain`" in refused(capsys, "models/official")
