"""What the training loop costs beyond the model: CPU time of its step over that of a bare PyTorch loop's.

    python benchmarks/loop_cost.py [--steps 100 --rounds 12]

The student of the scenes (width 64, batch 32), finetune, one thread, batches made beforehand. Blocks of the two loops
alternate, so that a change of the machine's load meets both; the ratio is that of each pair of blocks, the median of
all pairs, with its quartiles. A block is timed from its first batch on: what precedes that is done once a run. Drawing
the dropout's seed, the schedule, the curves and their journal events are the loop's own.
"""

import argparse
import contextlib
import copy
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import hardware
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.data.batches import Batch
from vlkd_steps.engine import loop
from vlkd_steps.gpu_bench import distillation
from vlkd_steps.gpu_bench.cases import Student
from vlkd_steps.gpu_bench.timing import Enough

SCENES = Student("ViLT of scenes", "vilt_scenes", "classes", 20, text=16, batch=32)
STEPS = 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100, help="of a block")
    parser.add_argument("--rounds", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(1)
    accelerator = hardware.accelerator({"device": "cpu", "precision": "fp32"})
    student = distillation.built(SCENES)
    make = distillation.batches(SCENES, student, {})
    batches = [make(number) for number in range(8)]
    model, _ = distillation.distillation(copy.deepcopy(student), "finetune", SCENES.text)
    events: list[str] = []

    def ours() -> float:
        clock: list[float] = []

        def shown(numbers: range) -> Iterator[Batch]:
            clock.append(time.process_time())
            for number in numbers:
                if number == given.steps:
                    clock.append(time.process_time())
                    raise Enough
                yield batches[number % len(batches)]

        recipe = Recipe(steps=STEPS, batch_size=SCENES.batch, learning_rate=1e-4, checkpoint_every=STEPS)
        context = loop.RunContext(
            Path("nowhere"), Path("nowhere/batch"), "loop", "loop", lambda event, **fields: events.append(event)
        )
        with distillation.without_progress(), contextlib.suppress(Enough):
            loop.train(model, shown, recipe, context, 0, accelerator, StopRequest())
        return clock[1] - clock[0]

    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)

    def bare() -> float:
        begun = time.process_time()
        for number in range(given.steps):
            batch = batches[number % len(batches)]
            loss = distillation.heads.task_loss(student(batch.inputs).logits, batch.labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 2.0)
            optimizer.step()
            optimizer.zero_grad()
        return time.process_time() - begun

    pairs = [(uncollected(ours), uncollected(bare)) for _ in range(given.rounds + 1)][1:]
    low, ratio, high = statistics.quantiles((own / other for own, other in pairs), n=4)
    own, other = (1000 * statistics.median(times) / given.steps for times in zip(*pairs, strict=True))
    print(
        f"a step of the loop {own:.2f} ms, of a bare loop {other:.2f} ms, ratio {ratio:.3f} "
        f"(quartiles {low:.3f}, {high:.3f}; CPU time)"
    )


def uncollected(block: Callable[[], float]) -> float:
    """The block's seconds, without those of the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        return block()
    finally:
        gc.enable()


if __name__ == "__main__":
    main()
