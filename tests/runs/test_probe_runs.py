"""Runs of clip_probe: a probe on stored features, in the layout of a student's runs."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from scipy import sparse

from vlkd_steps.cli import main
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.items import Items, from_frame, read_items
from vlkd_steps.runs import probe as runs
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.steps import distill
from vlkd_steps.teachers.targets import confidence, probe
from vlkd_steps.tracking import records, student_model


class Store:
    """Vectors drawn by name, so that equal names have equal vectors."""

    def images(self, names: list[str]) -> np.ndarray:
        return np.stack([np.random.default_rng(sum(map(ord, name))).normal(size=6) for name in names]).astype(
            np.float32
        )

    texts = images


@pytest.fixture
def items(project: Path) -> Items:
    labels = json.loads(layout.labels("toy").read_text())
    return read_items(layout.instances("toy"), layout.train_split("toy", "30", 1), labels)


def test_it_is_the_probe_of_the_weights_on_the_whole_split(items: Items) -> None:
    fitted = runs.fit(items, Store(), 10_000, seed=1)
    v, u = Store().images(items.image_ids), Store().texts(items.texts)
    seen = confidence.probe_features(v[items.image_rows.numpy()], u[items.text_rows.numpy()])
    likely = probe.fit(seen, runs.compute.sparse_labels(items)).probabilities(seen)
    found, sure = fitted.answers(items, Store())
    assert found.tolist() == likely.argmax(1).tolist()
    assert sure == pytest.approx(likely.max(1), abs=1e-5)
    assert (found == items.label_ids[:, 0].numpy()).mean() > 0.5  # of four classes


def test_items_without_an_answer_do_not_shift_the_others(items: Items) -> None:
    """A third of the items has its answer outside the vocabulary, as some questions of VQA v2 have."""
    scores = items.label_scores.clone()
    scores[::3] = 0
    some = dataclasses.replace(items, label_scores=scores)
    kept = np.flatnonzero(scores[:, 0].numpy())
    fitted = runs.fit(some, Store(), 10_000, seed=1).probe
    v, u = Store().images(items.image_ids), Store().texts(items.texts)
    seen = confidence.probe_features(v[items.image_rows.numpy()], u[items.text_rows.numpy()])[kept]
    soft = items.soft_labels().double().numpy()[kept]
    expected = probe.fit(seen.astype(np.float32), sparse.csr_matrix(soft))
    np.testing.assert_allclose(fitted.weights, expected.weights, atol=1e-4)


def test_a_class_without_an_item_is_never_answered_and_one_class_always(items: Items) -> None:
    only = dataclasses.replace(items, label_ids=items.label_ids.clone().fill_(2))
    found, sure = runs.fit(only, Store(), 10_000, seed=1).answers(items, Store())
    assert set(found.tolist()) == {2}
    assert set(sure.tolist()) == {1}
    with pytest.raises(UserError, match="none of the 30 training items has an answer in the vocabulary"):
        runs.fit(dataclasses.replace(items, label_scores=items.label_scores * 0), Store(), 10_000, seed=1)


def test_so_many_items_at_most_are_fitted(items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    fit = probe.fit
    monkeypatch.setattr(probe, "fit", lambda features, soft: fitted.append(len(features)) or fit(features, soft))
    runs.fit(items, Store(), 12, seed=1)
    assert fitted == [12]


def test_of_choices_the_likeliest_to_be_right_is_the_answer(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    read = [["red", "green", "blue", "grey"][shift:] + ["red", "green", "blue", "grey"][:shift] for shift in (0, 1, 2)]
    frame = pl.DataFrame(
        {
            "instance_id": [f"i{n}" for n in range(12)],
            "image_id": [f"m{n}" for n in range(12)],
            "image_path": [str(tmp_path / "a.png")] * 12,
            "text": ["what is it"] * 12,
            "choices": [read[n % 3] for n in range(12)],
            "label": [[0, 3, 2][n % 3] for n in range(12)],  # always red
            "soft_labels": [[{"label": [0, 3, 2][n % 3], "score": 1.0}] for n in range(12)],
            "answer_type": ["answer"] * 12,
            "extra": ["{}"] * 12,
        }
    )
    asked = from_frame(frame, ["0", "1", "2", "3"])
    found, sure = runs.fit(asked, Store(), 10_000, seed=1).answers(asked, Store())
    assert found.tolist() == [0, 3, 2] * 4
    assert (sure > 0.5).all()


def test_a_run_has_the_files_of_a_students_run_and_needs_no_student(
    project: Path, job: dict[str, Any], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = job | {"variant": "clip_probe", "method": {"name": "clip_probe", "probe_items": 10_000}}
    assert distill.main(["--config", json.dumps(config)]) == 2
    assert "method clip_probe needs a teacher; name one" in capsys.readouterr().err
    monkeypatch.setattr(runs, "stored", lambda _: Store())
    assert distill.main(["--config", json.dumps(config)]) == 0
    folder = layout.run("toys", "toy", "vilt_toy", "clip_probe", "30", 1)
    tensors = load_file(folder / "model.safetensors")
    shapes = {"mean": (18,), "scale": (18,), "weights": (18, 4), "bias": (4,), "classes": (4,)}
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes
    dev = pl.read_parquet(folder / "predictions" / "dev.parquet")
    assert dev.columns == ["instance_id", "prediction", "answer", "probability"]
    assert len(dev) == 24
    assert RunDir.of(config, 1).finished()
    before = (folder / "predictions" / "test.parquet").read_bytes()
    for command in (["ask", str(folder), "--image", "x.png", "what"], ["export", str(folder), "--out", "out"],
                    ["demo", str(folder)]):  # fmt: skip
        capsys.readouterr()
        assert main.main(command) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert "s1 is a run of clip_probe, which trains no student; name a run of another variant" in said
    assert [student_model.has(record) for record in records.read(folder)] == [False]
    (folder / "predictions" / "test.parquet").unlink()
    assert distill.main(["--config", json.dumps(config)]) == 0  # published again
    assert (folder / "predictions" / "test.parquet").read_bytes() == before


def test_another_files_tensors_are_no_probe(tmp_path: Path) -> None:
    save_file({"weights": np.zeros((3, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"model.safetensors has no probe \(it has weights\); train its run again"):
        runs.Fitted.load(tmp_path / "model.safetensors")
