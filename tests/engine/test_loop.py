import gc
import math
import signal
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from line_model import Line, batch_of, recipe
from safetensors.torch import load_file
from torch import nn

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import hardware, versions
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted, StopRequest
from vlkd_steps.data.batches import Batch
from vlkd_steps.engine import checkpoint, loop


def batches(numbers: range) -> Iterator[Batch]:
    return map(batch_of, numbers)


@pytest.fixture
def place(tmp_path: Path) -> tuple[loop.RunContext, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []

    def record(event: str, **fields: Any) -> None:
        events.append({"event": event, **fields})

    return loop.RunContext(tmp_path / "checkpoints", tmp_path / "nan_batch.safetensors", "key", "toy", record), events


def run(model: nn.Module, place: loop.RunContext, recipe: Recipe, **more: Any) -> None:
    loop.train(model, batches, recipe, place, 1, Accelerator(cpu=True), StopRequest(), **more)


def test_the_rate_warms_up_and_decays_to_zero() -> None:
    rates = [recipe(steps=100, warmup=0.1, learning_rate=1.0).rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == pytest.approx(1.0) == max(rates)
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == 0.0
    assert rates[:11] == sorted(rates[:11])
    assert recipe(warmup=0.0).rate(0) == pytest.approx(0.1)


def test_weights_decay_biases_and_norms_do_not_and_the_head_may_run_ahead() -> None:
    model = nn.ModuleDict({"head": nn.Linear(2, 2), "body": nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))})
    groups = loop.adamw(model, recipe(weight_decay=0.3, head_multiplier=10)).param_groups
    found = {(g["weight_decay"], g["multiplier"]): sum(p.numel() for p in g["params"]) for g in groups}
    assert found == {(0.3, 10): 4, (0.0, 10): 2, (0.3, 1.0): 4, (0.0, 1.0): 6}


def test_one_step_is_adamws(place: Any) -> None:
    model = Line()
    run(model, place[0], recipe(steps=1, warmup=0.0, weight_decay=0.0, clip=1e9))
    # The first step of Adam moves every weight by the rate against its gradient's sign.
    assert model.layer.weight.item() == pytest.approx(0.1, rel=1e-4)
    assert model.layer.bias.item() == pytest.approx(0.1, rel=1e-4)


def test_gradients_are_clipped_and_the_norm_before_is_logged(place: Any) -> None:
    run(Line(), place[0], recipe(steps=1, clip=0.5))
    (event,) = [e for e in place[1] if e["event"] == "metrics"]
    # d/dw mean((wx - x)^2) at 0 is -2 mean(x^2) = -5, d/db -2 mean(x) = -3 with pixels 1 and 2
    assert event["metrics"]["gradient_norm"] == pytest.approx(math.sqrt(34), rel=1e-4)
    assert event["metrics"]["loss/task"] == pytest.approx(2.5)
    assert event["metrics"]["loss"] == pytest.approx(2.5)


def test_accumulated_batches_weigh_alike(place: Any) -> None:
    run(Line(), place[0], recipe(steps=1, accumulation=2))
    (event,) = [e for e in place[1] if e["event"] == "metrics"]
    assert event["metrics"]["loss/task"] == pytest.approx((2.5 + 6.5) / 2)  # pixels 1, 2 and 2, 3


def test_dev_is_evaluated_and_the_best_is_kept(place: Any) -> None:
    model, scores = Line(), iter([10.0, 30.0, 20.0, 30.0])
    seen = []

    def evaluate() -> dict[str, float]:
        seen.append((model.training, model.layer.weight.item()))
        return {"accuracy": next(scores)}

    run(model, place[0], recipe(evaluate_every=2), evaluate=evaluate)
    scores = [(e["step"], e["metrics"]["accuracy"]) for e in place[1] if e["event"] == "evaluation"]
    assert scores == [(2, 10.0), (4, 30.0), (6, 20.0), (8, 30.0)]
    assert not any(training for training, _ in seen)
    best = load_file(place[0].checkpoints / "best.safetensors")
    assert best["layer.weight"].item() == seen[1][1] != model.layer.weight.item()


def test_the_gradients_ratio_is_logged_where_dev_is_evaluated(place: Any) -> None:
    model = Line()
    with torch.no_grad():
        model.layer.bias.fill_(1.0)
    losses = model(batch_of(0), 0)
    # task: d/dw = 2 mean((1 - x) x) = -2, d/db = 2 mean(1 - x) = -1; pull: d/db = 1
    assert loop.gradient_ratio(losses, model)["gradient_ratio"] == pytest.approx(1 / math.sqrt(5), rel=1e-4)
    assert loop.gradient_ratio({"task": losses["task"]}, model) == {}


@pytest.mark.slow
def test_a_compiled_model_is_watched_while_it_is_trained(place: Any) -> None:
    model = Line()
    model.layer = nn.Sequential(nn.Linear(1, 4), nn.GELU(), nn.Linear(4, 1))
    model.layer.bias = nn.Parameter(torch.ones(1))
    hardware.adapt(model.layer, {"compile": True})
    run(model, place[0], recipe(steps=2, evaluate_every=2), evaluate=lambda: {"accuracy": 1.0})
    (event,) = [e for e in place[1] if e["event"] == "metrics"]
    assert event["metrics"]["gradient_ratio"] > 0


class LateRequest(StopRequest):
    """The signal comes right after the loop has checked for it the first time."""

    def __bool__(self) -> bool:
        before = super().__bool__()
        self.signal_number = signal.SIGTERM
        return before


def test_a_signal_between_two_looks_ends_the_run_saved(place: Any) -> None:
    with pytest.raises(Interrupted) as stopped:
        loop.train(Line(), batches, recipe(), place[0], 1, Accelerator(cpu=True), LateRequest())
    assert stopped.value.exit_status == 143
    assert checkpoint.peek(place[0].checkpoints / "last.safetensors")["step"] == 2  # type: ignore[index]


def test_a_loss_that_is_not_a_number_ends_the_run_and_keeps_the_batch(place: Any) -> None:
    with pytest.raises(UserError, match=r"\[toy\] the loss of step 6 is not a finite number \(task inf, pull"):
        run(Line(spoil=5), place[0], recipe())
    kept = load_file(place[0].inspection)
    assert kept["images"][:, 0, 0, 0].tolist() == [6, 7]
    assert checkpoint.peek(place[0].checkpoints / "last.safetensors")["step"] == 4  # type: ignore[index]


class Steep(Line):
    """The gradient of the step `steep` is not a number, although its loss is."""

    steep = -1

    def forward(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        losses = super().forward(batch, step)
        if step == self.steep:
            losses["pull"] = losses["pull"] + (0 * self.layer.weight).sum().sqrt()
        return losses


@pytest.mark.parametrize(("step", "saved"), [(7, 4), (3, None)], ids=["the last one", "one that is to be saved"])
def test_a_gradient_that_is_not_a_number_ends_the_run_before_its_weights_are_saved(
    place: Any, step: int, saved: int | None
) -> None:
    model = Steep()
    model.steep = step
    with pytest.raises(UserError, match=rf"the gradient of step {step + 1} is not a finite .*gradient_norm nan"):
        run(model, place[0], recipe())
    assert load_file(place[0].inspection)["images"][:, 0, 0, 0].tolist() == [step + 1, step + 2]
    found = checkpoint.peek(place[0].checkpoints / "last.safetensors")
    assert (found and found["step"]) == saved


def test_a_trained_model_is_not_kept_for_the_next_seed(place: Any) -> None:
    accelerator, model = Accelerator(cpu=True), Line()
    loop.train(model, batches, recipe(), place[0], 1, accelerator, StopRequest())
    left = weakref.ref(model)
    del model
    gc.collect()
    assert left() is None


def test_nothing_is_read_from_the_device_until_a_window_ends(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    for name in ("tolist", "item", "__float__", "__bool__", "cpu"):
        own = getattr(torch.Tensor, name)

        def counted(tensor: torch.Tensor, *given: Any, name: str = name, own: Any = own) -> Any:
            read.append(name)
            return own(tensor, *given)

        monkeypatch.setattr(torch.Tensor, name, counted)
    seen = []

    def record(event: str, **fields: Any) -> None:
        seen.append((fields["step"], list(read)))

    watched = loop.RunContext(place[0].checkpoints, place[0].inspection, "key", "toy", record)
    run(Line(), watched, recipe(steps=60, checkpoint_every=1000))
    assert seen == [(25, ["tolist"]), (50, ["tolist"] * 2), (60, ["tolist"] * 3)]


def test_curves_are_the_same_wherever_they_are_read(place: Any) -> None:
    run(Line(), place[0], recipe(steps=60, checkpoint_every=1000))
    whole = [(e["step"], e["metrics"] | {"step_ms": 0}) for e in place[1]]
    (place[0].checkpoints / "last.safetensors").unlink()
    place[1].clear()
    run(Line(), place[0], recipe(steps=60, checkpoint_every=7))
    assert [(e["step"], e["metrics"] | {"step_ms": 0}) for e in place[1]] == whole
    assert len(whole) == 3


def test_a_checkpoint_of_another_precision_is_not_resumed(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(Line(), place[0], recipe(steps=4))
    assert checkpoint.peek(place[0].checkpoints / "last.safetensors")["key"] == "key"  # type: ignore[index]
    monkeypatch.setattr(loop.hardware, "precision", lambda accelerator: "bf16")
    run(Line(), place[0], recipe(steps=4))
    assert checkpoint.peek(place[0].checkpoints / "last.safetensors")["key"] == "key-bf16"  # type: ignore[index]
    assert [e["step"] for e in place[1]] == [4, 4]


def test_a_checkpoint_of_other_versions_of_the_libraries_is_not_resumed(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Line(), place[0], recipe(steps=4))
    monkeypatch.setattr(versions, "digest", lambda: "of another torch")
    run(Line(), place[0], recipe(steps=4))
    run(Line(), place[0], recipe(steps=4))
    assert [e["step"] for e in place[1]] == [4, 4]


def test_a_checkpoint_of_another_run_is_not_resumed(place: Any, tmp_path: Path) -> None:
    run(Line(), place[0], recipe(steps=4))
    other = loop.RunContext(place[0].checkpoints, place[0].inspection, "another key", "toy", place[0].log_event)
    model = Line()
    optimizer = loop.adamw(model, recipe())
    last = place[0].checkpoints / "last.safetensors"
    assert checkpoint.load(last, other.key, model, optimizer) is None
    assert model.layer.weight.item() == 0.0
    assert checkpoint.load(last, "key", model, optimizer)["step"] == 4  # type: ignore[index]
    assert model.layer.weight.item() != 0.0
    last.write_bytes(b"torn")
    assert checkpoint.load(last, "key", model, optimizer) is None


def test_a_checkpoint_with_another_byte_is_not_resumed(place: Any) -> None:
    run(Line(), place[0], recipe(steps=4))
    last = place[0].checkpoints / "last.safetensors"
    content = bytearray(last.read_bytes())
    content[-1] ^= 1
    last.write_bytes(content)
    model = Line()
    assert checkpoint.load(last, "key", model, loop.adamw(model, recipe())) is None
    assert model.layer.weight.item() == 0.0
