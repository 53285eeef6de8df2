"""A tracked run's student, loaded by MLflow."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vlkd_steps.cli import track
from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.tracking import artifacts
from vlkd_steps.tracking.student_model import Example


@pytest.fixture
def tracked_id(run: Path, uri: str) -> Iterator[str]:
    """The id in MLflow of the run."""
    assert track.main(["toys", "--tracking-uri", uri]) == 0
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    (found,) = mlflow.search_runs(experiment_names=["toys"], filter_string="params.seed = '1'", output_format="list")
    yield found.info.run_id
    mlflow.set_tracking_uri(before)


def test_it_answers_as_the_run_did_from_any_folder_and_can_be_registered(
    run: Path, tracked_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    predicted = pl.read_parquet(layout.instances("toy")).join(
        pl.read_parquet(layout.predictions(run, "test")), on="instance_id", how="right"
    )
    items: Any = predicted.select("text", image="image_path").to_pandas()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    model = mlflow.pyfunc.load_model(f"runs:/{tracked_id}/student")
    answers = model.predict(items)
    assert answers["answer"].to_list() == predicted["answer"].to_list()
    assert answers["probability"].to_list() == pytest.approx(predicted["probability"].to_list(), abs=1e-5)
    example = model.input_example
    assert example.to_dict("records") == [{"image": "data/raw/toy/train0.png", "text": "what color is the thing"}]
    assert model.predict(example)["answer"][0] in ("red", "green", "blue", "grey")
    assert mlflow.register_model(f"runs:/{tracked_id}/student", "toy_student").version in (1, "1")
    registered = mlflow.pyfunc.load_model("models:/toy_student/1")
    assert registered.metadata.signature.inputs.input_names() == ["image", "text", "answer", "choices"]
    assert registered.predict(example)["answer"][0] == model.predict(example)["answer"][0]


def test_the_weights_are_not_copied_and_another_run_in_their_place_is_refused(
    run: Path, tracked_id: str, tmp_path: Path
) -> None:
    import mlflow

    (stored,) = (tmp_path / "mlartifacts").glob(f"toys/{tracked_id}/artifacts/student")
    assert sum(path.stat().st_size for path in stored.rglob("*")) < 40_000
    assert not list(stored.rglob("*.safetensors"))
    reference = json.loads((stored / "data" / "run.json").read_text())
    assert (reference["run"], reference["project"]) == (str(run), str(tmp_path))
    config = layout.run_config(run)
    config.write_text(config.read_text().replace(reference["run_key"], "0" * 16))
    with pytest.raises(UserError, match=reference["run_key"]):
        mlflow.pyfunc.load_model(f"runs:/{tracked_id}/student")
    config.write_text("a: [")
    with pytest.raises(UserError, match=reference["run_key"]):
        mlflow.pyfunc.load_model(f"runs:/{tracked_id}/student")
    assert "vlkd-steps[pipeline]" in (stored / "requirements.txt").read_text()  # without it there is no torch
    shutil.rmtree(run)
    with pytest.raises(UserError, match="dvc pull"):
        mlflow.pyfunc.load_model(f"runs:/{tracked_id}/student")


def test_the_example_of_captions_asks_no_question(project: Path) -> None:
    """With a text a student answers it instead of writing a caption."""
    assert artifacts._first_item("toy", 1).text
    files.write_json(layout.labels("toy"), [])
    assert artifacts._first_item("toy", 2) == Example("data/raw/toy/train0.png")
