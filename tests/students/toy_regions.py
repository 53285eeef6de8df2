"""Toy inputs and configurations of students that see regions."""

from pathlib import Path
from typing import Any

import torch

from vlkd_steps.data.inputs import Inputs, Regions

WORDS = "what color is the thing\nred green blue don't person because"
DIM = 6


def uniter(folder: Path) -> dict[str, Any]:
    (folder / "words.txt").write_text(WORDS)
    return {
        "name": "uniter_toy",
        "kind": "uniter",
        "regions": "boxes_toy",
        "vocabulary": str(folder / "words.txt"),
        "architecture": {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "initializer_range": 0.2,
            "max_position_embeddings": 12,
            "img_dim": DIM,
        },
    }


def visual_bert(folder: Path) -> dict[str, Any]:
    conf = uniter(folder)
    architecture = {key: value for key, value in conf["architecture"].items() if key != "img_dim"}
    return conf | {
        "name": "visual_bert_toy",
        "kind": "visual_bert",
        "locations": True,
        "architecture": architecture | {"visual_embedding_dim": DIM + 7},
    }


def inputs(rows: int = 2, types: bool = False, width: int = DIM) -> Inputs:
    """Rows of 6 and 4 tokens in turn, with 3 and 2 regions."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(5, 100, (rows, 6), generator=generator)
    mask, seen = torch.ones_like(tokens), torch.ones(rows, 3, dtype=torch.int64)
    mask[1::2, 4:], seen[1::2, 2:] = 0, 0
    regions = Regions(
        torch.randn(rows, 3, width, generator=generator), torch.rand(rows, 3, 7, generator=generator), seen
    )
    kinds = torch.tensor([0, 0, 2, 2, 3, 3]).expand(rows, -1) if types else torch.zeros_like(tokens)
    return Inputs(tokens, mask, kinds, regions=regions)
