"""The files of benchmarks that measure what was forgotten: what they hold, or a message."""

from pathlib import Path

import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.runs import forgetting

COLUMNS = ["sentence", "label"]


def test_cells_are_read_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("sentence,label\n007,1\n1e3,0\n")
    assert forgetting.read(tmp_path, "train", 5, COLUMNS) == [
        {"sentence": "007", "label": "1"},
        {"sentence": "1e3", "label": "0"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.jsonl",
            '{"sentence": "a", "label": 1}\n{"sentence": null, "label": 0}\n',
            "record 1: sentence is empty",
        ),
        ("train.csv", "sentence,label\na,\n", "record 0: label is empty"),
        ("train.csv", "sentence,label\n", "holds no record"),
        ("train.csv", "text,label\na,1\n", "has no column 'sentence'"),
    ],
)
def test_records_that_cannot_be_measured_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=rf"{name}.* {message}"):
        forgetting.read(tmp_path, "train", 5, COLUMNS)
