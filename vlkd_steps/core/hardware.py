"""What a run computes on: device, precision, threads and processes, from the configuration and the hardware."""

import contextlib
import functools
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch._functorch import config as functorch

from vlkd_steps.core import distributed
from vlkd_steps.core.devices import DEVICES, PRECISIONS, other_device
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.numbers import unequal_parts
from vlkd_steps.core.step import log

BACKENDS = "cpu:gloo,cuda:nccl"  # of processes on GPUs
PATIENCE = timedelta(hours=2)  # for a process that reads or writes alone; a dead one is noticed by its launcher


def accelerator(training: Mapping[str, Any]) -> Accelerator:
    """Accelerate's view of the chosen device, precision and number of processes, with torch's threads set.

    On a GPU deterministic algorithms are on, so that a run can be repeated bit for bit. Several processes
    (``training.processes``) meet by gloo on CPUs, by NCCL on GPUs, each on the GPU of its LOCAL_RANK; what their CPUs
    agree on goes by gloo there too (`core.distributed`).

    Raises:
        UserError: a device that is not here, another number of processes than was started, a batch they cannot share.
    """
    processes = resolve_processes(training)
    device = resolve_device(training.get("device", "auto"))
    precision = resolve_precision(training.get("precision", "auto"), device)
    threads = int(training.get("threads", 1))
    torch.set_num_threads(threads)
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        # Otherwise deterministic algorithms fill each new tensor with NaN, by a kernel of its own; no result needs it.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        _allow_tf32(precision == "tf32")
    if processes == 1:
        os.environ.pop("LOCAL_RANK", None)  # with it accelerate would open a group of one
    else:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # otherwise accelerate chooses, with a warning
    # find_unused_parameters is set although a step may have none: DDP then never rearranges its buckets, so sums
    # of more than two processes have one order, also after a resume. (clip_td's adaptive stage leaves the head unused.)
    backend = {"backend": BACKENDS} if device == "cuda" and processes > 1 else {}
    group = [
        InitProcessGroupKwargs(timeout=PATIENCE, **backend),
        DistributedDataParallelKwargs(find_unused_parameters=True),
    ]
    mixed_precision = "bf16" if precision == "bf16" else "no"
    chosen = Accelerator(mixed_precision=mixed_precision, cpu=device == "cpu", kwargs_handlers=group)
    if chosen.num_processes != processes:
        raise UserError(
            f"training.processes is {processes}, but on {device} accelerate trains in {chosen.num_processes}; "
            "set training.device to cpu or cuda, or training.processes to 1"
        )
    if chosen.device.type == "cuda" and distributed.count() > 1:
        _check_gpus(chosen.device)
    return chosen


def resolve_processes(training: Mapping[str, Any]) -> int:
    """The number of processes that share a batch: ``training.processes``, which must be the number that was started.

    It changes bytes (sums get another order), so it is configured and not taken from where the run happens to be.
    """
    processes, started = training.get("processes", 1), int(os.environ.get("WORLD_SIZE") or 1)
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise UserError(f"training.processes is {processes!r}; write a whole number above 0")
    if started != processes:
        raise UserError(
            f"training.processes is {processes}, but {started} were started (WORLD_SIZE). Make them equal: set "
            f"training.processes to {started} in params.yaml under overrides, or nodes x tasks of this rule in the "
            f"profile (set-resources) to {processes}"
        )
    batch_size = training.get("batch_size", processes)
    if isinstance(batch_size, int) and (message := unequal_parts(batch_size, processes)):
        raise UserError(f"training.{message}")
    return processes


def _check_gpus(device: torch.device) -> None:
    """Refuse several processes of one training on one GPU: accelerate puts them there without a word."""
    own = f"{torch.cuda.get_device_properties(device).uuid} of {socket.gethostname()}"
    every = distributed.everyone(own)
    if (here := every.count(own)) > 1:
        raise UserError(
            f"{here} processes of this training share GPU {own}, and each needs one of its own. In a profile, set gpu "
            f"of this rule (set-resources) to its tasks per node; elsewhere, set CUDA_VISIBLE_DEVICES to {here} GPUs, "
            "or training.processes to the number of GPUs"
        )


def resolve_device(name: str, where: str = "training.device") -> str:
    """``auto`` is the best there is: cuda, then mps, then cpu.

    Args:
        where: the setting that names it, for messages.
    """
    if name not in DEVICES:
        raise UserError(f"{where} is {name!r}; {other_device(name)}")
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        found = next(device for device, present in here.items() if present)
        if found == "cpu" and (os.environ.get("SLURM_JOB_GPUS") or os.environ.get("SLURM_GPUS_ON_NODE", "0") != "0"):
            _warn_once(
                f"{where} is auto, and Slurm has given this job a GPU, but torch sees none ({_no_gpu()}): it computes "
                "on the CPU. Install a torch for the node's driver; or write device cpu, and no gpu in the profile"
            )
        return found
    if not here[name]:
        why = f" ({_no_gpu()})" if name == "cuda" else ""
        raise UserError(
            f"{where} is {name}, but torch sees no such device here{why}; write auto, which takes the best there is, "
            "or start this where there is one"
        )
    return name


@functools.cache
def _warn_once(message: str) -> None:
    log.warning(message)


def _no_gpu() -> str:
    """Why torch sees no GPU of CUDA."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built for CPUs only"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    shown = "not set" if visible is None else repr(visible)
    return f"CUDA_VISIBLE_DEVICES is {shown}; torch needs a driver for CUDA {torch.version.cuda}, see nvidia-smi"


def resolve_precision(name: str, device: str, where: str = "training.precision") -> str:
    """``auto`` is bf16 on a GPU that computes in it, fp32 elsewhere; tf32 is fp32 on what does not know it.

    Args:
        where: the setting that names it, for messages.
    """
    if name not in PRECISIONS:
        raise UserError(f"{where} is {name!r}; choose from: {', '.join(PRECISIONS)}")
    if name in ("fp32", "bf16"):
        return name
    ampere = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)  # the first with either
    return {"auto": "bf16", "tf32": "tf32"}[name] if ampere else "fp32"


def precision(accelerator: Accelerator) -> str:
    """What `accelerator` has resolved ``training.precision`` to."""
    if accelerator.mixed_precision == "bf16":
        return "bf16"
    return "tf32" if accelerator.device.type == "cuda" and torch.backends.cuda.matmul.allow_tf32 else "fp32"


@contextlib.contextmanager
def tf32(device: str, allowed: bool) -> Iterator[None]:
    """A block in which a GPU may, or may not, round the factors of float32 products to TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    if device == "cuda":
        _allow_tf32(allowed)
    try:
        yield
    finally:
        if device == "cuda":
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; for a GPU of CUDA from page-locked memory, so that nothing waits for the copy.

    On MPS torch would copy from memory that may be free by then (pytorch/pytorch#139550), so that it waits there.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return pinned(tensor).to(device, non_blocking=True)


def pinned(tensor: Tensor) -> Tensor:
    """A tensor in page-locked memory; torch cannot pin one whose elements share memory, as after `expand`."""
    return tensor.contiguous().pin_memory()


def adapt(student: nn.Module, training: Mapping[str, Any]) -> None:
    """Apply the configuration's memory and speed options to a student; its parameters keep their names.

    ``gradient_checkpointing``: keep only each layer's input and recompute the layer in the backward pass: a third more
    computation for far less memory, with the same gradients. A student has a method `checkpointing`, or holds models
    of transformers, which support it. ``compile``: torch.compile, which takes a minute to compile and
    changes the last bits. A graph may then be differentiated more than once, as `engine.loop.gradient_ratio` and the
    adversary do: torch frees no buffer of the forward pass for reuse in the backward pass.

    Raises:
        UserError: a value that is not true or false, or a student that cannot do it.
    """
    for key in ("gradient_checkpointing", "compile"):
        if not isinstance(training.get(key, False), bool):
            raise UserError(f"training.{key} is {training[key]!r}; write true or false")
    if training.get("gradient_checkpointing"):
        _checkpoint_layers(student)
    if training.get("compile"):
        functorch.donated_buffer = False
        student.compile()


def _checkpoint_layers(student: Any) -> None:
    if hasattr(student, "checkpointing"):
        student.checkpointing()
        return
    models = [child for child in student.children() if getattr(child, "supports_gradient_checkpointing", False)]
    if not models:
        raise UserError(
            f"training.gradient_checkpointing is true, but {type(student).__name__} neither has a method "
            "`checkpointing` nor holds a model of transformers that can; set it to false"
        )
    for model in models:
        model.activation_checkpointing_enable({"use_reentrant": False})
