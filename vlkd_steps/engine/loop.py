"""The training loop, from the first batch to the last checkpoint.

It minimises the sum of the named losses that a module returns, with AdamW, a linear warm-up and a linear decay to
zero. Everything random is keyed by (seed, step): the batch of a step and its dropout do not depend on what ran
before, so an interrupted run ends in the same bytes as an uninterrupted one.

On TERM the current step is finished and saved, then `Interrupted` is raised: nothing is computed twice. After kill -9
the run resumes from the last checkpoint. A loss or a gradient that is not a number ends the run when its window is read
(`curves`), before anything is saved, and its batch is made again for inspection.

Several processes run this loop in lockstep, each with its rows of a batch (`core.distributed`). Only the first writes.

Checkpoints: ``last.safetensors`` (model, optimizer, progress) every `checkpoint_every` steps and at the end;
``best.safetensors`` (model) whenever the dev score improves. The best one is for inspection; the last one is the
result.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor, nn

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import distributed, files, hardware
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.core.seeds import derive
from vlkd_steps.core.step import log
from vlkd_steps.data.batches import Batch
from vlkd_steps.engine import checkpoint
from vlkd_steps.engine.curves import WINDOW, Curves, NotFinite, Step

QUIET = 5.0  # seconds between two progress lines


LogEvent = Callable[..., None]
"""Called with an event's name and fields."""


def no_log(event: str, **fields: Any) -> None:
    """A `LogEvent` that discards the event: for all processes but the first."""


@dataclass(frozen=True)
class RunContext:
    """A run's paths, name and journal.

    Attributes:
        checkpoints: folder of the checkpoints.
        inspection: file for the batch of a loss that is not a number.
        key: content key, which with the precision identifies the run of a checkpoint.
        label: starts every progress line.
        log_event: writes to the journal.
    """

    checkpoints: Path
    inspection: Path
    key: str
    label: str
    log_event: LogEvent


def train(
    model: nn.Module,
    batches: Callable[[range], Iterator[Batch]],
    recipe: Recipe,
    context: RunContext,
    seed: int,
    accelerator: Accelerator,
    stop: StopRequest,
    evaluate: Callable[[], dict[str, float]] | None = None,
    epoch_steps: float = 1.0,
) -> nn.Module:
    """Train `model` to the recipe's last step, resuming from its last checkpoint.

    Args:
        model: ``model(batch, step)`` returns scalar losses by name; ``task`` is the task's own.
        batches: this process's rows of the batches of some numbers, in order, on the training device; a
            batch is a function of its number, and step s takes numbers s * accumulation and following.
        evaluate: dev metrics of the current model, of which the first decides which checkpoint is best; called in
            evaluation mode in every process, with equal results.
        epoch_steps: steps of one epoch, for the journal.

    Raises:
        Interrupted: stopped by a signal; everything is saved.
        UserError: a loss or a gradient is not a number, or processes found different checkpoints.
    """
    run = Training(model, batches, recipe, context, seed, accelerator)
    time_left = TimeLeft(recipe.steps, run.done)
    upcoming = batches(range(run.done * recipe.accumulation, recipe.steps * recipe.accumulation))
    while run.done < recipe.steps:
        watched = evaluate is not None and recipe.evaluate_every > 0 and (run.done + 1) % recipe.evaluate_every == 0
        run.update(upcoming, watched)
        if run.window_ends:
            means = run.curves.point() | {"learning_rate": recipe.rate(run.done - 1)}
            context.log_event("metrics", step=run.done, epoch=round(run.done / epoch_steps, 3), metrics=means)
        if watched and evaluate is not None:
            run.evaluate(evaluate)
        # Evaluate, then save: a resumed run does not repeat the evaluation. The stop request is read once: one that
        # comes after saving must not end the run before the next save.
        stopping = distributed.agree(stop)
        saving = stopping or run.done % recipe.checkpoint_every == 0 or run.done == recipe.steps
        left = time_left(run.done) if distributed.is_main() else None
        if saving or (left and distributed.count() == 1):  # otherwise all processes would have to agree on the line
            run.read()
        if saving and distributed.is_main():
            run.save()
        if left:
            dev = "" if run.progress["dev"] is None else f"  dev {run.progress['dev']:.1f}"
            log.info(f"[{context.label}] step {run.done}/{recipe.steps}  loss {run.curves.loss:.3f}{dev}  left {left}")
        if stopping and run.done < recipe.steps:
            distributed.wait()  # a process that exits early may end the others while one is still saving
            stop.raise_if_set()
    accelerator.free_memory()  # it keeps every model that it has prepared, and a job trains one for each seed
    return model.eval()


class Training:
    """A run between two steps, resumed from its last checkpoint: model, optimizer and progress.

    Attributes:
        model: as accelerate has prepared it; `bare` is the one that was given.
        progress: saved with the weights: steps done, the best and the last dev score, the sums of `curves`.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Callable[[range], Iterator[Batch]],
        recipe: Recipe,
        context: RunContext,
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        self.bare, self.batches, self.recipe, self.context, self.seed = model, batches, recipe, context, seed
        self.accelerator = accelerator
        self.optimizer = adamw(model, recipe)
        self.last, self.best = (context.checkpoints / f"{name}.safetensors" for name in ("last", "best"))
        model.to(accelerator.device)
        self.progress: dict[str, Any] = {"step": 0, "best": None, "dev": None, "window": {}}
        self.key = "-".join([context.key, *({hardware.precision(accelerator)} - {"fp32"})])
        self.progress |= checkpoint.load(self.last, self.key, model, self.optimizer) or {}
        distributed.check_start(self.done, self.last)
        # The optimizer and the backward pass are torch's own: accelerate's wrappers scale fp16 losses, which are not
        # used here, and look for packages at every step.
        self.model = accelerator.prepare(model).train()
        self.parameters = list(self.model.parameters())
        self.curves = Curves(self.progress["window"])

    @property
    def done(self) -> int:
        """Steps so far."""
        steps: int = self.progress["step"]
        return steps

    @property
    def window_ends(self) -> bool:
        return self.done % WINDOW == 0 or self.done == self.recipe.steps

    def update(self, upcoming: Iterator[Batch], watched: bool) -> None:
        """One step.

        Args:
            upcoming: its batches, and those of later steps.
            watched: add the values that are journaled where dev is evaluated.
        """
        begun, step = time.perf_counter(), self.done
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(step) * group["multiplier"]
        own = [distributed.rank()] if distributed.rank() else []  # each process has its own dropout
        seed_dropout(derive(self.seed, "dropout", step, *own), self.accelerator.device)
        computed = self._gradients(step, upcoming, watched)
        computed.norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.progress["step"] = step + 1
        self.curves.add(computed)
        if self.window_ends or watched:
            self.read()
        # On a GPU a window's last step waits for the others, if nothing else reads from it (docs/gpu.md).
        self.curves.count("step_ms", 1000 * (time.perf_counter() - begun))

    def _gradients(self, step: int, upcoming: Iterator[Batch], watched: bool) -> Step:
        """Add up the gradients of the step's batches, which weigh alike."""
        computed, count = Step(step), self.recipe.accumulation
        for number in range(step * count, (step + 1) * count):
            last_one = number == (step + 1) * count - 1  # only this averages gradients over the processes
            with contextlib.nullcontext() if last_one else self.accelerator.no_sync(self.model):
                shown = next(upcoming)
                losses: dict[str, Tensor] = self.model(shown, step)
                each = torch.stack(list(losses.values()))
                own = each.detach()
                computed.batches.append((number, list(losses), distributed.mean(own), own))
                if watched and not computed.values:
                    computed.values |= gradient_ratio(losses, self.bare) | observed(self.bare, shown)
                (each.sum() / count).backward()
        return computed

    def read(self) -> None:
        """Wait for the results of the steps so far.

        Raises:
            UserError: one of them is not a number.
        """
        if found := self.curves.read():
            raise not_finite(found, next(iter(self.batches(range(found.batch, found.batch + 1)))), self.context)

    def evaluate(self, evaluate: Callable[[], dict[str, float]]) -> None:
        """Journal the dev metrics, and keep the weights if their first one is better than ever."""
        self.model.eval()
        metrics = evaluate()
        self.model.train()
        dev = self.progress["dev"] = next(iter(metrics.values()))
        self.context.log_event("evaluation", step=self.done, set="dev", metrics=metrics)
        if self.progress["best"] is None or dev > self.progress["best"]:
            self.progress["best"] = dev
            if distributed.is_main():
                checkpoint.save_model(self.best, self.bare)

    def save(self) -> None:
        checkpoint.save(self.last, self.key, self.bare, self.optimizer, self.progress)


def seed_dropout(number: int, device: torch.device) -> None:
    """Seed the generators that a model on `device` draws from.

    `torch.manual_seed` seeds the CPU's too, but without CUDA it formats a traceback at every call.
    """
    torch.default_generator.manual_seed(number)
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).manual_seed(number)


class TimeLeft:
    """The time left, at most every `QUIET` seconds; `None` in between."""

    def __init__(self, steps: int, first: int) -> None:
        self.steps, self.first = steps, first
        self.started = self.spoke = time.monotonic()

    def __call__(self, done: int) -> str | None:
        now = time.monotonic()
        if now - self.spoke < QUIET and done < self.steps:
            return None
        self.spoke = now
        left = int((now - self.started) / (done - self.first) * (self.steps - done))
        return f"{left // 60}:{left % 60:02d}"


def adamw(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW without weight decay on biases and LayerNorms, the head's rate times `head_multiplier`."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter.ndim > 1, ".head." in f".{name}"), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": recipe.weight_decay if decays else 0.0,
                "multiplier": recipe.head_multiplier if head else 1.0,
            }
            for (decays, head), parameters in groups.items()
        ],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        fused=True,
    )


def gradient_ratio(losses: Mapping[str, Tensor], model: nn.Module) -> dict[str, float]:
    """Norm of the distillation terms' gradient over that of the task loss: the effective strength of a lambda.

    The gradients are those of the whole batch, averaged over the processes.
    """
    others = [loss for name, loss in losses.items() if name != "task"]
    if "task" not in losses or not others:
        return {}
    parameters = [p for p in model.parameters() if p.requires_grad]

    def norm(loss: Tensor) -> float:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
        return math.sqrt(sum(float(distributed.mean(g).square().sum()) for g in gradients))

    return {"gradient_ratio": norm(torch.stack(others).sum()) / max(norm(losses["task"]), 1e-12)}


def observed(model: nn.Module, batch: Batch) -> dict[str, float]:
    """Values from the model's method ``observe`` for a batch: means over the processes' rows."""
    observe: Callable[[Batch], dict[str, float]] | None = getattr(model, "observe", None)
    found = observe(batch) if observe else {}
    means = distributed.mean(torch.tensor(list(found.values()), device=batch.labels.device)).tolist() if found else []
    return dict(zip(found, means, strict=True))


def not_finite(found: NotFinite, batch: Batch, context: RunContext) -> UserError:
    """The error for a loss or a gradient that is not a number; saves the batch that caused it.

    The first process whose own loss is not a number saves its rows; of a gradient, the first process.
    """
    # `first` is the number of processes where none has such a loss.
    saving = distributed.first(not math.isfinite(found.own.sum().item())) % distributed.count()
    if distributed.rank() == saving:
        tensors = {
            name: tensor.cpu().clone(memory_format=torch.contiguous_format) for name, tensor in batch.tensors().items()
        }
        with files.atomic(context.inspection) as temporary:
            save_file(tensors, temporary)
    distributed.wait()
    what = "gradient" if "gradient_norm" in found.losses else "loss"
    values = ", ".join(f"{name} {loss:g}" for name, loss in found.losses.items())
    return UserError(
        f"[{context.label}] the {what} of step {found.step + 1} is not a finite number ({values}); its batch is in "
        f"{context.inspection}. Lower training.learning_rate or the method's lambda0, or look for bad features"
    )
