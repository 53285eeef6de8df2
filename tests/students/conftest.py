from typing import Any

import pytest
import torch
from toy_project import argv as argv  # fixtures
from toy_project import job as job
from toy_project import project as project

from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students import vilt

WORDS = "what color is the thing\nred green blue don't"


@pytest.fixture
def conf(tmp_path: Any) -> dict[str, Any]:
    """A ViLT of width 16 with 9 patches, without dropout."""
    (tmp_path / "words.txt").write_text(WORDS)
    return {
        "name": "vilt_toy",
        "kind": "vilt",
        "vocabulary": str(tmp_path / "words.txt"),
        "architecture": {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "initializer_range": 0.2,
            "image_size": 48,
            "patch_size": 16,
            "max_position_embeddings": 12,
        },
    }


@pytest.fixture
def student(conf: dict[str, Any]) -> vilt.ViltStudent:
    built = vilt.build(conf, "vqa", ["no", "yes", "red"], seed=3).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # transformers starts these two at zero, where a mistake about them would not show
        for parameter in (built.vilt.embeddings.cls_token, built.vilt.embeddings.position_embeddings):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return built


@pytest.fixture
def inputs() -> Inputs:
    """Two images and two texts of 6 and 4 tokens."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8, generator=generator)
    tokens = torch.randint(5, 100, (2, 6), generator=generator)
    mask = torch.ones_like(tokens)
    mask[1, 4:] = 0
    return Inputs(tokens, mask, torch.zeros_like(tokens), images)
