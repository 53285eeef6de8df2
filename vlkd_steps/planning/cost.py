"""The cost of a graph's jobs in hours, each number with its source.

``measured here``: from similar runs of this project. ``derived``: operations counted on the
models, divided by a given throughput. ``not known``: neither; the operations are still stated.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import jobs, precedence
from vlkd_steps.config.models.composition import Cell, Composition
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.config.models.student import Student
from vlkd_steps.core.errors import UserError
from vlkd_steps.graph.dry_run import Job
from vlkd_steps.planning import past, sizes, volumes
from vlkd_steps.runs.run_dir import RunDir

HEAVY = ("pretrain", "extract", "distill")
CAPTION = 14  # tokens of a caption, about the mean of the official data
BACKWARD = 3.0  # a forward pass, and a backward pass of twice its operations
RECOMPUTED = 4.0  # with gradient checkpointing


@dataclass(frozen=True)
class Throughput:
    """Operations per second that a device sustains, and the source of that number."""

    operations: float
    gpu: bool
    source: str


@dataclass
class Row:
    """The cost of jobs of one kind.

    Attributes:
        count: training runs, or jobs.
        hours: GPU-hours where `gpu`, else hours of one core; None: not known.
        operations: multiplications and additions, None where a model's size is not known.
        of: how many of `count` come from each source.
    """

    step: str
    what: str
    count: int = 0
    hours: float | None = 0.0
    gpu: bool = False
    operations: float | None = 0.0
    of: dict[str, int] = field(default_factory=dict)

    def add(self, count: int, seconds: float | None, gpu: bool, operations: float | None, source: str) -> None:
        """Add `count` jobs that take `seconds` and `operations` in total."""
        self.count += count
        self.hours = None if self.hours is None or seconds is None else self.hours + seconds / 3600
        self.gpu = self.gpu or gpu
        self.operations = None if self.operations is None or operations is None else self.operations + operations
        self.of[source] = self.of.get(source, 0) + count


def rows(c: Composition, planned: Sequence[Job], given: Throughput | None) -> list[Row]:
    """The cost of every job that would run.

    Args:
        c: the composed experiment.
        given: if set, the hours of every training and extraction are derived from it, and measurements are ignored.
    """
    found: dict[tuple[str, str], Row] = {}
    seen = [] if given else past.runs()
    light = past.rules()

    def row(step: str, what: str) -> Row:
        return found.setdefault((step, what), Row(step, what))

    for job in planned:
        if job.rule == "distill":
            _distill(c, Cell(**job.wildcards), seen, given, row)
        elif job.rule == "extract":
            _extract(c, job.wildcards, given, row)
        elif job.rule == "pretrain":
            _pretrain(c, job.wildcards["model"], given, row)
        else:
            seconds = light.get(job.rule)
            source = "measured here" if seconds is not None else "not known"
            row(job.rule, "").add(1, seconds, False, 0.0, source)
    return list(found.values())


def _distill(c: Composition, cell: Cell, seen: Sequence[past.Past], given: Throughput | None, row: Any) -> None:
    dataset, student, variant, _ = cell
    config = jobs.distill(c, cell)
    left = len(unfinished(config))
    if not left:
        return
    recipe, method = precedence.recipe(c, cell), c.variants[variant].method
    size = past.step_size(recipe.written()) if declaration(method).trains else past.NO_STEP
    operations = None if size is past.NO_STEP else operations_of_run(c, cell, recipe)
    place = row("distill", f"{dataset} {student} {c.label(variant)}")
    pasts, alike = past.like(seen, size.unit, student=student, dataset=dataset, variant=variant, method=method)
    if given is None and pasts:
        step = statistics.median(p.step / p.size.number for p in pasts) * size.number
        seconds = statistics.median(p.rest for p in pasts) + step * recipe.steps
        place.add(
            left, left * seconds, any(p.gpus for p in pasts), _times(left, operations), f"measured here ({alike})"
        )
    elif given is not None and operations is not None:
        place.add(left, left * operations / given.operations, given.gpu, left * operations, given.source)
    else:
        place.add(left, None, False, _times(left, operations), "not known")


def unfinished(config: Mapping[str, Any]) -> list[int]:
    """The seeds of a `distill` job that the step would still train now."""
    left = []
    for seed in config["seeds"]:
        try:
            done = RunDir.of(config, seed).finished()
        except UserError:  # its splits or features do not exist yet
            done = False
        if not done:
            left.append(seed)
    return left


def operations_of_run(c: Composition, cell: Cell, recipe: Recipe) -> float | None:
    """Operations of one run: training steps, evaluations on dev, predictions; those of the method are left out."""
    conf = c.datasets[cell.dataset]
    volume = volumes.of(conf, c.sources[conf.source])
    task = tasks.load(conf.task)
    size = sizes.student(c.students[cell.student].written(), task.tokens) if volume else None
    if size is None or size.operations is None or volume is None:
        return None
    forward = size.operations * task.choices
    step = past.step_size(recipe.written())
    rows = step.number / (task.tokens + size.visual if step.unit == "tokens" else 1)
    evaluated = sum(volume.sets.values()) * task.rows
    if recipe.evaluate_every:
        evaluated += recipe.steps // recipe.evaluate_every * volume.sets.get("dev", 0) * task.rows
    return forward * (passes(recipe) * recipe.steps * rows + evaluated)


def passes(recipe: Recipe) -> float:
    """What training on an item takes, in forward passes.

    Every shift of an adversary is one more item, and every shift but the last has one more backward pass, by the shift
    alone: without the gradients of weights, which are a pass.
    """
    way = RECOMPUTED if recipe.gradient_checkpointing else BACKWARD
    shifts = recipe.adversarial.steps if recipe.adversarial else 0
    return way * (1 + shifts) + (way - 2) * max(shifts - 1, 0)


def _extract(c: Composition, names: Mapping[str, str], given: Throughput | None, row: Any) -> None:
    teacher, dataset = names["teacher"], names["dataset"]
    conf = c.datasets[dataset]
    volume = volumes.of(conf, c.sources[conf.source])
    size = sizes.teacher(c.teachers[teacher].written()) if volume else None
    shown = volume.shown(c.teachers[teacher]) if volume else 0
    operations = shown * size.image + volume.texts * size.text if volume and size else None
    place, measured = row("extract", f"{teacher} {dataset}"), None if given else past.features(teacher)
    if measured and volume:
        rate, gpu = measured
        place.add(1, (shown + volume.texts) / rate, gpu, operations, "measured here")
    elif given is not None and operations is not None:
        place.add(1, operations / given.operations, given.gpu, operations, given.source)
    else:
        place.add(1, None, False, operations, "not known")


def _pretrain(c: Composition, model: str, given: Throughput | None, row: Any) -> None:
    learned = c.learned(model)
    size = sizes.student(learned.written(), CAPTION) if isinstance(learned, Student) else None
    making = learned.pretraining
    steps = int(making.get("steps", 0)) * int(making.get("batch_size", 0))
    operations = BACKWARD * steps * size.operations if size and size.operations else None
    place = row("pretrain", model)
    if given is not None and operations is not None:
        place.add(1, operations / given.operations, given.gpu, operations, given.source)
    else:
        place.add(1, None, False, operations, "not known")


def _times(count: int, operations: float | None) -> float | None:
    return None if operations is None else count * operations
