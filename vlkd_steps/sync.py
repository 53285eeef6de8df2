"""Make Snakemake agree with DVC after `dvc pull` or `dvc checkout`: python -m vlkd_steps.sync

DVC restores bytes, but neither Snakemake's records nor the files' times, so an up-to-date graph looks
out of date. For every phase that `dvc status` calls clean this touches the outputs and records them
as made (`snakemake --touch --forceall`). It stops at the first phase that is not clean, says why, and
blesses nothing behind it: what is stale stays stale.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps import step
from vlkd_steps.errors import UserError
from vlkd_steps.versioning import DVC

# The phases in the graph's order, each with the stages of dvc.yaml that version its bytes.
PHASES: dict[str, tuple[str, ...]] = {
    "download": ("raw_bytes",),
    "prepare": ("instances_bytes", "corpus_bytes"),
    "split": ("splits_bytes",),
    "pretrain": ("model_bytes",),
    "extract": ("features_bytes",),
    "distill": (),
    "compare": (),
}


def clean_phases(status: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """Split the phases at the first one that `dvc status --json` names.

    Returns:
        The clean phases before it, and it (None where all are clean).
    """
    dirty = {stage.split("@")[0] for stage in status}
    clean: list[str] = []
    for phase, versioned in PHASES.items():
        if dirty & {phase, *versioned}:
            return clean, phase
        clean.append(phase)
    return clean, None


def explain(status: Mapping[str, Any], phase: str) -> str:
    """Why a phase is not clean, and what to do about it."""
    stages = (phase, *PHASES[phase])
    entries = [entry for stage, changes in status.items() if stage.split("@")[0] in stages for entry in changes]
    outs: dict[str, str] = {}
    deps: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, Mapping):
            outs |= entry.get("changed outs", {})
            deps |= _flat(entry.get("changed deps", {}))
    if deps:
        named = ", ".join(f"{name} ({change})" for name, change in sorted(deps.items()))
        return f"{named}: what lies here was made before that; run: snakemake --cores all"
    if outs:
        named = ", ".join(f"{name} ({change})" for name, change in sorted(outs.items()))
        missing = any(change in ("deleted", "not in cache") for change in outs.values())
        return f"{named}; run: {'dvc pull' if missing else 'dvc checkout'}, then sync again, or: snakemake --cores all"
    return "it was never recorded, or its command changed; run: snakemake --cores all"


def _flat(deps: Mapping[str, Any]) -> dict[str, str]:
    """Changed parameters stand one level deeper than changed files."""
    flat: dict[str, str] = {}
    for name, change in deps.items():
        if isinstance(change, Mapping):
            flat |= {f"{name}: {key}": str(value) for key, value in change.items()}
        else:
            flat[name] = str(change)
    return flat


def dvc_status() -> dict[str, Any]:
    """What `dvc status` says; raises UserError where DVC itself cannot answer."""
    done = subprocess.run([*DVC, "--wait-for-lock", "status", "--json"], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"dvc status failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def bless(phases: Sequence[str]) -> None:
    """Record the outputs of `phases` as made now, in Snakemake's own metadata."""
    targets = [f"all_{phase}" for phase in phases]
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--touch", "--forceall", "--"]
    done = subprocess.run([*command, *targets], capture_output=True, text=True)  # not --quiet: that hides errors too
    if done.returncode:
        said = (done.stderr + done.stdout).rpartition("Building DAG of jobs...")[2].partition('  File "')[0]
        raise UserError(f"snakemake --touch failed: {' '.join(said.split())[:1000]}")


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    if not Path("dvc.lock").is_file():
        raise UserError("dvc.lock is missing, so nothing says what these files are; run: snakemake --cores all")
    status = dvc_status()
    clean, stopped_at = clean_phases(status)
    if clean:
        bless(clean)
        print(f"in agreement: {', '.join(clean)}")
    if stopped_at:
        raise UserError(f"phase {stopped_at} is not what dvc.lock says: {explain(status, stopped_at)}")
    print("snakemake, dvc repro and make demo have nothing to do")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
