r"""Choose the best values of an experiment's sweeps by dev, and write them into a preset.

    vlkd run scenes_tune && vlkd tune scenes_tune
    vlkd tune scenes_tune --write
    vlkd tune scenes_tune --write conf/experiment/chosen.yaml

For every task, student, shot and swept variant: the member with the highest mean on dev, over seeds and over the data
sets of the task that all members have. --write writes FILE or, without one, <experiment>_tuned.yaml in the first folder
that params.yaml names as conf. There the mean over students decides, and values are set by task and, if there are
several shots, by shot. If params.yaml is of this experiment, its overrides, data sets and students are written too.
Test sets are not read.
"""

import sys
from pathlib import Path
from typing import Annotated

from rich import box
from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition, member_names, overrides
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import files, layout, step
from vlkd_steps.core.did_you_mean import one_of
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.evaluation import tables, tuned_preset, tuning
from vlkd_steps.evaluation.tuning import Choice, Trial
from vlkd_steps.graph import phase_manifest

PARAMS = Path("params.yaml")
NAMED = 2  # members that are as good as the best one
NARROWEST = 140  # columns of the table, also in a narrower terminal, which would break words


@command.single("tune", __doc__)
def main(
    experiment: Annotated[str, Argument(help="an experiment with a sweep, finished", callback=command.experiment)],
    file: Annotated[Path | None, Argument(help="the preset that --write writes", show_default=False)] = None,
    write: Annotated[bool, Option("--write", help="write the chosen values into a preset")] = False,
    metric: Annotated[str | None, Option(help="for tasks with several metrics; default: the main one")] = None,
) -> None:
    step.log_to(None)
    if file and not write:
        raise UserError(f"{file} is named without --write; write: vlkd tune {experiment} --write {file}")
    c = composition.compose(PARAMS, experiment)
    named = {each.name for cell in tuning.on_dev(c) for each in tuning.metrics(c.datasets[cell.dataset].task)}
    if metric:
        one_of(metric, sorted(named), "--metric")
    path = layout.results(experiment) / "summary.csv"
    if not path.is_file():
        raise UserError(f"{path} does not exist; run the experiment first: vlkd run {experiment}")
    rows = tables.read(path).to_dicts()
    tables.check_current(experiment, rows)
    found = tuning.choices(c, rows, metric=metric)
    target = destination(c, file) if write else None
    if note := phase_manifest.note(c):
        say(f"note: {note}", file=sys.stderr)
    show(c, found)
    if target:
        _write(target, c, tuning.choices(c, rows, tuning.by_task, metric))
        say(f"wrote {target}: vlkd run {target.stem}")


def destination(c: Composition, file: Path | None) -> Path:
    """The path of the preset.

    Raises:
        UserError: params.yaml names no folder for it, the file exists, its name is not valid for a preset or is one's
            that there is, no preset is found there, it cannot be written, or it would inherit the sweep.
    """
    if file is None and not c.params.conf:
        raise UserError(
            f"{PARAMS}: conf names no folder for your presets; add conf: [conf] there, and make the folder: "
            "mkdir -p conf/experiment"
        )
    found = file or Path(c.params.conf[0]) / "experiment" / f"{c.experiment}_tuned.yaml"
    name = command.experiment(found.stem)
    if found.suffix != ".yaml":
        raise UserError(f"{found} cannot be the preset; name a file that ends in .yaml")
    if found.exists():
        raise UserError(f"{found} exists; delete it, or name another file: --write FILE")
    folders = composition.folders(c.params.conf, PARAMS)
    conf = ConfFiles([*folders, composition.CONF])
    if name in conf.options("experiment"):
        raise UserError(f"{found} cannot be the preset: there is one called {name}; name another file: --write FILE")
    if found.parent.resolve() not in [(folder / "experiment").resolve() for folder in (*folders, composition.CONF)]:
        raise UserError(
            f"{found} would not be found as a preset; name a file in the folder experiment of one that {PARAMS} names "
            f"as conf ({', '.join(c.params.conf) or 'none yet: add conf: [conf]'})"
        )
    command.check_output(found, "--write")
    _check_inherited(c.experiment, conf)
    return found


def _write(target: Path, c: Composition, choices: list[Choice]) -> None:
    """Write the preset; one that does not compose, or lacks a chosen value, does not stay.

    Raises:
        UserError: it is such a one.
    """
    files.write_text(target, tuned_preset.text(c, choices))
    try:
        lost = tuned_preset.lost(c, composition.compose(PARAMS, target.stem), choices)
    except UserError as error:
        target.unlink()
        raise UserError(f"{target} is not written, since it would not compose: {error}") from None
    if lost:
        target.unlink()
        raise UserError(
            f"{target} is not written: {lost}, since the overrides of {c.experiment} or of {PARAMS}, which it has "
            f"too, set it; write them under variants and training in {c.experiment} itself, then tune again"
        )


def _check_inherited(experiment: str, conf: ConfFiles) -> None:
    """Refuse sweeps in the overrides of the experiment's own files: the new preset, which extends it, has them too."""
    inherited = overrides.by_key(conf.merged("experiment", experiment).get("overrides") or {}, "overrides")
    if swept := sorted(key for key in inherited if key.startswith("variants.") and key.endswith(".sweep")):
        raise UserError(
            f"the overrides of {experiment} set {swept[0]}, which the new preset would inherit; write the sweep under "
            f"variants in {experiment} itself, then tune again"
        )


def show(c: Composition, choices: list[Choice]) -> None:
    """Print a line for every choice, and the variants that were left out."""
    table = Table(box=box.ASCII2, show_edge=False, pad_edge=False)
    wrapped = ("best", "second", "note")
    for name in ("task", "student", "shot", "variant", "best", "metric", "dev", "seeds", "second", "note"):
        right = name in ("dev", "seeds")
        table.add_column(name, justify="right" if right else "left", no_wrap=name not in wrapped, overflow="fold")
    for choice in choices:
        best, *others = choice.trials
        second = f"{_values(c, others[0])}: {others[0].mean:.2f}" if others else ""
        seeds = " ".join(map(str, best.seeds))
        mean = f"{best.mean:.2f}"
        note = "; ".join([*_equal(c, choice), *tuning.edges(c, choice)])
        table.add_row(*choice.group, _values(c, best), choice.metric, mean, seeds, second, note)
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, NARROWEST)
    console.print(table)
    left_out = dict.fromkeys(cell.dataset for cell in c.cells if cell.variant in c.members)
    left_out = {name: None for name in left_out if tuning.DEV not in c.datasets[name].evaluation_sets}
    if left_out:
        say(f"left out, not evaluated on dev: {', '.join(left_out)}")


def _equal(c: Composition, choice: Choice) -> list[str]:
    ties = tuning.ties(choice)
    if len(ties) > NAMED:
        return [f"{len(ties)} others are as good"]
    return [f"{_values(c, trial)} is as good" for trial in ties]


def _values(c: Composition, trial: Trial) -> str:
    return ", ".join(f"{key}={member_names.text(value)}" for key, value in c.members[trial.member].swept.items())


if __name__ == "__main__":
    raise SystemExit(main())
