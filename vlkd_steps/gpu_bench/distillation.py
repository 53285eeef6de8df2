"""Fine-tuning and CLIP-TD of a student by the project's training loop, compared with a bare PyTorch loop.

Images, regions and features are random; the loader makes batches ahead, as in training.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import hardware
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.core.step import log
from vlkd_steps.data import loader
from vlkd_steps.data.batches import Batch, IndexedTensor
from vlkd_steps.data.inputs import Inputs, Regions
from vlkd_steps.engine import loop
from vlkd_steps.gpu_bench import card, timing
from vlkd_steps.gpu_bench.cases import Student, conf, task_with
from vlkd_steps.gpu_bench.results import Line
from vlkd_steps.methods import objective
from vlkd_steps.planning import sizes
from vlkd_steps.students import heads

ITEMS = 1000
"""Items of the random data set."""
POOL = 64
"""Distinct images, or sets of regions."""
TEACHER_WIDTH = 512
ENDLESS = 10**6
"""Steps of a run, which the clock ends earlier."""
MOST = 4096
"""Items of the largest batch that is tried."""
NOWHERE = Path("vlkd-bench-writes-nothing")


def measured(case: Student, accelerator: Accelerator, seconds: float) -> Iterator[Line]:
    """Two lines: finetune and clip_td, both compared with the bare loop of plain fine-tuning."""
    first = one(case, "finetune", accelerator, seconds)
    bare, largest = plain(case, accelerator, seconds)
    yield replace(first, bare=bare, largest=largest)
    yield replace(one(case, "clip_td", accelerator, seconds), bare=bare)


def plain(case: Student, accelerator: Accelerator, seconds: float) -> tuple[float, int | None]:
    """The bare loop's step, and on a GPU its largest batch; the student's memory is free again afterwards."""
    device = accelerator.device
    student = built(case).to(device)
    on_device = batches(case, student, {})(0).to(device)
    took = timing.repeated(bare_loop(student, on_device, accelerator), seconds, device)
    if device.type != "cuda":
        return took, None
    return took, timing.largest(sized(case, student, accelerator), case.items, MOST)


def one(case: Student, method: str, accelerator: Accelerator, seconds: float) -> Line:
    """A method's step in the project's training loop."""
    device = accelerator.device
    student = built(case)
    model, extra = distillation(student, method, case.text)
    make = batches(case, student, extra)
    timing.forget()
    model.to(device)
    clock = trained(model, make, accelerator, seconds)
    memory = timing.peak_memory(device)
    on_device = make(0).to(device)
    counted = timing.operations(lambda: backward(model, on_device, accelerator))
    peak = card.of(device, hardware.precision(accelerator)).peak
    took = clock.took / clock.steps
    waiting = clock.waited / clock.took
    return Line(f"{case.name}, {method}", case.items, took, counted / took / peak, waiting=waiting, memory=memory)


def built(case: Student) -> Any:
    """The case's student with random weights, in training mode."""
    labels = [str(number) for number in range(case.labels)]
    return sizes.unweighted(conf("student", case.conf), task_with(case.head), labels).train()


def distillation(student: Any, method: str, text: int) -> tuple[objective.Distillation, dict[str, Any]]:
    """A student with a method's objective, and the features of `ITEMS` items for the objective."""
    settings = conf("method", method)
    if method != "finetune":
        settings["adaptive"] = False  # another loss, for a fixed number of steps
    goal = objective.create(settings, ENDLESS)
    extra = features(text) if method != "finetune" else {}
    goal.project(student.width, extra)
    return objective.Distillation(student, goal).train(), extra


def features(text: int) -> dict[str, IndexedTensor | Tensor]:
    """The result of `ClipTD.prepare`: v, u, three targets, two selected words per item, weights.

    Args:
        text: tokens of an item.
    """
    rows = torch.arange(ITEMS)
    drawn = torch.randn(ITEMS, TEACHER_WIDTH)
    return {
        "v": IndexedTensor(drawn, rows),
        "u": IndexedTensor(drawn, rows),
        "image": IndexedTensor(drawn, rows),
        "joint": drawn,
        "positions": torch.randint(1, text, (ITEMS, 2)),
        "tokens": IndexedTensor(drawn, torch.randint(ITEMS, (ITEMS, 2))),
        "weight": torch.ones(ITEMS),
    }


def batches(case: Student, student: Any, extra: Mapping[str, Any], items: int = 0) -> Callable[[int], Batch]:
    """A batch by its number, of `items` items (0: the case's)."""
    drawn: list[Tensor]
    if case.regions:
        drawn = [torch.randn(POOL, case.regions, student.region_width), torch.rand(POOL, case.regions, 7)]
    else:
        drawn = [torch.randint(0, 256, (POOL, 3, student.image_size, student.image_size), dtype=torch.uint8)]
    count, words = items or case.items, torch.arange(case.text)

    def make(number: int) -> Batch:
        generator = torch.Generator().manual_seed(number)
        index = torch.randint(ITEMS, (count,), generator=generator)
        rows = index.repeat_interleave(case.choices)
        tokens = (rows[:, None] + words) % 40 + 5
        own = [table[rows % POOL] for table in drawn]
        there = torch.ones(len(rows), case.regions, dtype=torch.int64)
        seen: dict[str, Any] = {"regions": Regions(own[0], own[1], there)} if case.regions else {"images": own[0]}
        inputs = Inputs(tokens, torch.ones_like(tokens), torch.zeros_like(tokens), **seen)
        labels = torch.zeros(count, case.labels).scatter_(1, (index % case.labels)[:, None], 1.0)
        gold = torch.arange(count) * case.choices if case.choices > 1 else None
        return Batch(inputs, labels, index, index, gold, {name: value[index] for name, value in extra.items()})

    return make


def trained(model: nn.Module, make: Callable[[int], Batch], accelerator: Accelerator, seconds: float) -> timing.Clock:
    """Train with the project's loop until the clock ends it, or memory is too small; accelerate then keeps nothing."""
    device = accelerator.device
    clock = timing.Clock(seconds, device)

    def upcoming(numbers: range) -> Iterator[Batch]:
        made = loader.ahead(make, numbers, pinned=device.type == "cuda")
        return clock(batch.to(device) for batch in made)

    recipe = Recipe(steps=ENDLESS, batch_size=1, learning_rate=1e-5, checkpoint_every=ENDLESS)
    context = loop.RunContext(NOWHERE, NOWHERE / "batch", "bench", "bench", loop.no_log)
    try:
        with without_progress(), contextlib.suppress(timing.Enough):
            loop.train(model, upcoming, recipe, context, 0, accelerator, StopRequest())
    finally:
        accelerator.free_memory()
    return clock


@contextlib.contextmanager
def without_progress() -> Iterator[None]:
    """A block in which the loop logs no progress."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def backward(model: nn.Module, batch: Batch, accelerator: Accelerator) -> None:
    """One forward and one backward pass."""
    with accelerator.autocast():
        losses = model(batch, 0)
    torch.stack(list(losses.values())).sum().backward()
    model.zero_grad()


def bare_loop(student: Any, batch: Batch, accelerator: Accelerator) -> Callable[[], None]:
    """A step of fine-tuning in plain PyTorch, always on the same batch."""
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        with accelerator.autocast():
            loss = heads.task_loss(student(batch.inputs).logits, batch.labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 2.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def sized(case: Student, student: Any, accelerator: Accelerator) -> Callable[[int], None]:
    """Two bare steps on a batch of a given size; the second one also needs the optimizer's state."""

    def step(items: int) -> None:
        batch = batches(replace(case, tokens=0, batch=items), student, {})(0).to(accelerator.device)
        again = bare_loop(student, batch, accelerator)
        again()
        again()

    return step
