"""The training loop, from the first batch to the last checkpoint.

It minimises the sum of the named losses that a module returns, with AdamW, a linear warm-up and a linear decay to
zero. Everything random is keyed by (seed, step): the batch of a step and its dropout do not depend on what ran
before, so a run that was interrupted ends in the same bytes as one that was not.

On TERM the current step is finished and saved, then `Interrupted` is raised: nothing is computed twice. After kill -9
the run resumes from the last checkpoint. A loss that is not a number ends the run when its window is read (`curves`),
before anything is saved, with the batch made again for inspection.

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
        key: content key, which with the precision identifies a checkpoint as this run's own.
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
        batches: this process's rows of the batches of some numbers, in their order, on the device that trains; a
            batch is a function of its number, and step s takes numbers s * accumulation and following.
        evaluate: dev metrics of the current model, of which the first decides which checkpoint is best; called in
            evaluation mode, in every process, and equal in all.
        epoch_steps: steps of one epoch, for the journal.

    Raises:
        Interrupted: stopped by a signal; all is saved.
        UserError: a loss is not a number; processes that found different checkpoints.
    """
    optimizer = adamw(model, recipe)
    last, best = context.checkpoints / "last.safetensors", context.checkpoints / "best.safetensors"
    model.to(accelerator.device)
    progress: dict[str, Any] = {"step": 0, "best": None, "dev": None, "window": {}}
    key = "-".join([context.key, *({hardware.precision(accelerator)} - {"fp32"})])
    progress |= checkpoint.load(last, key, model, optimizer) or {}
    distributed.check_start(progress["step"], last)
    rank = [distributed.rank()] if distributed.rank() else []  # each process has its own dropout
    # The optimizer and the backward pass are torch's own: accelerate's wrappers scale losses of fp16, which is no
    # precision here, and look for packages at every step.
    bare, model = model, accelerator.prepare(model)
    parameters = list(model.parameters())
    time_left = TimeLeft(recipe.steps, progress["step"])
    model.train()
    curves = Curves(progress["window"])

    def read() -> None:
        if found := curves.read():
            raise not_finite(found, next(iter(batches(range(found.batch, found.batch + 1)))), context)

    upcoming = batches(range(progress["step"] * recipe.accumulation, recipe.steps * recipe.accumulation))

    for step in range(progress["step"], recipe.steps):
        done = step + 1
        evaluation_due = evaluate is not None and recipe.evaluate_every and done % recipe.evaluate_every == 0
        begun = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step) * group["multiplier"]
        seed_dropout(derive(seed, "dropout", step, *rank), accelerator.device)
        computed = Step(step)
        for number in range(step * recipe.accumulation, done * recipe.accumulation):
            last_one = (
                number == done * recipe.accumulation - 1
            )  # gradients are averaged over the processes with it only
            with contextlib.nullcontext() if last_one else accelerator.no_sync(model):
                shown = next(upcoming)
                losses: dict[str, Tensor] = model(shown, step)
                each = torch.stack(list(losses.values()))
                own = each.detach()
                computed.batches.append((number, list(losses), distributed.mean(own), own))
                if evaluation_due and not computed.values:
                    computed.values |= gradient_ratio(losses, bare) | observed(bare, shown)
                (each.sum() / recipe.accumulation).backward()
        computed.norm = nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        window_ends = done % WINDOW == 0 or done == recipe.steps
        curves.add(computed)
        if window_ends or evaluation_due:
            read()
        curves.count("step_ms", 1000 * (time.perf_counter() - begun))  # on a GPU a window's last step waits for all

        progress["step"] = done
        if window_ends:
            means = curves.point() | {"learning_rate": recipe.rate(step)}
            context.log_event("metrics", step=done, epoch=round(done / epoch_steps, 3), metrics=means)
        if evaluation_due and evaluate is not None:
            model.eval()
            metrics = evaluate()
            model.train()
            progress["dev"] = next(iter(metrics.values()))
            context.log_event("evaluation", step=done, set="dev", metrics=metrics)
            if progress["best"] is None or progress["dev"] > progress["best"]:
                progress["best"] = progress["dev"]
                if distributed.is_main():
                    checkpoint.save_model(best, bare)
        # Evaluate, then save: a resumed run does not repeat the evaluation. The stop request is read once: one that
        # comes after saving must not end the run before the next save.
        stopping = distributed.agree(stop)
        saving = stopping or done % recipe.checkpoint_every == 0 or done == recipe.steps
        left = time_left(done) if distributed.is_main() else None
        if saving or (left and distributed.count() == 1):  # else all processes would have to know of the line
            read()
        if saving and distributed.is_main():
            checkpoint.save(last, key, bare, optimizer, progress)
        if left:
            dev = "" if progress["dev"] is None else f"  dev {progress['dev']:.1f}"
            log.info(f"[{context.label}] step {done}/{recipe.steps}  loss {curves.loss:.3f}{dev}  left {left}")
        if stopping and done < recipe.steps:
            distributed.wait()  # a process that exits early may end the others while one is still saving
            stop.raise_if_set()
    return bare.eval()


def seed_dropout(number: int, device: torch.device) -> None:
    """Seed the generators that a model on `device` draws from.

    `torch.manual_seed` seeds the CPU's alike, but where CUDA is not used it formats a traceback at every call.
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
    """Further values of a batch by the model's method ``observe``: means over the processes' rows."""
    observe: Callable[[Batch], dict[str, float]] | None = getattr(model, "observe", None)
    found = observe(batch) if observe else {}
    means = distributed.mean(torch.tensor(list(found.values()), device=batch.labels.device)).tolist() if found else []
    return dict(zip(found, means, strict=True))


def not_finite(found: NotFinite, batch: Batch, context: RunContext) -> UserError:
    """The error for a loss that is not a number; saves the batch that caused it.

    Of several processes the first whose own loss is not a number saves its rows.
    """
    if distributed.first(not math.isfinite(found.own.sum().item())) == distributed.rank():
        with files.atomic(context.inspection) as temporary:
            save_file(
                {
                    name: tensor.cpu().clone(memory_format=torch.contiguous_format)
                    for name, tensor in batch.tensors().items()
                },
                temporary,
            )
    distributed.wait()
    values = ", ".join(f"{name} {loss:g}" for name, loss in found.losses.items())
    return UserError(
        f"[{context.label}] the loss of step {found.step + 1} is not a finite number ({values}); its batch is in "
        f"{context.inspection}. Lower training.learning_rate or the method's lambda0, or look for bad features"
    )
