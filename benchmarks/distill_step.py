"""What distillation costs: time of a clip_td step with cached features over that of a plain fine-tuning step.

    python benchmarks/distill_step.py [--steps 120]

Two sizes: the scenes student (width 64, batch 32) and ViLT-base width (768, 12 layers, random weights, batch 8).
Features, selected words and weights are drawn at random; their lookup in a batch is part of the step, as in a run.
Steps of the two methods alternate, so that a change of the machine's load meets both; the medians are compared.
The adaptive stage is left out (another loss, and a fixed number of steps).
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.engine import loop
from vlkd_steps.gpu_bench.distillation import ITEMS, features
from vlkd_steps.methods import objective
from vlkd_steps.students import vilt

CONF = Path("vlkd_steps/conf")
BASE = {"image_size": 384, "max_position_embeddings": 40}  # the rest of ViltConfig's defaults is ViLT-B/32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120, help="of each method; a twentieth at base width")
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    scenes = yaml.safe_load((CONF / "student" / "vilt_scenes.yaml").read_text(encoding="utf-8"))
    base = {"name": "vilt_base", "vocabulary": scenes["vocabulary"], "architecture": BASE}
    sizes = ((scenes, 32, 16, 20, steps), (base, 8, 20, 3129, max(steps // 20, 5)))
    for conf, batch_size, text_tokens, classes, count in sizes:
        finetune, distill = compare(conf, batch_size, text_tokens, classes, count)
        print(
            f"{conf['name']:<12} batch {batch_size:<3} finetune {finetune:8.2f} ms   clip_td {distill:8.2f} ms   "
            f"ratio {distill / finetune:.3f}"
        )


def compare(conf: dict[str, Any], batch_size: int, text_tokens: int, classes: int, steps: int) -> tuple[float, float]:
    """Median milliseconds of CPU time of a step of finetune and of clip_td."""
    method = yaml.safe_load((CONF / "method" / "clip_td.yaml").read_text(encoding="utf-8"))
    settings = method | {"adaptive": False}
    recipe = Recipe(steps=10**6, batch_size=batch_size, learning_rate=1e-4)
    runs = []
    for method in ({"name": "finetune"}, settings):
        student = vilt.build(conf, "vqa", [str(c) for c in range(classes)], seed=0)
        goal = objective.create(method, recipe.steps)
        extra = features(text_tokens) if method["name"] != "finetune" else {}
        goal.project(student.width, extra)
        model = objective.Distillation(student, goal).train()
        runs.append((model, loop.adamw(model, recipe), extra))
    times: list[list[float]] = [[], []]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 3, student.image_size, student.image_size), dtype=torch.uint8)
    for step in range(steps + 3):
        index = torch.randint(ITEMS, (batch_size,), generator=generator)
        for (model, optimizer, extra), seconds in zip(runs, times, strict=True):
            begun = time.process_time()
            batch = draw(index, images, text_tokens, classes, extra)
            losses = model(batch, step)
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.process_time() - begun)
    finetune, distill = (1000 * statistics.median(seconds[3:]) for seconds in times)
    return finetune, distill


def draw(index: Tensor, images: Tensor, text_tokens: int, classes: int, extra: dict[str, Any]) -> Batch:
    tokens = (index[:, None] + torch.arange(text_tokens)) % 100
    labels = torch.zeros(len(index), classes).scatter_(1, (index % classes)[:, None], 1.0)
    chosen = {name: value[index] for name, value in extra.items()}
    inputs = Inputs(tokens, torch.ones_like(tokens), torch.zeros_like(tokens), images[index % len(images)])
    return Batch(inputs, labels, index, index, extra=chosen)


if __name__ == "__main__":
    main()
