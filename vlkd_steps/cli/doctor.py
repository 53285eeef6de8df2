"""Check this machine and project in a few seconds, changing nothing: vlkd doctor [--profile slurm]

Each line is one check: ok, warn (works, but needs attention) or fail (the profile cannot work), with the finding and
the remedy. Exit status: 0, or 2 if a check fails that the profile needs.

    vlkd doctor --deep      compare every artifact of the project with its recorded sha256 instead

lists missing, damaged or outdated artifacts of every experiment that was run here, each with the command that makes it
again. Exit status: 0 if all artifacts match, 1 if not.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from typer import Option

from vlkd_steps.checks import data, machine, packages, profile, shell, slurm, tracking, versioning
from vlkd_steps.checks.check_result import CheckResult
from vlkd_steps.cli import command
from vlkd_steps.config import composition
from vlkd_steps.core import environment, project_folder, step
from vlkd_steps.core.terminal import say

PROFILE = "profiles/local"
NOT_AS_MADE = 1
SECONDS = 1.2  # a working controller answers in milliseconds; do not wait long for one that is down


@command.single("doctor", __doc__)
def main(
    profile_name: Annotated[
        str | None, Option("--profile", help="as for snakemake; default: SNAKEMAKE_PROFILE, or profiles/local")
    ] = None,
    wait: Annotated[float, Option(metavar="SECONDS", help="for each program or server")] = SECONDS,
    deep: Annotated[bool, Option("--deep", help="read every artifact; no other checks")] = False,
) -> int:
    step.log_to(None)
    ignored = environment.use_own()
    environment.leave_job()
    project_folder.check(Path("params.yaml"))
    if deep:
        return compare_artifacts()
    chosen = profile.read(profile_name or os.environ.get("SNAKEMAKE_PROFILE") or PROFILE)
    sections: dict[str, Callable[[], list[CheckResult]]] = {
        "machine": lambda: machine.check(wait),
        "packages": packages.check,
        "shell": lambda: shell.check(ignored),
        f"Slurm ({chosen.path})": lambda: slurm.check(chosen, wait),
        "MLflow": lambda: tracking.check(wait),
        "DVC": lambda: versioning.check(Path.cwd()),
        "data (params.yaml)": data.check,
    }
    with ThreadPoolExecutor(len(sections)) as pool:
        results = dict(zip(sections, pool.map(lambda check: check(), sections.values()), strict=True))
    for title, findings in results.items():
        say(title, *(finding.line() for finding in findings), sep="\n")
    levels = [finding.level for findings in results.values() for finding in findings]
    say(f"{levels.count('ok')} ok, {levels.count('warn')} to look at, {levels.count('fail')} failed", flush=True)
    return 2 if "fail" in levels else 0


def compare_artifacts() -> int:
    """Print the artifacts that differ from their record, and return the exit status."""
    from vlkd_steps.graph import integrity  # pyarrow, for splits

    verdict = integrity.verify(composition.read_params(Path("params.yaml")).experiment)
    say(verdict.text(), flush=True)
    return NOT_AS_MADE if verdict.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
