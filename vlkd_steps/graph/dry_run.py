"""The jobs that Snakemake would run, parsed from its own dry run, so that finished jobs are not counted."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlkd_steps.config.phases import PHASES
from vlkd_steps.core import experiment_option, project_folder
from vlkd_steps.core.errors import UserError

RULES = [rule for phase in PHASES.values() for rule in phase.rules]


@dataclass(frozen=True)
class Job:
    """One job of the graph: its rule and the values of its wildcards."""

    rule: str
    wildcards: dict[str, str]


def dry_run(experiment: str | None = None) -> list[Job]:
    """The jobs that ``snakemake -n`` names, without manifests and targets, from download to report.

    Args:
        experiment: as in ``--config experiment=``; None: the one in params.yaml.

    Raises:
        UserError: Snakemake fails; with its message.
    """
    return parse(_dry_run(experiment))


def pending() -> Counter[str]:
    """How many jobs of each rule ``snakemake -n`` names, with manifests and targets; empty if all is current.

    Raises:
        UserError: Snakemake fails; with its message.
    """
    table = re.search(r"^Job stats:\n.*?\n-+.*?\n(.*?)\ntotal", _dry_run(None), re.S | re.M)
    rows = [line.split() for line in table[1].splitlines()] if table else []
    return Counter({rule: int(number) for rule, number in rows})


def _dry_run(experiment: str | None) -> str:
    project_folder.check(Path("Snakefile"))
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1"]
    command += ["--config", experiment_option.entry(experiment)] if experiment else []
    environment = {key: value for key, value in os.environ.items() if key != "SNAKEMAKE_PROFILE"}  # it may be quiet
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    output = done.stdout + done.stderr
    if done.returncode:
        lines = [line for line in output.splitlines() if line and not line.startswith("Using workflow specific")]
        message = next((line for line in lines if line.startswith("error: ")), "\n".join(lines[-5:]))
        raise UserError(f"snakemake -n ends with status {done.returncode}: {message.removeprefix('error: ')}")
    return output


def parse(output: str) -> list[Job]:
    """The jobs in a dry run's output, sorted, since Snakemake's order differs from call to call."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Job] = {}
    for block in re.split(r"^(?=(?:local)?rule \w+:$)", output, flags=re.M)[1:]:
        rule = block.partition("rule ")[2].partition(":")[0]
        if rule not in RULES:
            continue
        line = re.search(r"^    wildcards: (.*)$", block, re.M)
        wildcards = dict(pair.split("=", 1) for pair in line.group(1).split(", ")) if line else {}
        found[rule, tuple(sorted(wildcards.items()))] = Job(rule, wildcards)
    return [found[key] for key in sorted(found, key=lambda key: (RULES.index(key[0]), key[1]))]


def counts(jobs: Sequence[Job]) -> Counter[str]:
    """How many jobs of each rule."""
    return Counter(job.rule for job in jobs)
