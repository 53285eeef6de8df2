"""What VLKD costs: CPU time of its step with cached image embeddings over that of a BART step with two encoder passes.

    python benchmarks/vlkd_step.py [--steps 60] [--base]

The other step is BART's own infilling with its encoder run twice on the same tokens as VLKD's, clean and masked, and
nothing else: no image, no CLIP, no contrast. Steps of the two alternate, so that a change of the machine's load meets
both; the medians are compared. Making the batch (masking, looking up stored embeddings) is part of VLKD's step; the
other one masks too, as any BART does. Sizes: the scenes student, batch 64, and with --base a BART-base with random
weights, batch 8.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.nn import functional
from transformers import BartConfig, BartForConditionalGeneration

from vlkd_steps.benchmarks.scenes import texts
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.data.infilling import Infilling
from vlkd_steps.engine import loop
from vlkd_steps.gpu_bench.alignment import TwicePass
from vlkd_steps.methods import objective
from vlkd_steps.methods.vlkd.objective import Alignment
from vlkd_steps.runs.caption_batches import Maker
from vlkd_steps.students import bart, initialization

CONF = Path("vlkd_steps/conf")
CLIP_WIDTH = 512
PAIRS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="of each kind; a tenth at base size")
    parser.add_argument("--base", action="store_true", help="BART-base's size too: 140 M random weights, about 4 GB")
    given = parser.parse_args()
    torch.set_num_threads(1)
    scenes = yaml.safe_load((CONF / "student" / "bart_scenes.yaml").read_text(encoding="utf-8"))
    report("bart_scenes", lambda: bart.build({**scenes, "pretrained": False}, CLIP_WIDTH, 0), 64, given.steps)
    if given.base:
        report("bart_base", base, 8, max(given.steps // 10, 4))


def base() -> bart.BartStudent:
    """BART-base with random weights and a tiny vocabulary's tokenizer; its word table has BART's size."""
    tokenizer = bart.word_tokenizer(initialization.vocabulary("scenes", "scenes"))
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072}
    heads = {"encoder_attention_heads": 12, "decoder_attention_heads": 12}
    config = BartConfig(**sizes, **heads, **special, decoder_start_token_id=tokenizer.eos_token_id)
    return bart.BartStudent(BartForConditionalGeneration(config), tokenizer, CLIP_WIDTH)


def report(name: str, build: Any, batch_size: int, steps: int) -> None:
    plain, vlkd = compare(build, batch_size, steps)
    print(
        f"{name:<12} batch {batch_size:<3} encoder twice {plain:9.1f} ms   vlkd {vlkd:9.1f} ms   "
        f"ratio {vlkd / plain:.3f}   (medians of {steps} steps, CPU time)"
    )


def compare(build: Any, batch_size: int, steps: int) -> tuple[float, float]:
    """Median milliseconds of CPU time of a step of each kind."""
    settings = yaml.safe_load((CONF / "method" / "vlkd.yaml").read_text(encoding="utf-8"))
    recipe = Recipe(steps=10**6, batch_size=batch_size, learning_rate=1e-5)
    method = objective.create(settings, recipe.steps)
    method.take_temperature(100.0)  # type: ignore[operator]
    students = [build() for _ in range(2)]
    models = [TwicePass(students[0]).train(), Alignment(students[1], method).train()]  # type: ignore[arg-type]
    optimizers = [loop.adamw(model, recipe) for model in models]
    words = [text for text in texts.texts(0, 3 * PAIRS) if "question:" not in text][:PAIRS]
    rows = students[0].tokenizer(words).input_ids
    v, t = (functional.normalize(torch.randn(PAIRS, CLIP_WIDTH), dim=1) for _ in range(2))
    noise = Infilling(students[0].tokenizer.mask_token_id, whole=settings["masked_whole"])
    maker = Maker(students[0].tokenizer, 64, noise, 0, torch.device("cpu"))
    times: list[list[float]] = [[], []]
    for step in range(steps + 3):
        index = torch.randint(PAIRS, (batch_size,), generator=torch.Generator().manual_seed(step))
        for model, optimizer, seconds in zip(models, optimizers, times, strict=True):
            begun = time.process_time()
            chosen = [rows[row] for row in index.tolist()]
            batch = maker(chosen, range(step * batch_size, (step + 1) * batch_size), v[index], t[index], index, index)
            torch.stack(list(model(batch, step).values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.process_time() - begun)
    plain, vlkd = (1000 * statistics.median(seconds[3:]) for seconds in times)
    return plain, vlkd


if __name__ == "__main__":
    main()
