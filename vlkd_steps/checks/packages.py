"""Compares the installed packages with requirements.lock."""

import importlib.metadata
from pathlib import Path

from vlkd_steps.checks.check_result import CheckResult, fail, ok, warn

INSTALL = "install the packages of the lock file: make install"
SHOWN = 6  # names in a line


def check(lock: Path = Path("requirements.lock")) -> list[CheckResult]:
    """A missing package is a failure; another version may change a number, and is recorded in provenance."""
    if not lock.is_file():
        return [warn("lock file", f"{lock} is not here", "run from the project's root, or: git checkout " + str(lock))]
    missing, other, number = [], [], 0
    for line in lock.read_text(encoding="utf-8").splitlines():
        name, pinned, version = line.partition("#")[0].strip().partition("==")
        if not pinned:
            continue
        number += 1
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed.partition("+")[0] != version.partition("+")[0]:  # +cpu, +cu130: where it was built for
            other.append(f"{name} {installed} (lock: {version})")
    found = []
    if needed := [name for name in missing if not name.startswith(("nvidia-", "cuda-", "triton"))]:
        found.append(fail("missing", _some(needed), INSTALL))
    if gpu := [name for name in missing if name not in needed]:
        found.append(warn("missing", f"{_some(gpu)}: no CUDA without them", INSTALL + ", to use a GPU"))
    if other:
        found.append(warn("other version", _some(other), f"results may differ in their last digits; {INSTALL}"))
    return found or [ok("packages", f"all {number} as in {lock}")]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
