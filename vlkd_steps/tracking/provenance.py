"""Where a result comes from: code, packages, machine. Side-car of every run, in no hash (DESIGN 4, 6)."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vlkd_steps import files, layout

PACKAGES = (
    "accelerate",
    "dvc",
    "hydra-core",
    "mlflow",
    "numpy",
    "open_clip_torch",
    "polars",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "snakemake",
    "submitit",
    "timm",
    "torch",
    "torchvision",
    "transformers",
    "vlkd-steps",
    "yake",
)
LOCK_FILE = Path("requirements.lock")
SLURM = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT", "SLURM_JOB_PARTITION")


def record(folder: Path, started: float) -> None:
    """Write ``provenance.json`` beside a step's outputs, with the cost since `started` (``time.monotonic()``)."""
    seconds = round(time.monotonic() - started, 3)
    files.write_json(layout.provenance(folder), collect(seconds=seconds, peak_mib=peak_mib()))


def collect(
    *,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    seconds: float | None = None,
    peak_mib: float | None = None,
) -> dict[str, Any]:
    """All that is known about this process, as a JSON object for ``provenance.json``.

    Args:
        device, precision, threads: what training resolved them to (``cuda:0``, ``fp32``, 1).
        seconds, peak_mib: the cost, once it is known.

    Never imports torch: of the device only what an already imported torch can tell is added.
    """
    return {
        "git": git(),
        "python": platform.python_version(),
        "versions": versions(),
        "lock_sha256": files.sha256(LOCK_FILE) if LOCK_FILE.is_file() else None,
        "host": host(),
        "device": device,
        "precision": precision,
        "threads": threads,
        "slurm": {name.removeprefix("SLURM_").lower(): os.environ[name] for name in SLURM if name in os.environ},
        "seconds": None if seconds is None else round(seconds, 3),
        "peak_mib": None if peak_mib is None else round(peak_mib, 1),
    }


@functools.cache
def git() -> dict[str, Any]:
    """Commit of the working tree and whether files differ from it; both None outside a repository."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain") if commit else None
    return {"commit": commit, "dirty": None if status is None else bool(status)}


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that can change a byte or a number."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def host() -> dict[str, Any]:
    """The type of machine, by which equality of bytes is claimed (DESIGN 6); never its name."""
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
