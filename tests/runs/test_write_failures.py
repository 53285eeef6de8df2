"""A write that fails, at any write of a run: the same command then ends in the bytes of an undisturbed run."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.core import layout
from vlkd_steps.steps import distill
from vlkd_steps.tracking.journal import Journal, by_run, owner, read

RUN = layout.run("toys", "toy", "vilt_toy", "finetune", "30", 1)


class FullDisk:
    """Lets `left` writes pass and fails one: the renames of `files.atomic`, and the journal's lines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.hit = -1, ""
        monkeypatch.setattr(os, "replace", self.wrapped(os.replace))
        monkeypatch.setattr(Journal, "append", self.wrapped(Journal.append))

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                self.hit = str(arguments[1])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.hit)
            return function(*arguments, **more)

        return write


def outputs() -> dict[str, bytes]:
    apart = ("journal.jsonl", "provenance.json", "lock")
    return {str(p): p.read_bytes() for p in sorted(RUN.rglob("*")) if p.is_file() and p.name not in apart}


def events() -> list[str]:
    return [event["event"] for event in by_run(read(layout.journal(RUN)))[str(owner(RUN))]]


def distilled(job: dict[str, Any]) -> int:
    return distill.main(["--config", json.dumps(job)])


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_every_write_may_fail(
    every: int,
    project: Path,
    job: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job["training"] |= {"steps": 4, "evaluate_every": 2, "checkpoint_every": 2}
    disk = FullDisk(monkeypatch)
    assert distilled(job) == 0
    expected, failed = outputs(), []
    assert f"{RUN}/model.safetensors" in expected
    for number in range(0, 300, every):
        shutil.rmtree(RUN)
        disk.left, disk.hit = number, ""
        status = distilled(job)
        if not disk.hit:
            break
        failed.append(disk.hit)
        assert status != 0, disk.hit
        assert disk.hit in capsys.readouterr().err
        assert distilled(job) == 0, disk.hit
        assert outputs() == expected, disk.hit
        assert events()[-1] == "end", disk.hit
        assert layout.provenance(RUN).is_file(), disk.hit
    assert len(failed) > 12 // every
    if every == 1:
        assert {"start", "metrics", "evaluation", "end"} <= set(failed)
        assert {Path(name).name for name in failed} >= {"model.safetensors", "provenance.json", "distill.sha256"}
