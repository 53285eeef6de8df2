"""Report which of the papers' claims held in finished experiments: vlkd claims scenes_protocol ...

Reads ``results/<experiment>/summary.csv`` and every run's ``scores/``; writes a table in Markdown (or JSON). Each row
has its interval over seeds and images, its verdict, the command that makes the results, and the keys of the runs. The
table in docs/results.md is its output.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition
from vlkd_steps.core import files, layout, records, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.evaluation import tables
from vlkd_steps.evaluation.claims import Claim, adjusted, evaluate
from vlkd_steps.evaluation.contrasts import Evidence

COLUMNS = ["", "claim", "on", "shots", "points [95 %]", "p (Holm)", "relative", "papers", "verdict", "from", "runs"]


@command.single("claims", __doc__)
def main(
    experiments: Annotated[
        list[str], Argument(metavar="EXPERIMENT...", help="finished presets", callback=command.experiment)
    ],
    out: Annotated[Path | None, Option(help="write here instead of to the terminal")] = None,
    as_json: Annotated[bool, Option("--json", help="write JSON")] = False,
) -> None:
    step.log_to(None)
    found: list[Claim] = []
    for experiment in experiments:
        datasets = composition.compose(experiment=experiment).datasets
        found += evaluate(Evidence(experiment, summary(experiment)), datasets)
    if not found:
        raise UserError(f"{' '.join(experiments)}: no variants to compare; a claim needs two of them")
    found = adjusted(found)
    text = json.dumps([asdict(claim) for claim in found], indent=2) if as_json else markdown(found)
    files.write_text(out, text + "\n") if out else say(text, flush=True)


def summary(experiment: str) -> list[dict[str, str]]:
    """The rows of an experiment's `summary.csv`.

    Raises:
        UserError: the experiment is not finished.
    """
    path = layout.results(experiment) / "summary.csv"
    if not path.is_file():
        raise UserError(f"{path} does not exist; run: snakemake --cores all --config experiment={experiment}")
    tables.read(path)  # checks the cells' types and values
    return [row for _, row in records.rows(path)]


def markdown(claims: Sequence[Claim]) -> str:
    """The claims as a table, followed by the keys of the runs in its last column."""
    keys: dict[tuple[str, ...], str] = {}
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    for claim in claims:
        name = keys.setdefault(claim.run_keys, f"R{len(keys) + 1}") if claim.run_keys else ""
        lines.append(
            _line(
                [
                    f"{claim.number}",
                    claim.text,
                    claim.where,
                    " ".join(claim.shots),
                    _points(claim),
                    "" if claim.p_holm is None else f"{claim.p_holm:.2g}",
                    "" if claim.relative is None else f"{claim.relative:+.1f} %",
                    "" if claim.papers is None else f"+{claim.papers:g} %",
                    f"**{claim.verdict}**" if claim.verdict == "held" else claim.verdict,
                    f"`{origin(claim.experiment)}`" if claim.experiment else "",
                    f"{name} ({len(claim.run_keys)})" if name else "",
                ]
            )
        )
    lines += ["", "Keys of the runs (`run_key` of `summary.csv`, MLflow and each run's config.yaml):", ""]
    lines += [f"- {name}: {' '.join(of_runs)}" for of_runs, name in keys.items()]
    return "\n".join(lines)


def origin(experiment: str) -> str:
    """The command that makes an experiment's results."""
    return f"make demo EXPERIMENT={experiment}"


def _points(claim: Claim) -> str:
    if claim.found is None:
        return ""
    if claim.found.low is None or claim.found.high is None:
        return f"{claim.found.gain:+.1f}"
    return f"{claim.found.gain:+.1f} [{claim.found.low:.1f}, {claim.found.high:.1f}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
