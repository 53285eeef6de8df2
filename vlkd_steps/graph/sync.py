"""Make Snakemake agree with DVC after `dvc pull` or `dvc checkout`: vlkd sync

DVC restores bytes, but neither Snakemake's records nor the files' times, so an up-to-date graph looks
out of date. For every phase that `dvc status` calls clean, and whose phase manifest matches the current
configuration and code, this command touches the outputs and records them as made
(`snakemake --touch --forceall`). It stops at the first phase that does not match, prints the reason, and
records no later phase, so stale results stay stale.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.config import composition
from vlkd_steps.config.phases import PHASES
from vlkd_steps.core import environment, layout, project_folder, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.graph import dvc_command, dvc_vars, installed_code, phase_manifest

VARIABLE = "VLKD_SYNC"
"""Set for the call of `snakemake --touch` below; without it the Snakefile refuses ``--touch``."""


def clean_phases(status: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """Split the phases at the first one that `dvc status --json` names.

    Returns:
        The clean phases before it, and that phase (None if all are clean).
    """
    dirty = {stage.split("@")[0] for stage in status}
    clean: list[str] = []
    for name, phase in PHASES.items():
        if dirty & {name, *phase.bytes}:
            return clean, name
        clean.append(name)
    return clean, None


def explain(status: Mapping[str, Any], phase: str) -> str:
    """Why a phase is not clean, and what to do about it."""
    own = {stage: entries for stage, entries in status.items() if stage.split("@")[0] in (phase, *PHASES[phase].bytes)}
    outs, deps = _changes(own, "changed outs"), _changes(own, "changed deps")
    # DVC reports a file that is in neither the folder nor its cache only as "not in cache".
    absent = sorted(name for name, change in outs.items() if change in ("deleted", "not in cache"))
    if gone := [name for name in absent if not Path(name).exists()]:
        return f"{_some(gone)} missing; run: dvc pull (or dvc checkout, where DVC's cache has it), then sync again"
    if deps:
        return f"{_named(deps)}: the outputs here were made before that change; run: snakemake --cores all"
    if absent:
        remedy = "run: dvc pull, or record the files here: python -m vlkd_steps.graph.commit; then sync again"
        return f"{_some(absent)} here, but not in DVC's cache; {remedy}"
    if outs:
        remedy = "run: dvc checkout, then sync again; or, to make the changed files again: snakemake --cores all"
        return f"{_named(outs)}; {remedy}"
    return "it was never recorded, or its command changed; run: snakemake --cores all"


def _changes(status: Mapping[str, Any], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entries in status.values():
        for entry in entries:
            if isinstance(entry, Mapping):  # others are words such as "always changed"
                found |= _flat(entry.get(kind, {}))
    return found


def _named(changes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({change})" for name, change in sorted(changes.items()))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"


def _flat(deps: Mapping[str, Any]) -> dict[str, str]:
    """Flatten the entries: changed parameters are nested one level deeper than changed files."""
    flat: dict[str, str] = {}
    for name, change in deps.items():
        if isinstance(change, Mapping):
            flat |= {f"{name}: {key}": str(value) for key, value in change.items()}
        else:
            flat[name] = str(change)
    return flat


def dvc_status() -> dict[str, Any]:
    """The output of ``dvc status --json``; raises UserError if DVC fails."""
    return json.loads(dvc_command.run("status", "--json"))


def record(phases: Sequence[str]) -> None:
    """Record the outputs of `phases` as made now, in Snakemake's own metadata."""
    targets = [f"all_{phase}" for phase in phases]
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--touch", "--forceall", "--"]
    own = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"} | {VARIABLE: "1"}
    done = subprocess.run([*command, *targets], capture_output=True, text=True, env=own)
    if done.returncode:  # not --quiet: that hides errors too
        said = (done.stderr + done.stdout).rpartition("Building DAG of jobs...")[2].partition('  File "')[0]
        raise UserError(f"`snakemake --touch` ends with status {done.returncode}: {' '.join(said.split())[:1000]}")


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.parse_args(argv)
    environment.use_own()
    project_folder.check(Path("params.yaml"))
    if not Path("dvc.lock").is_file():
        raise UserError("dvc.lock is missing, so there is no record of these files; run: snakemake --cores all")
    c = composition.compose()
    dvc_vars.keep_current(c)
    installed_code.keep_current()
    status = dvc_status()
    clean, stopped_at = clean_phases(status)
    for phase in clean:
        phase_manifest.check_configuration(c, phase)
        phase_manifest.check_files(layout.phase_manifest(c.experiment, phase))
    if clean:
        record(clean)
        say(f"in agreement: {', '.join(clean)}")
    if stopped_at:
        raise UserError(f"phase {stopped_at} is not what dvc.lock says: {explain(status, stopped_at)}")
    say("snakemake, dvc repro and make demo have nothing to do")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
