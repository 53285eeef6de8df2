"""What a run has planned, for its jobs on a cluster, which read params.yaml, the files of conf and the code again.

Snakemake records a job's result as that of the configuration with which the run began. A job that starts after an edit
that concerns it would leave the result of another one, and whoever takes the edit back would find it called current. So
such a job ends; others go on. (Jobs of this machine are given their configuration; for their code: `planned_code`.)
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import digest, read_json, write_json
from vlkd_steps.graph.remake import Made

FILE = Path(".snakemake/vlkd_planned.json")


def of(experiment: str, made: Made) -> dict[str, str]:
    """For every declared file, and the phase manifests, a hash of what makes it."""
    files = {str(path): job.made_by for jobs in made.values() for job in jobs for path in job.outputs}
    phases = {phase: digest([job.made_by for job in jobs]) for phase, jobs in made.items()}
    return files | {str(layout.phase_manifest(experiment, phase)): hashed for phase, hashed in phases.items()}


def remember(planned: Mapping[str, str]) -> None:
    """Keep what the process that plans has planned."""
    write_json(FILE, dict(planned))


def check(now: Mapping[str, str], outputs: Iterable[str]) -> None:
    """Compare what a job reads now with what was planned for its outputs.

    Raises:
        UserError: it differs.
    """
    planned = read_json(FILE) if FILE.is_file() else {}
    # What was not planned is of a job that somebody submitted by hand.
    changed = [path for path in outputs if planned.get(path, now.get(path)) != now.get(path)]
    if changed:
        raise UserError(
            f"what makes {changed[0]} was edited since this run began (params.yaml, a file of conf or one that these "
            "name, or the code), so this job would make another result than was planned; repeat the run's command "
            "when it has ended"
        )
