"""A student's pre-training from its first step to its folder: the part common to all students."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import distributed, files, layout
from vlkd_steps.core.interruption import Interrupted, stop_request
from vlkd_steps.data import tokenizer as text
from vlkd_steps.data.batches import Batch
from vlkd_steps.engine import loop
from vlkd_steps.tracking.journal import Journal, curves, read

Curve = Mapping[str, Mapping[int, float]]


def train(
    name: str,
    key: str,
    model: nn.Module,
    batches: Callable[[range], Iterator[Batch]],
    recipe: Recipe,
    seed: int,
    accelerator: Accelerator,
) -> Curve | None:
    """Train in ``models/<name>/work``, resuming where an earlier call stopped.

    Args:
        key: content key, over everything that the weights depend on.

    Returns:
        The loss curves, by name and step, in the first process; None in the others.

    Raises:
        SystemExit: stopped by a signal, after saving (143 for TERM).
    """
    work = layout.model(name) / "work"
    history = work / f"{key[:16]}.jsonl"
    with stop_request() as stop, contextlib.ExitStack() as held:
        log_event = held.enter_context(Journal(history)).append if distributed.is_main() else loop.no_log
        context = loop.RunContext(work, work / "nan_batch.safetensors", key, f"pretrain {name}", log_event)
        try:
            loop.train(model, batches, recipe, context, seed, accelerator, stop)
        except Interrupted as interruption:
            distributed.leave()
            raise SystemExit(interruption.exit_status) from interruption
    if not distributed.is_main():
        return None
    return {name: points for name, points in curves(read(history)).items() if name.startswith("loss")}


def write(model: PreTrainedModel, weights: Mapping[str, Tensor], tokenizer: Any, folder: Path, curve: Curve) -> None:
    """Write the files for `initialization.load`, the weights last: their presence marks the folder as complete."""
    text.write(tokenizer, folder)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    files.write_json(folder / "curve.json", {name: list(map(list, points.items())) for name, points in curve.items()})
    with files.atomic(layout.model_weights(folder.name)) as temporary:
        save_file(dict(weights), temporary, metadata={"format": "pt"})
