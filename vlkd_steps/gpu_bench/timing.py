"""A step's time, operations, memory, and waiting time for its batch."""

import contextlib
import gc
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

WARM = 3
"""Steps before the clock starts: the first ones allocate memory and choose kernels."""
LEAST = 3
"""Steps that are timed at least, however long they take."""
TOO_LARGE = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
Made = TypeVar("Made")


def wait(device: torch.device) -> None:
    """Wait until the device has finished its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def repeated(step: Callable[[], object], seconds: float, device: torch.device) -> float:
    """The mean seconds of a step, over about `seconds`."""
    for _ in range(WARM):
        step()
    wait(device)
    begun, count = time.perf_counter(), 0
    while count < LEAST or time.perf_counter() - begun < seconds:
        step()
        count += 1
        if count % 10 == 0 or count < LEAST:
            wait(device)  # otherwise a GPU's queue accepts many more steps than fit into the time
    wait(device)
    return (time.perf_counter() - begun) / count


def operations(step: Callable[[], object]) -> float:
    """Floating-point operations of a step; a multiplication with an addition counts as two.

    The counter does not see into the fast path that torch takes for attention at inference without autocast.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter:
            step()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return float(counter.get_total_flops())


class Enough(Exception):
    """The time is over; raised inside the measured loop, which then saves nothing."""


@dataclass
class Clock:
    """Times the steps of a loop by its requests for batches.

    Attributes:
        steps: those timed; took: their seconds; waited: seconds of these in which the loop waited for a batch.
    """

    seconds: float
    device: torch.device
    steps: int = 0
    took: float = 0.0
    waited: float = 0.0

    def __call__(self, batches: Iterable[Made]) -> Iterator[Made]:
        """The batches, until the time is over.

        Raises:
            Enough: the time is over.
        """
        begun, upcoming, count = 0.0, iter(batches), 0
        while True:
            if count == WARM:
                wait(self.device)
                begun, self.waited = time.perf_counter(), 0.0
            requested = time.perf_counter()
            if count >= WARM + LEAST and requested - begun > self.seconds:
                wait(self.device)
                self.steps, self.took = count - WARM, time.perf_counter() - begun
                raise Enough
            batch = next(upcoming)
            self.waited += time.perf_counter() - requested
            yield batch
            count += 1
            if count % 10 == 0:
                wait(self.device)


@contextlib.contextmanager
def fitting() -> Iterator[None]:
    """A block in which memory that is too small is an OutOfMemoryError, whichever library finds it.

    Raises:
        torch.OutOfMemoryError: also for an error of cuBLAS or cuDNN, which have memory of their own.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in TOO_LARGE):
            raise
        raise torch.OutOfMemoryError(str(error)) from None


def forget() -> None:
    """Free unused memory, and reset its measurement."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: torch.device) -> int:
    """Peak bytes of tensors on a GPU since `forget`; on a CPU, of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def largest(step: Callable[[int], Any], first: int, most: int) -> int:
    """The largest of first, 2 first, 4 first, ... <= `most` for which ``step(size)`` fits into memory; 0: none."""
    fits, size = 0, first
    while size <= most:
        forget()
        try:
            with fitting():
                step(size)
        except torch.OutOfMemoryError:
            break
        fits, size = size, 2 * size
    with contextlib.suppress(torch.OutOfMemoryError):
        forget()
    return fits
