"""Pre-train a CLIP on image-caption pairs with open_clip's contrastive loss.

The optimiser is CLIP's: AdamW (0.9, 0.98), weight decay on matrices only, linear warm-up, cosine decay to zero, the
logit scale clamped to at most 100 (Radford et al. 2021). Every leg (the ``checkpoint_every`` steps between two
checkpoints) draws its pairs from its own seed, so that a killed run resumes with the same batches.

Several processes share a batch and contrast their rows with all rows; only the first process writes.
"""

import math
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vlkd_steps.core import distributed, files, hardware, layout, step
from vlkd_steps.core.interruption import Interrupted, stop_request
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import pretraining_pairs
from vlkd_steps.engine import batch_norm, checkpoint
from vlkd_steps.pretrained import report
from vlkd_steps.runs import model_dir
from vlkd_steps.runs.model_dir import ModelDir
from vlkd_steps.teachers.models import clip, zero_shot

DTYPES = {"float16": torch.float16, "float32": torch.float32}


class Contrast(nn.Module):
    """An open_clip model with its loss over the rows of all processes, as one module that accelerate can wrap."""

    def __init__(self, clip_model: nn.Module) -> None:
        super().__init__()
        self.clip = clip_model
        self.loss = open_clip.ClipLoss()

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        image_features = self.clip.encode_image(images, normalize=True)  # type: ignore[operator]
        text_features = self.clip.encode_text(tokens, normalize=True)  # type: ignore[operator]
        scale = self.clip.logit_scale.exp()  # type: ignore[operator]
        # open_clip's gathering averages the gradient once too often or uses a deprecated part of torch.
        return self.loss(distributed.gathered(image_features), distributed.gathered(text_features), scale)


def pretrain(config: Mapping[str, Any]) -> None:
    """Train the teacher ``config`` (`conf/teacher/*.yaml` with a ``pretrain`` section) and write ``models/<name>/``.

    Args:
        config: ``name, model`` and ``pretrain``: ``corpus`` and ``split`` of a data set of captions, or
            ``stream: scenes`` with ``single_object_legs``; ``init``, a teacher to start from; ``seed, steps,
            batch_size, learning_rate, warmup`` (a share of the steps), ``weight_decay, checkpoint_every,
            evaluate_every, threads, device, processes`` and the ``dtype`` of the written weights.

    Raises:
        UserError: see `clip.create` and `corpus.open_corpus`.
        SystemExit: stopped by a signal, after saving (143 for TERM).
    """
    recipe = config["pretrain"]
    accelerator = hardware.accelerator({**recipe, "precision": "fp32"})
    device = accelerator.device
    start = str(model_dir.initial(recipe["init"])) if recipe.get("init") else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(recipe["seed"], "initial weights"))
        model, transform = clip.create(config["model"], start)
    batch_norm.share(model)
    model.to(device, memory_format=torch.channels_last).train()
    tokenizer, pairs = clip.tokenizer(config["model"]), pretraining_pairs.open_corpus(recipe, transform)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, recipe["weight_decay"]), lr=recipe["learning_rate"], betas=(0.9, 0.98), eps=1e-6
    )
    folder, leg_length, steps = layout.model(config["name"]), recipe["checkpoint_every"], recipe["steps"]
    kept, key = folder / "work" / "last.safetensors", ModelDir.of(config).key
    state = checkpoint.load(kept, key, model, optimizer) or {"done": 0, "curve": []}
    distributed.check_start(state["done"], kept)
    contrast = accelerator.prepare(Contrast(model))
    stopping = False
    progress = Progress(config["name"], steps, state["done"])
    with stop_request() as stop:
        while state["done"] < steps:
            leg, into = divmod(state["done"], leg_length)
            seed = derive(recipe["seed"], "pairs", leg)
            batches = pairs.batches(leg, seed, recipe["batch_size"], distributed.share())
            for images, captions in islice(batches, into, min(leg_length, steps - leg * leg_length)):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(state["done"], recipe)
                loss = contrast(images.to(device), tokenizer(captions).to(device))
                optimizer.zero_grad()
                accelerator.backward(loss)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                with torch.no_grad():
                    model.logit_scale.clamp_(0, math.log(100))
                state["done"] += 1
                if state["done"] % recipe["evaluate_every"] == 0 or state["done"] == steps:
                    named = recipe.get("stream") and distributed.is_main()
                    measured = zero_shot.scenes_accuracy(model, tokenizer) if named else {}
                    state["curve"].append({"step": state["done"], "loss": round(loss.item(), 4), **measured})
                if distributed.is_main():
                    progress.log_event(state, loss)
                if stopping := distributed.agree(stop):
                    break
            if distributed.is_main():
                checkpoint.save(kept, key, model, optimizer, state)
            if stopping:
                distributed.leave()
                raise SystemExit(Interrupted(stop.signal_number).exit_status)
    if distributed.is_main():
        write(folder, model, config, state["curve"])
    distributed.leave()


def learning_rate(done: int, recipe: Mapping[str, Any]) -> float:
    """Linear warm-up over ``warmup`` of the steps, then half a cosine down to zero."""
    warm = max(1, round(recipe["warmup"] * recipe["steps"]))
    peak: float = recipe["learning_rate"]
    if done < warm:
        return peak * (done + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (done - warm) / max(1, recipe["steps"] - warm)))


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """No weight decay on gains, biases and the logit scale, as in open_clip's own training."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def write(folder: Path, model: torch.nn.Module, config: Mapping[str, Any], curve: list[dict[str, float]]) -> None:
    """Write the curve, then the weights: their presence marks the folder as complete."""
    dtype = DTYPES[config["pretrain"]["dtype"]]
    tensors = {
        name: tensor.detach().cpu().to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in sorted(model.state_dict().items())
    }
    report.check_finite(tensors, f"the weights for {folder}", "lower pretrain.learning_rate, or set dtype: float32")
    files.write_json(folder / "curve.json", curve)
    with files.atomic(layout.model_weights(config["name"])) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})  # two entries would be written in a random order


class Progress:
    """A progress line every five seconds."""

    def __init__(self, name: str, steps: int, done: int) -> None:
        self.name, self.steps, self.first = name, steps, done
        self.started = self.said = time.monotonic()

    def log_event(self, state: Mapping[str, Any], loss: torch.Tensor) -> None:
        now, done = time.monotonic(), state["done"]
        if now - self.said > 5 or done == self.steps:
            self.said = now
            left = int((now - self.started) / (done - self.first) * (self.steps - done))
            last = state["curve"][-1] if state["curve"] else {}
            known = "".join(f"  {key} {100 * last[key]:.1f}" for key in ("colour", "shape") if key in last)
            step.log.info(
                f"[pretrain {self.name}] step {done}/{self.steps}  loss {loss.item():.3f}{known}  "
                f"left {left // 60}:{left % 60:02d}"
            )
