"""Checks of a device other than speed: bit-exact resuming, bf16 close to fp32, and the cost of determinism."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import hardware
from vlkd_steps.core.interruption import Interrupted, StopRequest
from vlkd_steps.data.batches import Batch
from vlkd_steps.engine import loop
from vlkd_steps.gpu_bench import distillation, timing
from vlkd_steps.gpu_bench.cases import TINY, Student


@dataclass(frozen=True)
class Check:
    """A check: its name, its result, and whether that is good (None: only a figure)."""

    name: str
    found: str
    good: bool | None = None


def all_of(case: Student, device: torch.device, precision: str, seconds: float, losses: int) -> Iterator[Check]:
    """The checks that need one process. Bytes and losses are checked with the scenes' ViLT.

    Args:
        case: the student whose step is timed with and without deterministic algorithms.
        losses: steps of the comparison of precisions.
    """
    yield resumed(device, precision)
    if precision != "fp32":
        yield near_fp32(device, precision, losses)
    yield determinism(case, device, precision, seconds)


def resumed(device: torch.device, precision: str) -> Check:
    """Compare twelve uninterrupted steps with six that are stopped and resumed for another six."""
    whole = weights(device, precision, 12, stop_at=None)
    parts = weights(device, precision, 12, stop_at=6)
    away = [name for name, tensor in whole.items() if not torch.equal(tensor, parts[name])]
    found = "equal in every bit" if not away else f"{len(away)} of {len(whole)} tensors differ, the first is {away[0]}"
    return Check("a run that is stopped and resumed", found, not away)


def near_fp32(device: torch.device, precision: str, steps: int) -> Check:
    """The mean loss of a run's last quarter in `precision` and in fp32."""
    means = [curve(device, each, steps) for each in (precision, "fp32")]
    away = abs(means[0] - means[1]) / means[1]
    return Check(
        f"losses in {precision} and fp32, steps {steps - steps // 4 + 1} to {steps}",
        f"{means[0]:.4f} and {means[1]:.4f}, {100 * away:.1f} % apart",
        away < 0.05,
    )


def determinism(case: Student, device: torch.device, precision: str, seconds: float) -> Check:
    """A bare step with deterministic algorithms, and without."""
    accelerator = accelerated(device, precision)
    student = distillation.built(case).to(device)
    batch = distillation.batches(case, student, {})(0).to(device)
    step = distillation.bare_loop(student, batch, accelerator)
    before = torch.are_deterministic_algorithms_enabled()
    took = []
    try:
        for deterministic in (True, False):
            torch.use_deterministic_algorithms(deterministic)
            took.append(timing.repeated(step, seconds, device))
    finally:
        torch.use_deterministic_algorithms(before)
    return Check(f"deterministic algorithms, {case.name}", f"{took[0] / took[1]:.3f} x the time of a step without")


def together(case: Student, device: torch.device, alone: float, arguments: list[str]) -> Check:
    """Two processes that train on the same card simultaneously.

    Args:
        alone: items per second of one process.
        arguments: of `python -m vlkd_steps.gpu_bench.alone`.
    """
    name = f"two processes on one {device.type}, {case.name}"
    command = [sys.executable, "-m", "vlkd_steps.gpu_bench.alone", *arguments]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    rates = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        return Check(name, "one of them failed, see above; memory may be too small for both")
    both = sum(map(float, rates))
    return Check(name, f"{both:,.0f} items/s, {both / alone:.2f} x those of one")


def accelerated(device: torch.device, precision: str) -> Accelerator:
    """Accelerate with a device and a precision, reset from any earlier setting."""
    AcceleratorState._reset_state(True)
    return hardware.accelerator({"device": device.type, "precision": precision, "threads": torch.get_num_threads()})


def weights(device: torch.device, precision: str, steps: int, stop_at: int | None) -> dict[str, torch.Tensor]:
    """The weights after `steps` of a run, which is stopped at a step and started again unless `stop_at` is None."""
    with tempfile.TemporaryDirectory() as folder:
        if stop_at is not None:
            stopped_once(Path(folder), device, precision, steps, stop_at)
        model = trained(Path(folder), device, precision, steps, StopRequest(), None)[0]
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def stopped_once(folder: Path, device: torch.device, precision: str, steps: int, stop_at: int) -> None:
    stop = StopRequest()
    try:
        trained(folder, device, precision, steps, stop, stop_at)
    except Interrupted:
        return
    raise AssertionError("a run continued after a request to stop")


def curve(device: torch.device, precision: str, steps: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        losses = trained(Path(folder), device, precision, steps, StopRequest(), None)[1]
    last = losses[-max(1, len(losses) // 4) :]
    return sum(last) / len(last)


def trained(
    folder: Path, device: torch.device, precision: str, steps: int, stop: StopRequest, stop_at: int | None
) -> tuple[torch.nn.Module, list[float]]:
    """The scenes' ViLT after some steps of CLIP-TD, and its losses by window.

    Args:
        stop_at: the step at which `stop` is set, as by a signal.
    """
    case = TINY.students[0]
    accelerator = accelerated(device, precision)
    torch.manual_seed(0)
    student = distillation.built(case)
    model, extra = distillation.distillation(student, "clip_td", case.text)
    make = distillation.batches(case, student, extra)
    losses: list[float] = []

    def log(event: str, **fields: dict[str, float]) -> None:
        if event == "metrics":
            losses.append(sum(value for name, value in fields["metrics"].items() if name.startswith("loss/")))

    def upcoming(numbers: range) -> Iterator[Batch]:
        for number in numbers:
            if number == stop_at:
                stop.signal_number = 15
            yield make(number).to(device)

    recipe = Recipe(steps=steps, batch_size=case.items, learning_rate=1e-3, checkpoint_every=steps)
    context = loop.RunContext(folder, folder / "batch.safetensors", "bench", "bench", log)
    with distillation.without_progress():
        loop.train(model, upcoming, recipe, context, 0, accelerator, stop)
    return model, losses
