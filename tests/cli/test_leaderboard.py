from pathlib import Path
from typing import Any

import pytest
import yaml

from vlkd_steps.cli import leaderboard
from vlkd_steps.core import checksums, layout


def finished(task: str, method: str) -> Path:
    """The folder of a run that was not evaluated on anything, from the current folder."""
    run = layout.run("mine", "toy", "vilt_toy", "some", "30", 1)
    run.mkdir(parents=True)
    (run / "model.safetensors").write_bytes(b"weights")
    checksums.write(layout.run_checksums(run, "distill"), [run / "model.safetensors"])
    described = {
        "experiment": "mine", "dataset": {"name": "toy", "task": task, "evaluation_sets": []}, "variant": "some",
        "student": {"name": "vilt_toy", "kind": "vilt"}, "method": {"name": method}, "shot": "30", "seed": 1,
        "training": {}, "run_key": "k", "content_key": "c", "made_of": {"code": "c", "split": "s", "instances": "i"},
    }  # fmt: skip
    layout.run_config(run).write_text(yaml.safe_dump(described))
    return run


@pytest.mark.parametrize(
    ("task", "method", "message"),
    [
        ("vqa", "clip_td", "is a run on vqa; the leaderboard is for VCR"),
        ("vcr", "clip_probe", "is a run of clip_probe, which trains no student; name a run of another variant"),
    ],
)
def test_a_run_without_scores_of_choices_is_refused(
    task: str, method: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert leaderboard.main([str(finished(task, method)), "--out", "x.csv"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("x.csv").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", "other weights", "model.safetensors is damaged, or was changed after it was made"),
        ("config.yaml", "dataset: [", "config.yaml cannot be read"),
        ("config.yaml", "method: {name: clip_td}", "config.yaml has no content_key"),
    ],
)
def test_a_damaged_run_is_named(
    name: str, content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    run = finished("vcr", "clip_td")
    (run / name).write_text(content)
    assert leaderboard.main([str(run), "--out", "x.csv"]) == 2
    assert f"{run}/{message}" in capsys.readouterr().err
