from typing import Any

import polars as pl
import pytest
import torch
from PIL import Image
from tiny_teacher import TinyStore, V

from vlkd_steps.data.batches import Encoded
from vlkd_steps.data.items import from_frame
from vlkd_steps.data.tokenizer import word_tokenizer
from vlkd_steps.students.output import StudentOutput

TEXTS = ["what color is the ball", "is the red cube large"]


@pytest.fixture
def store() -> TinyStore:
    return TinyStore()


@pytest.fixture
def data(tmp_path: Any) -> Encoded:
    """Four items: three images, two texts, three classes; of the words only "ball" is spelled (4 tokens)."""
    for image in V:
        Image.new("RGB", (16, 16), (10, 20, 30)).save(tmp_path / f"{image}.png")
    images = ["i0", "i1", "i0", "i2"]
    frame = pl.DataFrame(
        {
            "instance_id": ["a", "b", "c", "d"],
            "image_id": images,
            "image_path": [str(tmp_path / f"{i}.png") for i in images],
            "text": [TEXTS[0], TEXTS[1], TEXTS[1], TEXTS[0]],
            "label": [0, 2, None, 1],
            "soft_labels": [
                [{"label": 0, "score": 0.9}, {"label": 1, "score": 0.3}],
                [{"label": 2, "score": 1.0}],
                [],
                [{"label": 1, "score": 0.6}],
            ],
        },
        schema_overrides={"soft_labels": pl.List(pl.Struct({"label": pl.Int64, "score": pl.Float64}))},
    )
    tokenizer = word_tokenizer(["what", "color", "is", "the", "red", "cube", "large"])
    return Encoded(from_frame(frame, ["x", "y", "z"]), tokenizer, max_tokens=16, image_size=16)


@pytest.fixture
def output() -> StudentOutput:
    """Activations of four items, width 5, 2 patches, 10 tokens, that require gradients."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).requires_grad_()

    return StudentOutput(draw(4, 3), draw(4, 5), draw(4, 5), draw(4, 2, 5), draw(4, 10, 5), draw(4, 10, 5))
