r"""Estimate what an experiment takes before it runs: jobs, data to download or provide, disk, hours.

    vlkd plan
    vlkd plan paper_vcr --gpu a100
    vlkd plan scenes_protocol --json

The jobs are those of Snakemake's dry run, so finished jobs are not counted. Hours are measured in past runs on this
machine, or derived from the models' configurations and a device that you name (--gpu, --tflops), or not known; each
number is marked accordingly. See docs/protocol.md.
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition, jobs
from vlkd_steps.config.models.composition import Cell
from vlkd_steps.core import step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.graph import dry_run
from vlkd_steps.planning import cost, disk
from vlkd_steps.planning.cost import Throughput
from vlkd_steps.planning.page import page

GPUS = {  # teraFLOP/s of dense bf16 (V100: fp16) matrix products, from the vendor's data sheets
    "v100": 125.0,
    "a100": 312.0,
    "a40": 150.0,
    "l40s": 362.0,
    "rtx3090": 71.0,
    "rtx4090": 165.0,
    "h100": 989.0,
    "h200": 989.0,
}
UTILISATION = 0.3


@command.single("plan", __doc__, cls=command.Named)
def main(
    experiment: Annotated[
        str | None, Argument(help="a preset; default: the one in params.yaml", callback=command.experiment)
    ] = None,
    gpu: Annotated[
        str | None, command.choice(sorted(GPUS), "derive hours for this GPU instead of measured ones")
    ] = None,
    tflops: Annotated[float | None, Option(help="derive hours for a device that sustains this many teraFLOP/s")] = None,
    utilisation: Annotated[float, Option(help="of --gpu's peak that training reaches")] = UTILISATION,
    cores: Annotated[
        int, Option(min=1, help="jobs at once, for the elapsed time", show_default="all of this machine")
    ] = (os.cpu_count() or 1),
    as_json: Annotated[bool, Option("--json", help="write JSON")] = False,
) -> None:
    step.log_to(None)
    plan = planned(experiment, throughput(gpu, tflops, utilisation), cores)
    say(json.dumps(plan, indent=2, sort_keys=True) if as_json else page(plan), flush=True)


def throughput(gpu: str | None, tflops: float | None, utilisation: float) -> Throughput | None:
    """The throughput of the user's device; None: use times measured on this machine.

    Raises:
        UserError: the options contradict each other or are out of range.
    """
    if gpu and tflops:
        raise UserError("--gpu and --tflops both give the device's speed; give one of them")
    if not 0 < utilisation <= 1:
        raise UserError(f"--utilisation is {utilisation:g}; give a share of the peak, such as 0.3")
    if tflops is not None and not 0 < 1e12 * tflops < math.inf:
        raise UserError(f"--tflops is {tflops:g}; give what the device sustains, such as 60")
    if gpu:
        peak = GPUS[gpu]
        source = f"derived: {gpu}, {utilisation:g} of {peak:g} TFLOP/s"
        return Throughput(1e12 * peak * utilisation, True, source)
    if tflops:
        return Throughput(1e12 * tflops, True, f"derived: {tflops:g} TFLOP/s given")
    return None


def planned(experiment: str | None, given: Throughput | None, cores: int) -> dict[str, Any]:
    """The plan: ``experiment, jobs, runs, sources, weights, disk, cost, totals``, all plain values.

    Raises:
        UserError: the experiment does not compose, or Snakemake refuses it.
    """
    c = composition.compose(Path("params.yaml"), experiment)
    if c.note:
        say(f"note: {c.note}", file=sys.stderr)
    found = dry_run.dry_run(experiment)
    planned_cells = [Cell(**job.wildcards) for job in found if job.rule == "distill"]
    left = {cell: len(cost.unfinished(jobs.distill(c, cell))) for cell in planned_cells}
    rows = cost.rows(c, found, given)
    added = disk.folders(c, found, left)
    if c.experiment == c.params.experiment:  # the one that DVC records
        added += disk.recorded(added)
    known = [row for row in rows if row.hours is not None]
    hours = {
        name: sum(row.hours or 0.0 for row in known if row.gpu is gpu)
        for name, gpu in (("gpu_hours", True), ("core_hours", False))
    }
    return {
        "experiment": c.experiment,
        "jobs": dict(dry_run.counts(found)),
        "runs": {"of_the_experiment": len(jobs.runs(c)), "to_train": sum(left.values())},
        "sources": disk.sources(c, found),
        "put_in_place": disk.put_in_place(c) if found else [],
        "weights": disk.weights(c) if found else [],
        "disk": added,
        "disk_free_gb": disk.free(),
        "cost": [
            {**{key: value for key, value in vars(row).items() if key != "of"}, "from": _sources(row)} for row in rows
        ],
        "totals": {
            **hours,
            "not_known": sum(row.count for row in rows if row.hours is None and row.step in cost.HEAVY),
            "light_not_known": sum(row.count for row in rows if row.hours is None and row.step not in cost.HEAVY),
            "cores": cores,
            "device": given.source if given else None,
        },
    }


def _sources(row: cost.Row) -> str:
    return "; ".join(f"{count} {source}" if len(row.of) > 1 else source for source, count in row.of.items())


if __name__ == "__main__":
    raise SystemExit(main())
