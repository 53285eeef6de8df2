"""Texts a second of a CLIP text tower: extraction's way beside open_clip on whole, 77-position inputs.

    python benchmarks/texts.py --questions v2_OpenEnded_mscoco_train2014_questions.json [--texts 1024] [--device cuda]
        [--rounds 3]

Weights are random: neither speed nor rounding depends on them. Both do the same work: vectors and states of words.
Without a file, questions are drawn that are about as long as VQA v2's. The two take turns, and the faster round of each
counts.
"""

import argparse
import gzip
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_model

from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.teachers.features.extraction import Chunk, Embedding, pieces
from vlkd_steps.teachers.models import clip

WORDS = [
    "what",
    "color",
    "is",
    "the",
    "man",
    "woman",
    "wearing",
    "holding",
    "on",
    "a",
    "table",
    "in",
    "this",
    "photo",
    "how",
    "many",
    "people",
    "are",
    "there",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, help="a question file of VQA, .json or .json.gz")
    parser.add_argument("--texts", type=int, default=1024)
    parser.add_argument("--model", default="ViT-B-16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    texts = questions(arguments.questions, arguments.texts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        torch.manual_seed(0)
        save_model(open_clip.create_model(arguments.model, load_weights=False), path)
        teacher = clip.load(
            {
                "model": arguments.model, "weights": str(path), "template": "a photo of a {}",
                "threads": arguments.threads, "device": arguments.device,
            }
        )  # fmt: skip
    making: Any = Embedding(teacher, None, arguments.batch, StopRequest())
    lengths = teacher.text_tower.lengths
    seconds = whole = float("inf")
    for _ in range(arguments.rounds):
        teacher.text_tower.lengths = lengths
        spent, ours = timed(lambda: making.rows(Chunk(("text", "state", "count"), texts)))
        seconds = min(seconds, spent)
        teacher.text_tower.lengths = lambda tokens: torch.full((len(tokens),), tokens.shape[1])  # no trimming
        spent, theirs = timed(lambda: untrimmed(teacher, texts, arguments.batch))
        whole = min(whole, spent)
    away = max(float(np.abs(ours[kind] - theirs[kind]).max()) for kind in ("text", "state"))
    print(f"{len(texts)} texts, {arguments.model}, batches of {arguments.batch}, {arguments.device}")
    print(f"  trimmed, by length  {len(texts) / seconds:8.1f} texts/s")
    print(f"  77 positions        {len(texts) / whole:8.1f} texts/s")
    print(f"  ratio {whole / seconds:.2f}, largest difference {away:.1e}")


def untrimmed(teacher: Any, texts: list[str], size: int) -> dict[str, np.ndarray]:
    """A plain loop over the texts in their order, all positions computed."""
    made = [teacher.embed_texts(batch) for batch in pieces(texts, size)]
    states = [state for _, per_text in made for _, state in per_text]
    return {"text": np.concatenate([pooled for pooled, _ in made]), "state": np.concatenate(states)}


def timed(make: Any) -> tuple[float, Any]:
    begun = time.perf_counter()
    made = make()
    return time.perf_counter() - begun, made


def questions(path: Path | None, count: int) -> list[str]:
    """Distinct questions, by string, as extraction has them."""
    if path:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        every = sorted({record["question"] for record in json.loads(content)["questions"]})
        return every[:: max(1, len(every) // count)][:count]
    draw = random.Random(0)
    drawn = set[str]()
    while len(drawn) < count:
        drawn.add(" ".join(draw.choices(WORDS, k=min(20, max(2, round(draw.gauss(6.5, 2)))))) + "?")
    return sorted(drawn)


if __name__ == "__main__":
    main()
