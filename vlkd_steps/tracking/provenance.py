"""The provenance of a result: code, packages, machine, and the resources allocated and used.

A file beside every run that enters no hash.
"""

import functools
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import environment, files, layout, versions

OTHERS = ("dvc", "hydra-core", "mlflow", "polars", "pyarrow", "safetensors", "snakemake", "submitit", "vlkd-steps")
"""Packages that are recorded beside `versions.COMPUTING`."""
LOCK_FILE = Path("requirements.lock")
SLURM = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME",
    "SLURM_JOB_PARTITION", "SLURM_JOB_ACCOUNT", "SLURM_JOB_QOS", "SLURM_JOB_NODELIST", "SLURM_JOB_NUM_NODES",
    "SLURM_NTASKS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_CPUS_PER_NODE", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU",
    "SLURM_MEM_PER_GPU", "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE", "SLURM_GPUS", "SLURMD_NODENAME",
)  # fmt: skip

WRITTEN = ("dvc.lock", "dvc_vars.yaml")
"""Files in the repository that a run keeps current by itself."""

KERNELS = (
    "OPENBLAS_*", "MKL_*", "BLIS_*", "ATEN_CPU_CAPABILITY", "DNNL_*", "ONEDNN_*", "NPY_*_CPU_FEATURES",
    "GLIBC_TUNABLES", "CUBLAS_*", "CUDNN_*", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip
"""Variables by which numerical libraries choose other kernels, and so other last bits; threads are recorded apart."""


class Meter:
    """Measures what one attempt or step uses in this process, from now on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def cost(self) -> dict[str, float]:
        """Resources used since the start.

        ``seconds`` (wall), ``cpu_seconds`` (all threads); peaks of the process: ``peak_mib`` and, if torch computed on
        a GPU, ``gpu_peak_mib``. Unknown values are left out. These are fields of journal events and arguments of
        `collect`.
        """
        used = {
            "seconds": round(time.monotonic() - self._wall, 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_mib": peak_mib(),
            "gpu_peak_mib": gpu_peak_mib(),
        }
        return {name: round(value, 3) for name, value in used.items() if value is not None}


def record(folder: Path, started: float, **used: Any) -> None:
    """Write ``provenance.json`` beside a step's outputs, with the cost since `started` (``time.monotonic()``).

    Args:
        used: further arguments of `collect`: device, precision, threads.
    """
    seconds = round(time.monotonic() - started, 3)
    files.write_json(
        layout.provenance(folder), collect(seconds=seconds, peak_mib=peak_mib(), gpu_peak_mib=gpu_peak_mib(), **used)
    )


def collect(
    *,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    seconds: float | None = None,
    peak_mib: float | None = None,
    cpu_seconds: float | None = None,
    gpu_peak_mib: float | None = None,
) -> dict[str, Any]:
    """The provenance of this process, as a JSON object for ``provenance.json``.

    Args:
        device, precision, threads: as resolved by training (``cuda:0``, ``fp32``, 1).
        seconds, cpu_seconds, peak_mib, gpu_peak_mib: the cost, if known (`Meter.cost`).

    Never imports torch: the device is described only if torch is already imported.
    """
    given = allocation(device, threads)
    return {
        "git": git(),
        "python": platform.python_version(),
        "versions": versions.installed(tuple(sorted((*versions.COMPUTING, *OTHERS)))),
        "lock_sha256": files.sha256(LOCK_FILE) if LOCK_FILE.is_file() else None,
        "host": host(),
        "kernels": kernels(os.environ),
        "device": device,
        "precision": precision,
        "threads": threads,
        "slurm": {name.removeprefix("SLURM_").lower(): os.environ[name] for name in SLURM if os.environ.get(name)},
        "allocation": given,
        "seconds": None if seconds is None else round(seconds, 3),
        "cpu_seconds": None if cpu_seconds is None else round(cpu_seconds, 3),
        "peak_mib": None if peak_mib is None else round(peak_mib, 1),
        "gpu_peak_mib": None if gpu_peak_mib is None else round(gpu_peak_mib, 1),
        "efficiency": efficiency(given, seconds, cpu_seconds, peak_mib),
    }


def allocation(device: str | None = None, threads: int | None = None) -> dict[str, int | None]:
    """The total resources of this process and its peers: ``processes, nodes, cpus, gpus, memory_mib``.

    On Slurm they are those of the job, used or not, because nobody else can use them. Elsewhere they are the threads of
    a process (default: those of an imported torch, else 1), and a GPU if its device is one; ``memory_mib`` is None
    there, and if the job has all memory of its nodes.
    """
    on_gpu = (device or "").startswith("cuda")
    if "SLURM_JOB_ID" not in os.environ:
        processes = _number("WORLD_SIZE") or 1
        torch = sys.modules.get("torch")
        threads = threads or (torch.get_num_threads() if torch is not None else 1)
        return {
            "processes": processes,
            "nodes": 1,
            "cpus": processes * threads,
            "gpus": processes if on_gpu else 0,
            "memory_mib": None,
        }
    processes = _number("SLURM_NTASKS") or 1
    nodes = _number("SLURM_JOB_NUM_NODES") or 1
    cpus = _per_node(os.environ.get("SLURM_JOB_CPUS_PER_NODE", "")) or processes * (_number("SLURM_CPUS_PER_TASK") or 1)
    listed = len([each for each in os.environ.get("SLURM_JOB_GPUS", "").split(",") if each])
    gpus = nodes * (_number("SLURM_GPUS_ON_NODE") or listed)
    memory = nodes * (_number("SLURM_MEM_PER_NODE") or 0) or cpus * (_number("SLURM_MEM_PER_CPU") or 0)
    memory = memory or gpus * (_number("SLURM_MEM_PER_GPU") or 0)
    return {
        "processes": processes,
        "nodes": nodes,
        "cpus": cpus,
        "gpus": gpus or (processes if on_gpu else 0),  # for clusters whose GPUs Slurm does not count
        "memory_mib": memory or None,
    }


def efficiency(
    given: Mapping[str, int | None], seconds: float | None, cpu_seconds: float | None, peak_mib: float | None
) -> dict[str, float | None]:
    """``cpu`` and ``memory`` used by this process, as shares of its part of the allocation; None: unknown.

    Without `cpu_seconds` the CPU's share covers the lifetime of the process, which is right for a step.
    """
    processes, cpus, memory = given["processes"] or 1, given["cpus"] or 1, given["memory_mib"]
    if cpu_seconds is None:
        seconds, cpu_seconds = age(), time.process_time()
    return {
        "cpu": round(cpu_seconds * processes / (seconds * cpus), 4) if seconds else None,
        "memory": round(peak_mib * processes / memory, 4) if peak_mib and memory else None,
    }


def tags(device: str | None = None) -> dict[str, str]:
    """The known tags of a run's location: ``slurm_job`` (``17``, ``17_2`` in an array), ``slurm_node``,
    ``slurm_partition``, ``gpu`` (``NVIDIA H100``, ``4 x NVIDIA H100``)."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    known = {
        "slurm_job": f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID"),
        "slurm_node": os.environ.get("SLURM_JOB_NODELIST") or os.environ.get("SLURMD_NODENAME"),
        "slurm_partition": os.environ.get("SLURM_JOB_PARTITION"),
        "gpu": _gpu(device),
    }
    return {name: value for name, value in known.items() if value}


def kernels(variables: Mapping[str, str]) -> dict[str, str]:
    """Those environment variables by which numerical libraries choose their kernels."""
    found = [name for name in sorted(variables) if environment.belongs(name, KERNELS)]
    return {name: variables[name] for name in found if not name.endswith("_NUM_THREADS")}


@functools.cache
def git() -> dict[str, Any]:
    """Commit of the working tree and whether files differ from it; both None outside a repository.

    What a run itself writes for DVC is no difference: it would show in every later run.
    """
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--", ":/", *(f":(exclude){name}" for name in WRITTEN)) if commit else None
    return {"commit": commit, "dirty": None if status is None else bool(status)}


@functools.cache
def host() -> dict[str, Any]:
    """The type of machine, for which equality of bytes is claimed, without its name."""
    kind: dict[str, Any] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        kind["vector_instructions"] = torch.backends.cpu.get_cpu_capability()
        kind["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return kind


def peak_mib() -> float | None:
    """Largest resident memory of this process so far, in MiB. (`ru_maxrss` also counts the parent's at fork.)"""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:  # not Linux
        return None
    return None


def gpu_peak_mib() -> float | None:
    """Peak of torch's GPU memory in this process, in MiB; None: not used."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return max(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())) / 2**20


def age() -> float | None:
    """Seconds since this process began; None: the system does not report it."""
    try:
        began = int(
            Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, ValueError, IndexError):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began / os.sysconf("SC_CLK_TCK")


def _gpu(device: str | None) -> str | None:
    """The names of a run's GPUs, from an imported torch."""
    torch = sys.modules.get("torch")
    if torch is None or not (device or "").startswith("cuda"):
        return None
    number = allocation(device)["gpus"] or 1
    name = torch.cuda.get_device_name(torch.device(str(device)))
    return name if number == 1 else f"{number} x {name}"


def _number(variable: str) -> int | None:
    """A whole number from the environment; ``a100:4`` is 4."""
    text = os.environ.get(variable, "").rpartition(":")[2]
    return int(text) if text.isdigit() else None


def _per_node(text: str) -> int:
    """The sum of Slurm's short form: ``4(x2),2`` is 10."""
    return sum(int(n) * int(times or 1) for n, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
