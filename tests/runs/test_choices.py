"""Items with choices (VCR) as batches: four rows an item, the right one alone distilled."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.data.items import from_frame
from vlkd_steps.data.tokenizer import word_tokenizer
from vlkd_steps.methods import objective
from vlkd_steps.students import vilt
from vlkd_steps.teachers.targets import confidence
from vlkd_steps.teachers.targets.confidence import choice_margin_weights, choice_probabilities, choice_weights

LABELS = ["0", "1", "2", "3"]
TOLD = json.dumps({"question": ["who", "is", [0], "?"], "answer": ["red"], "objects": ["person"]})


WORDS = ["who", "is", "person", "red", "blue", "green", "tall", "cube", "ball", "cone", "star"]


@pytest.fixture
def frame(tmp_path: Path) -> pl.DataFrame:
    for name, value in (("a", 10), ("b", 200)):
        Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(tmp_path / f"{name}.png")
    return pl.DataFrame(
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


@pytest.fixture
def data(frame: pl.DataFrame) -> Encoded:
    return Encoded(from_frame(frame, LABELS), word_tokenizer(WORDS), max_tokens=16, image_size=4)


@pytest.fixture
def conf(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "words.txt").write_text(" ".join(WORDS))
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    seen = {"image_size": 4, "patch_size": 2, "max_position_embeddings": 16, "initializer_range": 0.3}
    return {
        "name": "toy",
        "kind": "vilt",
        "vocabulary": str(tmp_path / "words.txt"),
        "architecture": {**sizes, **seen, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    }


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
    words = data.words()[int(items.text_rows[1]), :, 0].tolist()
    # [CLS] who is person 1 ? [SEP] red [SEP] cone [SEP]; split_words counts 1 as a word and ? not
    assert words == [-1, 0, 1, 2, 3, -1, -1, 4, -1, 5, -1, *[-1] * (len(words) - 11)]


def test_confidence_is_the_softmax_over_the_choices_at_the_right_one() -> None:
    v, texts, rows = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([[1, 0], [1, 0]])
    likely = choice_probabilities(v.__getitem__, texts.__getitem__, rows, temperature=1.0)
    found = choice_weights(likely, np.array([0, 1]))
    right, wrong = np.e / (np.e + 1), 1 / (np.e + 1)  # their mean is 1/2
    rho = 2 / 502
    assert found.tolist() == pytest.approx([rho * 2 * right + 1 - rho, rho * 2 * wrong + 1 - rho], abs=1e-6)


def test_the_margin_of_a_choice_is_over_a_guess() -> None:
    likely = np.array([[0.5, 0.3, 0.1, 0.1], [0.2, 0.4, 0.2, 0.2], [0.1, 0.1, 0.1, 0.7]])
    found = choice_margin_weights(likely, np.array([0, 2, 1]))  # margins 0.25, 0 and 0; the first is three means
    rho = 3 / 503
    assert found.tolist() == pytest.approx([rho * 3 + 1 - rho, 1 - rho, 1 - rho], abs=1e-6)


def test_confidence_is_the_same_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    v, texts = generator.normal(size=(7, 5)).astype(np.float32), generator.normal(size=(9, 5)).astype(np.float32)
    asked = v.__getitem__, texts.__getitem__, generator.integers(0, 9, (7, 4)), 0.1
    whole = choice_probabilities(*asked)
    monkeypatch.setattr(confidence, "BLOCK", 3)
    assert choice_probabilities(*asked).tolist() == whole.tolist()
    assert choice_weights(whole, generator.integers(0, 4, 7)).mean() == pytest.approx(1)


def test_a_vilts_loss_is_that_of_each_choice_shown_alone(data: Encoded, conf: dict[str, Any]) -> None:
    student = vilt.build(conf, "vcr", LABELS, seed=1)
    distillation = objective.Distillation(student, objective.create({"name": "finetune"}, 1))
    batch = data.batch(torch.tensor([1, 2]))
    student.head.choices = 1
    terms = []
    for row, label in enumerate(batch.labels.flatten().tolist()):
        length = int(batch.inputs.mask[row].sum())
        parts = (batch.inputs.tokens, batch.inputs.mask, batch.inputs.types)
        assert batch.inputs.images is not None
        alone = Inputs(*(part[row : row + 1, :length] for part in parts), batch.inputs.images[row : row + 1])
        wrong, right = student(alone).logits.flatten().tolist()
        terms.append(math.log(1 + math.exp(wrong - right if label else right - wrong)))
    student.head.choices = 4
    assert distillation(batch, 0)["task"].item() == pytest.approx(sum(terms) / 8, abs=1e-5)


def test_only_the_right_choices_rows_are_distilled(data: Encoded, conf: dict[str, Any]) -> None:
    student = vilt.build(conf, "vcr", LABELS, seed=1)
    settings = {"name": "naive_kd", "lambda0": 2.0, "anneal": "none", "distance": "mse"}
    method = objective.create(settings, 1)
    distillation = objective.Distillation(student, method)
    data.extra = {name: torch.randn(3, 5, generator=torch.Generator().manual_seed(0)) for name in "vu"}
    method.project(student.width, data.extra)
    batch = data.batch(torch.tensor([0, 1, 2]))
    cls = student(batch.inputs).cls[[0, 4 + 2, 8 + 3]]
    expected = 2 * ((method.to_image(cls) - data.extra["v"]) ** 2).mean()  # type: ignore[operator]
    assert distillation(batch, 0)["image"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_vcrs_types_start_as_the_questions_and_nothing_else_moves(conf: dict[str, Any], tmp_path: Path) -> None:
    """Other tasks' students keep the bytes that they had before there was VCR."""
    plain, ours = vilt.build(conf, "entailment", LABELS, seed=1), vilt.build(conf, "vcr", LABELS, seed=1)
    types = "vilt.embeddings.text_embeddings.token_type_embeddings.weight"
    before, after = plain.state_dict(), ours.state_dict()
    assert before[types].shape == (2, 8)
    assert torch.equal(after[types][[0, 1, 0, 0]], torch.cat([before[types], before[types][:1].expand(2, -1)]))
    assert torch.equal(after[types], after[types][[0, 1, 0, 0]])
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("vilt.") and name != types)
    vilt.save(ours, tmp_path / "vcr.safetensors")
    assert torch.equal(vilt.load(tmp_path / "vcr.safetensors").state_dict()[types], after[types])


def test_as_many_choices_as_classes(frame: pl.DataFrame) -> None:
    with pytest.raises(UserError, match=r"v:answer has 4 choices, but its data set has 3 classes \(0, 1, 2\)"):
        from_frame(frame, LABELS[:3])
