"""Items with choices (VCR) as batches: four rows an item, the right one alone distilled."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlkd_steps.students.tokenizer import shares, word_tokenizer
from vlkd_steps.teachers.confidence import choice_weights
from vlkd_steps.training.batches import Encoded, from_frame

LABELS = ["0", "1", "2", "3"]
TOLD = json.dumps({"question": ["who", "is", [0], "?"], "answer": ["red"], "objects": ["person"]})


@pytest.fixture
def data(tmp_path: Path) -> Encoded:
    for name, value in (("a", 10), ("b", 200)):
        Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(tmp_path / f"{name}.png")
    frame = pl.DataFrame(
        {
            "instance_id": ["v:answer", "v:rationale", "w:answer"],
            "image_id": ["a", "a", "b"],
            "image_path": [str(tmp_path / f"{name}.png") for name in "aab"],
            "text": ["who is person 1 ?", "who is person 1 ? red", "who is person 1 ?"],
            "choices": [
                ["red", "blue", "green", "tall"],
                ["cube", "ball", "cone", "star"],
                ["red", "blue", "cone", "star"],
            ],
            "label": [0, 2, 3],
            "soft_labels": [[{"label": label, "score": 1.0}] for label in (0, 2, 3)],
            "answer_type": ["answer", "rationale", "answer"],
            "extra": [TOLD] * 3,
        },
        schema_overrides={"soft_labels": pl.List(pl.Struct({"label": pl.Int64, "score": pl.Float64}))},
    )
    words = ["who", "is", "person", "red", "blue", "green", "tall", "cube", "ball", "cone", "star"]
    return Encoded(from_frame(frame, LABELS), word_tokenizer(words), max_tokens=16, image_size=4)


def test_every_choice_is_a_row_with_its_items_image(data: Encoded) -> None:
    batch = data.batch(torch.tensor([2, 1]))
    assert batch.inputs.tokens.shape[0] == 8
    images = batch.inputs.images
    assert images is not None
    assert images[:, 0, 0, 0].tolist() == [200] * 4 + [10] * 4
    assert batch.labels.tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]
    assert batch.gold is not None
    assert batch.gold.tolist() == [3, 4 + 2]
    read = [
        data.tokenizer.decode(row[: int(m.sum())])
        for row, m in zip(batch.inputs.tokens, batch.inputs.mask, strict=True)
    ]
    assert read[3] == "[CLS] who is person 1 ? [SEP] star [SEP]"
    assert read[6] == "[CLS] who is person 1 ? [SEP] red [SEP] cone [SEP]"


def test_types_say_question_answer_rationale(data: Encoded) -> None:
    batch = data.batch(torch.tensor([0, 1]))
    assert batch.inputs.types[0].tolist() == [0] * 7 + [2, 2] + [0, 0]
    assert batch.inputs.types[4].tolist() == [0] * 7 + [2, 2, 3, 3]


def test_the_teacher_reads_the_right_choice_and_words_are_found_where_its_passage_has_them(data: Encoded) -> None:
    items = data.items
    texts = [items.texts[row] for row in items.text_rows]
    assert texts == ["who is person 1 ? red", "who is person 1 ? red cone", "who is person 1 ? star"]
    words = data.words[int(items.text_rows[1])]
    # [CLS] who is person 1 ? [SEP] red [SEP] cone [SEP]; split_words counts 1 as a word and ? not
    assert words == [-1, 0, 1, 2, 3, -1, -1, 4, -1, 5, -1]


def test_confidence_is_the_softmax_over_the_choices_at_the_right_one() -> None:
    v = np.array([[1.0, 0.0], [1.0, 0.0]])
    choices = np.array([[[2.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 1.0]]])
    found = choice_weights(v, choices, np.array([0, 1]), temperature=1.0)
    right, wrong = np.e / (np.e + 1), 1 / (np.e + 1)  # their mean is 1/2
    rho = 2 / 502
    assert found.tolist() == pytest.approx([rho * 2 * right + 1 - rho, rho * 2 * wrong + 1 - rho], abs=1e-6)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(0, 60))
def test_segments_share_the_room(lengths: list[int], room: int) -> None:
    kept = shares(lengths, room)
    assert sum(kept) == min(sum(lengths), room)
    assert all(some <= length for some, length in zip(kept, lengths, strict=True))
    cut = [some for some, length in zip(kept, lengths, strict=True) if some < length]
    assert max(cut, default=0) <= min(cut, default=0) + 1  # what was cut is equally long
    assert (
        all(some <= min(cut) + 1 for some, length in zip(kept, lengths, strict=True) if cut and some == length)
        or not cut
    )
