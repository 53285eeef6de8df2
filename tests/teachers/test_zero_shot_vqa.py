import json

import numpy as np
import polars as pl
import pytest
from sealed import seal

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.teachers.models import zero_shot_vqa

LABELS = ["blue", "circle", "red", "star", "yes"]


class Oracle:
    """Images are named after what they show, and look like the mean of its words."""

    def load_image(self, path):
        return path.stem.split("_")[0].split("-")

    def embed_images(self, images):
        return np.stack([np.mean([self.text_vectors([word])[0] for word in words], axis=0) for words in images])

    def text_vectors(self, texts):
        return np.array([[word in text.split() for word in LABELS] for text in texts], np.float32) + 0.01


def rows(*items: tuple[str, str, str, str]) -> pl.DataFrame:
    frame = pl.DataFrame(items, schema=["split", "image_path", "group", "label"], orient="row")
    return frame.with_columns(pl.col("label").map_elements(LABELS.index, return_dtype=pl.Int64))


TRAIN = (
    ("train", "red-star_0.png", "what color", "red"),
    ("train", "blue-star_0.png", "what color", "blue"),
    ("train", "red-star_1.png", "what shape", "star"),
    ("train", "red-circle_1.png", "what shape", "circle"),
)


def test_answers_come_from_the_questions_group() -> None:
    table = rows(
        *TRAIN,
        ("test", "blue-circle_2.png", "what color", "blue"),
        ("test", "blue-circle_2.png", "what shape", "circle"),
        ("test", "blue-circle_3.png", "what shape", "star"),
        ("test", "blue-circle_3.png", "never seen", "star"),
    )
    result = zero_shot_vqa.accuracy(Oracle(), table, LABELS, "test")
    assert result == {"all": 0.5, "never seen": 0.0, "what color": 1.0, "what shape": 0.5}


def test_step_reads_a_prepared_data_set(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zero_shot_vqa.clip, "load", lambda config: Oracle())
    layout.instances("toy").parent.mkdir(parents=True)
    table = rows(*TRAIN, ("test", "red-star_4.png", "what color", "red"), ("test", "x_5.png", "is it", "yes"))
    kinds = pl.when(pl.col("group") == "is it").then(pl.lit("yes/no")).otherwise(pl.lit("other"))
    table.with_columns(kinds.alias("answer_type")).write_parquet(layout.instances("toy"))
    layout.labels("toy").write_text(json.dumps(LABELS))
    seal()
    config = {"teacher": {}, "dataset": {"name": "toy"}, "split": "test"}
    assert zero_shot_vqa.main(["--config", json.dumps(config)]) == 0
    assert capsys.readouterr().err.split("\n")[0].split() == ["100.0", "%", "all"]


def test_a_data_set_that_is_not_prepared(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    config = {"teacher": {}, "dataset": {"name": "toy"}, "split": "test"}
    assert zero_shot_vqa.main(["--config", json.dumps(config)]) == 2
    assert "data/instances/toy.parquet is missing" in capsys.readouterr().err


def test_a_split_without_open_questions_is_refused() -> None:
    with pytest.raises(UserError, match="no open question in split 'dev'"):
        zero_shot_vqa.accuracy(Oracle(), rows(*TRAIN), LABELS, "dev")
