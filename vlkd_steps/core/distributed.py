"""Training one model in several processes: how rows are divided, and what the processes must agree on.

Accelerate (`hardware.accelerator`) initialises the process group from the environment and averages the gradients. This
module does the rest. With a single process each function does nothing.

Tensors of a GPU meet by NCCL, those of the CPU by gloo, also where GPUs train: what the processes agree on after each
step is a number on the CPU, and none of them waits for its GPU.

N processes see the batch that one process would see: process r takes its rows r, r + N, r + 2N, ... A loss that is a
mean over rows needs nothing else, since the mean of the means of equal shares is the mean; one that compares rows
gathers them first. The result equals that of one process up to rounding, not bit for bit: floating-point sums depend
on their order, and here each process sums its own rows before the processes' sums are added. For a given number of
processes the order is fixed, so results are reproducible bit for bit.
"""

import atexit
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, distributed

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest


def count() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that locks the run directory and writes all files."""
    return rank() == 0


def share() -> slice:
    """This process's rows of a whole batch, or its part of any other list of work."""
    return slice(rank(), None, count())


def gathered(rows: Tensor) -> Tensor:
    """The rows [B / N, ...] of all N processes, [B, ...], those of process 0 first.

    A loss over them is the same in every process, and each backpropagates through its own rows only. That gradient is
    multiplied by N, since the processes' gradients are averaged and the gradient of the loss is their sum.
    """
    if count() == 1:
        return rows
    whole = [torch.empty_like(rows) for _ in range(count())]
    distributed.all_gather(whole, rows.detach().contiguous())
    if rows.requires_grad:
        whole[rank()] = rows.view_as(rows)
        whole[rank()].register_hook(lambda gradient: gradient * count())
    return torch.cat(whole)


def summed(values: Tensor) -> Tensor:
    """The sum over the processes of a tensor without gradient."""
    if count() == 1:
        return values
    found = values.clone()
    distributed.all_reduce(found)
    return found


def mean(values: Tensor) -> Tensor:
    """The mean over the processes of a tensor without gradient; NaN if it is NaN in any of them."""
    return values if count() == 1 else summed(values) / count()


def total(value: float) -> float:
    """The sum over the processes, in double precision."""
    return value if count() == 1 else float(summed(torch.tensor(value, dtype=torch.float64)))


def highest(number: int) -> int:
    """The greatest of the processes' numbers."""
    if count() == 1:
        return number
    found = torch.tensor(number)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found)


def first(concerned: bool) -> int:
    """The lowest rank of a process where `concerned` is true, or the number of processes if there is none."""
    return -highest(-(rank() if concerned else count()))


def everyone(own: str) -> list[str]:
    """Each process's text, that of process 0 first."""
    if count() == 1:
        return [own]
    found = [""] * count()
    distributed.all_gather_object(found, own)
    return found


def decided(question: Callable[[], int]) -> int:
    """The main process's answer. Only it looks: a shared file system may show the others an older state."""
    if count() == 1:
        return question()
    answer = torch.tensor(question() if is_main() else 0)
    distributed.broadcast(answer, 0)
    return int(answer)


def agree(stop: StopRequest) -> bool:
    """Whether any process received a stop signal; if so, every process's request is set to that signal.

    A signal may reach one process only, and the others would wait for it for ever.
    """
    stopped = bool(stop)
    if count() == 1:
        return stopped
    number = highest(stop.signal_number if stopped else 0)
    stop.signal_number = number or stop.signal_number
    return number != 0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A block that ends in every process when one of them raises a `UserError`; only that one reports it.

    Raises:
        UserError: this process's own.
        SystemExit: another process's (status 2, without a message).
    """
    mistake: UserError | None = None
    try:
        yield
    except UserError as error:
        mistake = error
    somewhere = highest(mistake is not None)
    if mistake:
        raise mistake
    if somewhere:
        raise SystemExit(2)


def check_start(step: int, checkpoint: Path) -> None:
    """Stop if the processes found different checkpoints.

    Raises:
        UserError: their file systems are not the same.
    """
    last = highest(step)
    if -highest(-step) != last:
        raise UserError(
            f"the processes of this run do not see the same {checkpoint}: one found step {last}, process {rank()} step "
            f"{step}; the run directory must be on a file system that all nodes share"
        )


def wait() -> None:
    """Wait for all processes."""
    highest(0)


def leave() -> None:
    """Wait for all processes before exiting; the group itself ends with the process, which keeps its rank."""
    if count() > 1:
        wait()
        atexit.register(distributed.destroy_process_group)
