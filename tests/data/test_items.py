from pathlib import Path

import polars as pl
import pytest
import torch
from toy_project import write_split

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.items import from_frame, read_items

LABELS = ["blue", "green", "grey", "red"]


def test_items_keep_the_splits_order_and_store_what_is_shared_once(project: Path) -> None:
    items = read_items(layout.instances("toy"), layout.eval_split("toy", "test"), LABELS)
    assert items.ids == [f"test-{n:03d}" for n in range(30)]
    assert items.texts == ["what color is the thing", "is the small thing in here red"]
    assert items.text_rows.tolist() == [0, 1] * 15
    assert items.soft_labels()[5].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_soft_labels_of_several_answers_one_and_none() -> None:
    frame = pl.DataFrame(
        {
            "instance_id": ["a", "b", "c"],
            "image_id": ["i", "i", "i"],
            "image_path": ["i.png"] * 3,
            "text": ["x"] * 3,
            "label": [1, None, 0],
            "soft_labels": [[{"label": 0, "score": 0.3}, {"label": 1, "score": 1.0}], [], []],
        },
        schema_overrides={"soft_labels": pl.List(pl.Struct({"label": pl.Int64, "score": pl.Float64}))},
    )
    items = from_frame(frame, ["no", "yes"])
    # A hard label without soft ones counts in full; a question without any stays a row of zeros.
    torch.testing.assert_close(items.soft_labels(), torch.tensor([[0.3, 1.0], [0.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(items.soft_labels(torch.tensor([2])), torch.tensor([[1.0, 0.0]]))


def test_a_split_older_than_the_instances_is_refused(project: Path) -> None:
    layout.eval_split("toy", "test").unlink()
    write_split(layout.eval_split("toy", "test"), pl.Series(["test-001", "gone-7"]))
    with pytest.raises(UserError, match=r"lists 1 instances that .* does not have, 'gone-7' among"):
        read_items(layout.instances("toy"), layout.eval_split("toy", "test"), LABELS)
