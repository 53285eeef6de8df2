"""Test the claims of presets on their finished runs: vlkd claims scenes_protocol scenes_full ...

Reads each preset's ``claims``, its ``results/<experiment>/summary.csv`` and every run's ``scores/``. Without a name,
all experiments with claims and results. Prints tables in Markdown; --write makes a page of them, with the tables of
accuracy, and a CSV file beside it with the keys of the runs. Results that may be of another configuration than the
preset's now are named on stderr, and on the page.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition
from vlkd_steps.core import experiment_option, files, layout, records, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.evaluation import tables
from vlkd_steps.evaluation.claims import Row, evaluate, judged
from vlkd_steps.evaluation.contrasts import Evidence
from vlkd_steps.graph import phase_manifest
from vlkd_steps.reporting import claims_page, table


@command.single("claims", __doc__)
def main(
    experiments: Annotated[
        list[str] | None, Argument(metavar="[EXPERIMENT...]", help="finished presets", callback=command.experiment)
    ] = None,
    write: Annotated[Path | None, Option(help="write a page, such as claims.md")] = None,
    as_json: Annotated[bool, Option("--json", help="for programs")] = False,
) -> None:
    step.log_to(None)
    command.check_output(write, "--write")
    names = list(dict.fromkeys(experiments or with_claims()))
    if write:
        _check_target(write)
    rows = tested(names)
    earlier = notes(names)
    for name, note in earlier.items():
        say(f"note: {name}: {note}", file=sys.stderr)
    if write:
        _write(write, names, rows, earlier)
    if as_json:
        say(json.dumps([asdict(row) for row in rows], indent=2), flush=True)
    elif not write:
        say("\n".join([*claims_page.overview(rows), "", "## Details", "", *claims_page.details(rows)]), flush=True)


def with_claims() -> list[str]:
    """The experiments that have claims and results, sorted; results of no preset are named on stderr and left out.

    Raises:
        UserError: there is none.
    """
    finished = sorted(path.parent.name for path in layout.results("x").parent.glob("*/summary.csv"))
    known = composition.presets()
    if left := [name for name in finished if name not in known]:
        say(f"note: results of no preset are left out: {', '.join(left)}", file=sys.stderr)
    found = [name for name in finished if name in known and composition.compose(experiment=name).claims]
    if not found:
        raise UserError(
            f"no experiment with claims has results ({', '.join(finished) or 'nothing'} in results/); run one: "
            "snakemake --cores all --config experiment=scenes_claims"
        )
    return found


def tested(experiments: Sequence[str]) -> list[Row]:
    """The rows of all claims of these experiments, with their verdicts.

    Raises:
        UserError: an experiment without claims, or without results.
    """
    rows: list[Row] = []
    for name in experiments:
        composed = composition.compose(experiment=name)
        if composed.note:
            say(f"note: {composed.note}", file=sys.stderr)
        if not composed.claims:
            raise UserError(f"experiment {name} has no claims; write some in its preset (docs/protocol.md), or run one")
        rows += evaluate(Evidence(name, summary(name)), composed.claims, composed.datasets)
    return judged(rows)


def notes(experiments: Sequence[str]) -> dict[str, str]:
    """The experiments whose results may be of an earlier run, by another configuration or other code, and why."""
    found = {name: phase_manifest.note(composition.compose(experiment=name)) for name in experiments}
    return {name: note for name, note in found.items() if note}


def summary(experiment: str) -> list[dict[str, str]]:
    """The rows of an experiment's `summary.csv`.

    Raises:
        UserError: the experiment is not finished, or some of its runs were trained again since.
    """
    path = layout.results(experiment) / "summary.csv"
    if not path.is_file():
        raise UserError(f"{path} does not exist; run: snakemake --cores all {experiment_option.typed(experiment)}")
    tables.read(path)  # checks the cells' types and values
    rows = [row for _, row in records.rows(path)]
    tables.check_current(experiment, rows)
    return rows


def _check_target(path: Path) -> None:
    """Refuse a page that cannot be written, before the claims are tested.

    Raises:
        UserError: no file that ends in .md, or a file of this name, or of the keys beside it, that this command did not
            make.
    """
    if path.suffix != ".md" or path.is_dir():
        raise UserError(f"--write {path}: name a file that ends in .md, such as claims.md")
    beginnings = {path: claims_page.MARK, _keys_of(path): claims_page.run_keys([])}
    for file, beginning in beginnings.items():
        if file.exists() and not (
            file.is_file() and file.read_text(encoding="utf-8", errors="replace").startswith(beginning.splitlines()[0])
        ):
            raise UserError(f"{file} was not made by vlkd claims; move it away, or write to another file")


def _keys_of(path: Path) -> Path:
    """The file beside a page that has the keys of its runs."""
    return path.with_suffix(".runs.csv")


def _write(path: Path, experiments: Sequence[str], rows: Sequence[Row], earlier: Mapping[str, str]) -> None:
    """The page, and beside it the keys of the runs."""
    results = {name: table.read(layout.results(name) / "gains.csv") for name in experiments}
    keys = _keys_of(path)
    made_by = f"vlkd claims {' '.join(experiments)} --write {path.as_posix()}"
    text = claims_page.page(rows, made_by, results, keys.name, earlier)
    files.write_text(keys, claims_page.run_keys(rows))
    files.write_text(path, text)
    say(f"wrote {path}, and {keys} with the keys of the runs", file=sys.stderr)  # stdout may be JSON


if __name__ == "__main__":
    raise SystemExit(main())
