from pathlib import Path
from typing import Any

import pytest
import yaml

from vlkd_steps.cli import leaderboard


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
    run = Path("runs/mine/toy/vilt_toy/some/30/s1")
    run.mkdir(parents=True)
    (run / "model.safetensors").touch()
    (run / "config.yaml").write_text(
        yaml.safe_dump({"dataset": {"name": "toy", "task": task}, "method": {"name": method}})
    )
    assert leaderboard.main([str(run), "--out", "x.csv"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("x.csv").exists()
