from pathlib import Path

import pytest

from vlkd_steps.core import files, layout
from vlkd_steps.reporting import timings


def test_targets_that_two_variants_share_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = layout.targets("toy", "clip_toy", "30", 1, "0" * 16)
    files.write_json(layout.targets_provenance(path), {"seconds": 2.5, "allocation": {"cpus": 4, "processes": 1}})
    run = {"dataset": "toy", "student": "s", "teacher": "clip_toy", "method": "clip_td", "shot": "30", "seed": 1}
    runs = [run | {"variant": variant, "targets": "0" * 16} for variant in ("clip_td", "other")]
    runs.append(run | {"variant": "finetune", "teacher": ""})
    rows = timings.timings("x", runs, {})
    assert [(row["step"], row["name"], row["seed"], row["seconds"]) for row in rows] == [("targets", str(path), 1, 2.5)]
    (total,) = timings.totals(rows)
    assert (total["step"], total["dataset"], total["what"], total["seconds"]) == ("targets", "toy", "clip_toy", 2.5)
