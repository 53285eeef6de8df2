"""Work done ahead by worker processes, such as decoding the images of the batches that come next.

What a worker makes is a function of its number alone, and results come in the order of the numbers: neither the number
of workers nor an interruption changes a byte. Underneath is torch's DataLoader.
"""

import atexit
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Generator, Iterable
from itertools import chain, islice
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import SIGNALS

VARIABLE = "VLKD_LOADER_WORKERS"
DEPTH = 4
"""Results that each worker may be ahead."""
Number = TypeVar("Number")
Made = TypeVar("Made")
KILLED = ("exited unexpectedly", "is killed by signal")  # torch, of a worker that did not end by an exception


def ahead(
    make: Callable[[Number], Made], numbers: Iterable[Number], pinned: bool = False, waits: bool = False
) -> Generator[Made]:
    """``make(number)`` for each of `numbers`, in order, made by `workers` processes while the caller does other things.

    The processes are forked, so that `make` may be a closure over tables of any size; it must not touch a GPU. They end
    with the iterator, or within seconds of this process, however it ends.

    Args:
        numbers: or whatever says what to make; taken one by one, as the workers come to need them.
        pinned: results are tensors in page-locked memory, from which a GPU copies without waiting.
        waits: the caller does nothing meanwhile, and leaves all CPUs to the workers.

    Raises:
        UserError: what `make` raised, or a worker was killed.
    """
    rest = iter(numbers)
    first = list(islice(rest, workers(idle=pinned or waits)))
    count, wanted = len(first), chain(first, rest)
    if not count:
        yield from map(make, wanted)
        return
    warnings.filterwarnings("ignore", message="This DataLoader will create", module="torch")  # the user's own number
    loader = DataLoader(
        _Numbered(make),
        sampler=wanted,
        batch_size=None,
        num_workers=count,
        prefetch_factor=DEPTH,
        worker_init_fn=_ignore_signals,
        multiprocessing_context="fork",
        collate_fn=_as_it_is,
        pin_memory=pinned,
        generator=torch.Generator(),  # else it draws from the global one
    )
    atexit.register(_end_workers)  # also if not all can be started
    made: Any = iter(loader)
    atexit.unregister(_end_workers)
    atexit.register(_end_workers)  # the last to register is the first to run: before torch, which waits for each
    try:
        for found in made:
            if isinstance(found, UserError):
                raise found
            yield found
    except RuntimeError as error:
        if not any(words in str(error) for words in KILLED):
            raise
        raise UserError(
            f"a worker process was killed ({error}); if memory ran out, lower the resource loader_workers "
            f"({count} now) under set-resources in the profile, or {VARIABLE}"
        ) from error
    finally:
        made._shutdown_workers()  # now, not when the last traceback that holds it has gone


def workers(idle: bool = False) -> int:
    """The number of worker processes: ``VLKD_LOADER_WORKERS``, or the CPUs that computing leaves, at least one.

    Args:
        idle: this process leaves the CPUs alone, since it computes on a GPU.

    Raises:
        UserError: the variable is no whole number.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        processes = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
        return max(1, usable_cpus() // processes - (0 if idle else torch.get_num_threads()))
    if not text.isdecimal():
        raise UserError(
            f"{VARIABLE} is {text!r}; write a whole number, 0 to decode in the process that computes "
            "(the resource loader_workers under set-resources in profiles/<name>/config.yaml)"
        )
    return int(text)


def usable_cpus() -> int:
    """The CPUs that this process may use, fewer than the machine's in a Slurm job or a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Numbered(Dataset[Any]):
    """What `make` returns by its number; its user's mistakes as values, since DataLoader rewrites exceptions."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def __getitem__(self, number: Any) -> Any:
        try:
            return self.make(number)
        except UserError as mistake:
            return mistake


def _as_it_is(found: Any) -> Any:
    return found


def _end_workers() -> None:
    """End the workers of an iterator that a traceback still holds when this process exits, or that has not all of them.

    Python ends them by TERM, which they ignore, and would then wait for them without end.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises for a worker that was killed
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def _ignore_signals(worker: int) -> None:
    """A terminal and Slurm signal every process of a job; workers stop when the one that computes has saved."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
