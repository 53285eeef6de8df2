"""What a second process brings: time of a training step in one process and in two, of the same global batch.

    PYTHONPATH=. python benchmarks/processes.py [--steps 150]

The student of scenes (width 64) with batches of 32 and 128, fine-tuned on drawn pixels through the project's own loop:
dropout, gradient clipping, AdamW; two processes meet by gloo on this machine. One thread each. Printed are the medians
of the means that the journal gets, each over 25 steps, without the first one; of two processes the slower counts. A
ratio of 2 would be a perfect split. Whatever else runs on the machine (see the load) slows two down more than one; the
CPU time of a process does not depend on it, and says what a step costs beside the waiting.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import distributed, hardware
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.engine import loop
from vlkd_steps.methods import objective
from vlkd_steps.students import vilt

STUDENT = Path("vlkd_steps/conf/student/vilt_scenes.yaml")
BATCHES = (32, 128)
CLASSES, TOKENS = 20, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--one-of", type=int, help=argparse.SUPPRESS)  # in a process that the benchmark started
    arguments = parser.parse_args()
    if arguments.one_of:
        measure(arguments.one_of, arguments.steps)
        return
    alone = started([sys.executable], 1, arguments.steps)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    together = started(launcher, 2, arguments.steps)
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the end")
    for batch_size, one, two in zip(BATCHES, alone, together, strict=True):
        for name, ours, theirs in zip(("time of a step", "CPU of a process"), one, two, strict=True):
            print(
                f"batch {batch_size:<4} {name:<17} 1 process {ours:7.1f} ms   2 processes {theirs:7.1f} ms   "
                f"ratio {ours / theirs:.2f}"
            )


def started(command: Sequence[str], count: int, steps: int) -> list[list[float]]:
    """Median milliseconds of a step, by the clock and of CPU, for each of the batch sizes, in `count` processes."""
    arguments = [__file__, "--steps", str(steps), "--one-of", str(count)]
    # Fixed before torch is loaded: accelerate and torchrun would each choose a number of threads.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run([*command, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(count: int, steps: int) -> None:
    """Train a little for each batch size, and print the medians from the first process."""
    training: dict[str, Any] = {"device": "cpu", "precision": "fp32", "threads": 1, "processes": count}
    accelerator = hardware.accelerator(training)
    medians = [step_time(batch_size, steps, accelerator) for batch_size in BATCHES]
    slowest = [[distributed.highest(round(1000 * kind)) / 1000 for kind in median] for median in medians]
    if distributed.is_main():
        print(json.dumps(slowest))
    distributed.leave()


def step_time(batch_size: int, steps: int, accelerator: Accelerator) -> tuple[float, float]:
    """Milliseconds of a step in this process, by the clock and of CPU."""
    student = vilt.build(
        yaml.safe_load(STUDENT.read_text(encoding="utf-8")), "vqa", [str(c) for c in range(CLASSES)], 0
    )
    model = objective.Distillation(student, objective.create({"name": "finetune"}, steps))
    recipe = Recipe(steps=steps, batch_size=batch_size, learning_rate=1e-4, checkpoint_every=10**6)
    batch, clock, cpu = draw(batch_size, student.image_size), [], [0.0]

    def tell(event: str, **fields: Any) -> None:
        clock.append(fields["metrics"]["step_ms"])
        cpu.append(1000 * time.process_time() / loop.WINDOW)

    with tempfile.TemporaryDirectory() as folder:
        place = loop.RunContext(Path(folder), Path(folder) / "nan", str(batch_size), "benchmark", tell)
        loop.train(model, lambda numbers: itertools.repeat(batch), recipe, place, 0, accelerator, StopRequest())
    return statistics.median(clock[1:]), statistics.median(b - a for a, b in itertools.pairwise(cpu[1:]))


def draw(batch_size: int, image_size: int) -> Batch:
    """This process's rows of a random batch."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(batch_size)[distributed.share()]
    images = torch.randint(0, 256, (len(rows), 3, image_size, image_size), dtype=torch.uint8, generator=generator)
    tokens = (rows[:, None] + torch.arange(TOKENS)) % 100
    labels = torch.zeros(len(rows), CLASSES).scatter_(1, (rows % CLASSES)[:, None], 1.0)
    inputs = Inputs(tokens, torch.ones_like(tokens), torch.zeros_like(tokens), images)
    return Batch(inputs, labels, rows, rows)


if __name__ == "__main__":
    main()
