"""The whole run-book on small models; what it says of a GPU has to be seen on one."""

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vlkd_steps.cli import bench
from vlkd_steps.data.batches import Batch
from vlkd_steps.gpu_bench import cases, checks, distillation, runbook, timing
from vlkd_steps.gpu_bench.results import Line
from vlkd_steps.planning import sizes


@pytest.mark.slow
def test_the_run_book_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    assert bench.main(["gpu", "--tiny", "--device", "cpu", "--seconds", "0.02", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    names = [line["name"] for line in found["lines"]]
    assert names == [
        "CLIP of scenes, images", "CLIP of scenes, texts", "ViLT of scenes, finetune", "ViLT of scenes, clip_td",
        "UNITER of scenes, finetune", "UNITER of scenes, clip_td", "BART of scenes",
    ]  # fmt: skip
    for line in found["lines"]:
        assert line["items_per_second"] > 0
        assert line["share"] > 0  # of a peak that is measured beside other processes
        assert line["bare"] > 0
        assert line["waiting"] is None or 0 <= line["waiting"] <= 1
    resumed, determinism, together = found["checks"]
    assert (resumed["found"], resumed["good"]) == ("equal in every bit", True)
    assert "x the time" in determinism["found"]
    assert "x those of one" in together["found"]
    assert (found["tiny"], found["skipped"]) == (True, [])
    assert "| ViLT of scenes, clip_td | 16 |" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [out]


def test_what_memory_is_too_small_for_is_named_and_all_else_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def checked(*_: Any) -> Iterator[checks.Check]:
        yield checks.Check("resumed", "equal", True)
        raise torch.OutOfMemoryError("32 GiB are too many")

    line = Line("ViLT of scenes, clip_td", 16, 1.0, 0.1)
    monkeypatch.setattr(runbook, "cases", lambda settings: [("ViLT", lambda: iter([line]))])
    monkeypatch.setattr(checks, "all_of", checked)
    monkeypatch.setattr(checks.subprocess, "Popen", lambda *_, **__: Failed())
    out = tmp_path / "gpu.json"
    assert bench.main(["gpu", "--tiny", "--device", "cpu", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["skipped"] == ["checks: 32 GiB are too many"]
    assert [check["good"] for check in found["checks"]] == [True, None]
    assert "- not measured: checks: 32 GiB" in capsys.readouterr().err


class Failed:
    """A process that ran out of memory."""

    returncode = 1

    def communicate(self) -> tuple[str, None]:
        return "", None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cpu"], "add --tiny"),
        (["--device", "gpu"], "--device is 'gpu'"),
        (["--device", "cuda:1"], "CUDA_VISIBLE_DEVICES=1"),
        (["--tiny", "--device", "cpu", "--precision", "fp8"], "--precision is 'fp8'"),
        (["--tiny", "--device", "cpu", "--out", "nowhere/gpu.json"], "there is no folder nowhere"),
        (["--tiny", "--device", "cpu", "--out", "."], "--out . is a folder"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench.main(["gpu", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", cases.FULL.students, ids=lambda case: case.name)
def test_paper_size_students_are_those_of_conf(case: cases.Student) -> None:
    """They are built without memory; batches are filled to the budget of the recipe."""
    with sizes._meta():
        student = sizes.unweighted(cases.conf("student", case.conf), cases.task_with(case.head), ["x"] * case.labels)
    assert isinstance(student, nn.Module)
    width = {"vilt_b32": 768, "uniter_base": 768, "uniter_large": 1024}[case.conf]
    assert student.width == width
    row = case.text + case.regions
    assert case.batch or case.items * row <= case.tokens < (case.items + 1) * row


def test_a_students_memory_is_free_before_the_next_one_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    built, alive = weakref.WeakSet[nn.Module](), list[int]()
    own = distillation.built

    def noted(case: cases.Student) -> Any:
        built.add(student := own(case))
        return student

    def forget() -> None:
        gc.collect()
        alive.append(len(built))

    monkeypatch.setattr(distillation, "built", noted)
    monkeypatch.setattr(timing, "forget", forget)
    accelerator = checks.accelerated(torch.device("cpu"), "fp32")
    assert len(list(distillation.measured(cases.TINY.students[1], accelerator, 0.01))) == 2
    assert alive == [1, 1]


def test_accelerate_keeps_no_model_for_which_memory_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = checks.accelerated(torch.device("cpu"), "fp32")

    def train(model: nn.Module, *_: Any) -> None:
        accelerator.prepare(model)
        raise torch.OutOfMemoryError

    monkeypatch.setattr(distillation.loop, "train", train)
    with pytest.raises(torch.OutOfMemoryError):
        distillation.trained(nn.Linear(1, 1), lambda number: None, accelerator, 0.01)
    assert accelerator._models == []


def test_a_batch_is_a_function_of_its_number() -> None:
    case = cases.TINY.students[1]
    student = distillation.built(case)
    make = distillation.batches(case, student, distillation.features(case.text))
    first, again, other = make(3), make(3), make(4)

    def equal(a: Batch, b: Batch) -> bool:
        return all(bool((x == y).all()) for x, y in zip(a.tensors().values(), b.tensors().values(), strict=True))

    assert equal(first, again)
    assert not equal(first, other)
    assert len(first.inputs.tokens) == case.items * case.choices
    assert len(first.labels) == case.items
