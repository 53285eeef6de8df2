"""This machine: Python, processors, memory, disk, GPUs; without importing torch, which takes seconds."""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vlkd_steps.checks.check_result import CheckResult, fail, ok, warn
from vlkd_steps.checks.command import ask
from vlkd_steps.core import file_system
from vlkd_steps.core import home as home_folder
from vlkd_steps.core.errors import UserError

PYTHON = ((3, 11), (3, 14))  # from, up to (not included); as in scripts/install
GIB = 1 << 30
MEMORY_WANTED, DISK_WANTED, DISK_NEEDED = 2 * GIB, 10 * GIB, GIB
QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used,driver_version", "--format=csv,noheader,nounits"]


def check(seconds: float) -> list[CheckResult]:
    """One finding for each; `seconds`: how long nvidia-smi may take."""
    gpus, cuda = nvidia(seconds)
    return [python(), processors(), memory(), disk(Path.cwd()), home(), *gpus, device(cuda)]


def python() -> CheckResult:
    version = platform.python_version()
    if PYTHON[0] <= sys.version_info[:2] < PYTHON[1]:
        return ok("python", f"{version} at {sys.prefix}")
    return fail("python", f"{version}, but 3.11 to 3.13 is needed", "make PYTHON=python3.11 install")


def processors() -> CheckResult:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ok("cpus", f"{usable} of {os.cpu_count()} usable")


def memory(meminfo: Path = Path("/proc/meminfo")) -> CheckResult:
    """What is free now, or what a control group leaves of it."""
    try:
        sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", meminfo.read_text(encoding="ascii"), flags=re.MULTILINE))
        total, free = (1024 * int(sizes[name]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError):
        return warn("memory", f"cannot be measured on {platform.system()}")
    limit = _group_limit()
    text = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    if limit is not None and limit < total:
        free, text = min(free, limit), f"{text}, this session is limited to {limit / GIB:.1f} GiB"
    if free < MEMORY_WANTED:
        return warn("memory", text, "end other programs, or use a machine with more")
    return ok("memory", text)


def disk(project: Path) -> CheckResult:
    """Free space on the project's disk."""
    free, lies_on = shutil.disk_usage(project).free, file_system.of(project)
    text = f"{free / GIB:.1f} GiB free here ({lies_on.kind}{', shared with other machines' if lies_on.shared else ''})"
    if free < DISK_NEEDED:
        return fail("disk", text, "free some space: `dvc gc --workspace` drops what no commit here uses")
    return ok("disk", text) if free >= DISK_WANTED else warn("disk", text, "features and runs may need more")


def home() -> CheckResult:
    """Snakemake and DVC, started by themselves, end with a traceback where they have no home directory to write to."""
    remedy = "name a folder of yours: export HOME=/path"
    own = home_folder.private()  # may have been given to this process by us
    if own is not None and home_folder.known() == own:
        found = f"neither HOME nor the entry of user {file_system.user_name()} names a folder that is there"
        return fail("home", found, remedy)
    if own is not None and os.environ.get("XDG_CACHE_HOME") == str(own / "cache"):
        return fail("home", f"nothing can be written to {home_folder.known()}", remedy)
    try:
        settings = file_system.expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    except UserError as mistake:
        return fail("home", str(mistake), remedy)
    there = next(parent for parent in (settings, *settings.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK) or file_system.of(there).kind == "proc":
        return fail("home", f"nothing can be written to {settings}", remedy)
    return ok("home", f"{settings.parent}, user {file_system.user_name()}")


def nvidia(seconds: float) -> tuple[list[CheckResult], tuple[int, int] | None]:
    """What nvidia-smi shows, and the CUDA version that the driver can do (None: no usable GPU)."""
    if shutil.which("nvidia-smi") is None:
        return [ok("gpus", "no nvidia-smi on PATH, so no NVIDIA GPU")], None
    with ThreadPoolExecutor(2) as pool:
        listed, shown = pool.map(lambda command: ask(command, seconds), (QUERY, ["nvidia-smi"]))
    rows = [[cell.strip() for cell in line.split(",")] for line in listed.out.splitlines() if line.count(",") == 3]
    if listed.status != 0 or not rows:
        return [warn("gpus", f"nvidia-smi shows none: {listed.words}", "check the driver")], None
    found = [
        ok(f"gpu {number}", f"{name}, {used} of {total} MiB in use, driver {driver}")
        for number, (name, total, used, driver) in enumerate(rows)
    ]
    version = re.search(r"CUDA (?:UMD )?Version:\s*(\d+)\.(\d+)", shown.out)
    return found, (int(version[1]), int(version[2])) if version else (sys.maxsize, 0)


def device(driver: tuple[int, int] | None, torch_cuda: Callable[[], str | None] | None = None) -> CheckResult:
    """Which device ``training.device: auto`` would take.

    Args:
        driver: the CUDA version that the driver can do; None without a GPU.
        torch_cuda: returns what `cuda_of_torch` does.
    """
    built = (torch_cuda or cuda_of_torch)()
    if driver is not None:
        if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            return warn("device auto", "cpu: CUDA_VISIBLE_DEVICES hides the GPUs", "unset it to train on one")
        if built is None:
            return warn("device auto", "cpu: the installed torch has no CUDA", "install the one of requirements.lock")
        if int(built.partition(".")[0]) > driver[0]:
            can = f"the driver supports CUDA {driver[0]}.{driver[1]}, torch is built for {built}"
            return warn("device auto", f"cpu: {can}", "update the driver, or install a torch for its CUDA")
        return ok("device auto", f"cuda (torch is built for CUDA {built})")
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return ok("device auto", "mps")
    return ok("device auto", "cpu")


def cuda_of_torch() -> str | None:
    """The CUDA version that the installed torch is built for, from its version file; None without CUDA or torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^cuda\b.*=\s*'([\d.]+)'", text, flags=re.MULTILINE)
    return found[1] if found else None


def _group_limit() -> int | None:
    for path in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        try:
            return int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):  # none, or "max"
            continue
    return None
