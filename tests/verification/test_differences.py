"""How two outputs, or two journals, of a run and its repetition differ."""

import json
import math
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from vlkd_steps.verification import differences
from vlkd_steps.verification.differences import Parting, parting


def test_curves_part_at_the_first_other_step_and_losses_come_first() -> None:
    then = {"loss": {25: 1.0, 50: 0.5}, "dev/accuracy": {50: 10.0}, "step_ms": {25: 3.0}}
    assert parting(then, then | {"step_ms": {25: 4.0}}) is None
    assert parting(then, {"loss": {25: 1.0, 50: 0.4}, "dev/accuracy": {50: 9.0}}) == Parting(50, "loss", 0.5, 0.4)
    assert parting(then, {"loss": {25: 1.0}, "dev/accuracy": {50: 10.0}}) == Parting(50, "loss", 0.5, None)
    nan = {"loss": {25: math.nan}}
    assert parting(nan, {"loss": {25: math.nan}}) is None
    assert parting(nan, then) is not None


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({"a": torch.zeros(2)}, {"b": torch.zeros(2)}, "2 tensors are in only one of the files, such as a"),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, "the first is a (was float32 [2], is float32 [3])"),
        (
            {"a": torch.zeros(2), "b": torch.zeros(2, dtype=torch.bfloat16), "c": torch.zeros(1)},
            {"a": torch.zeros(2), "b": torch.tensor([0.5, 0], dtype=torch.bfloat16), "c": torch.full((1,), -2.0)},
            "2 of 3 tensors differ, the first is b (by at most 0.5); largest absolute difference 2",
        ),
        ({"a": torch.tensor(0.0)}, {"a": torch.tensor(-0.0)}, "1 of 1 tensors differ"),
    ],
)
def test_tensors(tmp_path: Path, then: dict[str, torch.Tensor], now: dict[str, torch.Tensor], said: str) -> None:
    save_file(then, tmp_path / "then.safetensors")
    save_file(now, tmp_path / "now.safetensors")
    assert said in differences._tensors(tmp_path / "then.safetensors", tmp_path / "now.safetensors")


def test_rows(tmp_path: Path) -> None:
    then, now = tmp_path / "then.parquet", tmp_path / "now.parquet"
    columns = {"instance_id": ["x", "y", "z"], "answer": ["red", None, "blue"], "probability": [0.5, 0.25, 1]}
    frame = pl.DataFrame(columns)
    frame.write_parquet(then)
    changed = {"answer": ["red", "no", "blue"], "probability": [0.5, 0.25, 0.875]}
    pl.DataFrame(columns | changed).write_parquet(now)
    assert differences._rows(then, now) == (
        "2 of 3 rows differ, the first is y: answer was None, is no; largest absolute difference 0.125"
    )
    frame.head(2).write_parquet(now)
    assert "was 3 rows" in differences._rows(then, now)


def test_json(tmp_path: Path) -> None:
    then, now = tmp_path / "then.json", tmp_path / "now.json"
    then.write_text(json.dumps({"test": {"accuracy": 50.0, "n": 2}}))
    now.write_text(json.dumps({"test": {"accuracy": 51.0, "n": 2}}))
    assert differences._json(then, now) == "1 values differ, the first is test.accuracy: was 50.0, is 51.0"


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet", ".json"])
def test_a_damaged_output_differs_by_its_bytes(tmp_path: Path, suffix: str) -> None:
    then, now = tmp_path / f"then{suffix}", tmp_path / f"now{suffix}"
    save_file({"a": torch.zeros(2)}, tmp_path / "now.safetensors")
    pl.DataFrame({"instance_id": ["x"]}).write_parquet(tmp_path / "now.parquet")
    (tmp_path / "now.json").write_text("{}")
    then.write_bytes(now.read_bytes()[:-1])
    assert f"the bytes differ from byte {then.stat().st_size} on" in differences._difference(then, now)
