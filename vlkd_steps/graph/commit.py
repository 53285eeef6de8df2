"""Record the results in DVC, if they match params.yaml: python -m vlkd_steps.graph.commit

The Snakefile calls this after each run of the whole graph. `dvc commit` itself records any files that are in the
folders, so this module first checks that

- every artifact is current, by a dry run of Snakemake without the options of the preceding call;
- every file is as its job left it and was made by the current configuration and code, by the phase manifests;
- every run belongs to the current configuration, data and code, by its config.yaml.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vlkd_steps.checks import versioning
from vlkd_steps.config import composition, phases
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.graph import dry_run, dvc_command, dvc_vars, installed_code, phase_manifest, watched

INCOMING = "data/incoming"
REPEAT = "then: python -m vlkd_steps.graph.commit"


def after_run(experiment: str, partial: Sequence[str]) -> None:
    """Record a successful run, unless options left out a part of the graph; prints the reason if it is not recorded.

    Uses a separate process, since params.yaml and the code may have changed after this one read them. The run counts
    as successful even if it cannot be recorded.

    Args:
        experiment: the experiment that has run.
        partial: the options that left out a part.
    """
    if partial:
        say(f"note: not recorded in DVC, since {', '.join(partial)} made this a run of a part", file=sys.stderr)
        return
    subprocess.run([sys.executable, "-m", "vlkd_steps.graph.commit", "--experiment", experiment], check=False)


def check(c: Composition) -> None:
    """Refuse results that do not match the composition.

    Raises:
        UserError: what is out of date, missing, changed, of another configuration, or not watched by DVC.
    """
    watched.check(c.params)
    pending = dry_run.pending()
    if pending:
        named = ", ".join(f"{rule} {number}" for rule, number in sorted(pending.items()))
        raise UserError(f"these jobs are still to be run: {named}; run: snakemake --cores all")
    for phase in phases.PHASES:
        phase_manifest.check_configuration(c, phase)
        phase_manifest.check_files(layout.phase_manifest(c.experiment, phase))


def left_over(c: Composition) -> list[Path]:
    """The runs of the experiment's folder that the grid does not name: no table and no report counts them."""
    named = {folder for cell in c.cells for folder in phases.run_folders(c, cell)}
    return [folder for folder in layout.run_folders(c.experiment) if folder not in named]


def record() -> None:
    """``dvc commit``: put every output of the graph into DVC's cache and record it in `dvc.lock`.

    If the cache is not linked into the work tree, ``--no-relink`` keeps DVC from replacing each hard-linked file, such
    as a run's weights (`files.link`), by a copy.

    Raises:
        UserError: DVC fails; with its message.
    """
    from dvc.config import Config

    linked = {"hardlink", "symlink"} & set(versioning.link_types(Config(".dvc")))
    options = ["--force", *([] if linked else ["--no-relink"])]
    if any(Path(INCOMING).rglob("*.dvc")):  # a user's data first: the download stage depends on the folder as a whole
        dvc_command.run("commit", *options, "--recursive", INCOMING)
    dvc_command.run("commit", *options)


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--experiment", help="do nothing if params.yaml names another one, which DVC versions")
    arguments = parser.parse_args(argv)
    try:
        c = composition.compose()
        if arguments.experiment not in (None, c.experiment):
            return 0
        check(c)
        dvc_vars.keep_current(c)
        if others := left_over(c):
            say(
                f"note: DVC records {layout.runs(c.experiment)} whole, with {len(others)} runs that the grid does "
                f"not name, such as {others[0]}; delete them if they should not be there",
                file=sys.stderr,
            )
        installed_code.keep_current()
        record()
    except UserError as mistake:
        raise UserError(f"the results were not recorded in DVC: {mistake}; {REPEAT}") from mistake
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
