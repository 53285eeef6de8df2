r"""What an experiment would take, before anything runs: jobs, data to fetch or to put in place, disk, hours.

    vlkd plan
    vlkd plan --experiment paper_vcr --gpu a100
    vlkd plan --experiment scenes_protocol --json

The jobs are those that Snakemake's own dry run names, so what is done is not counted. Hours are measured here, from
past runs; or derived from the models' configurations and a device that you name (--gpu, --tflops); or not known. Every
number says which. See docs/protocol.md.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlkd_steps.config import composition, jobs
from vlkd_steps.core import step
from vlkd_steps.core.errors import UserError
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


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    step.log_to(None)
    plan = planned(arguments.experiment, throughput(arguments), arguments.cores)
    print(json.dumps(plan, indent=2, sort_keys=True) if arguments.json else page(plan), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", help="a preset; default: what params.yaml says")
    parser.add_argument("--gpu", choices=sorted(GPUS), help="derive hours for this GPU instead of measured ones")
    parser.add_argument("--tflops", type=float, help="derive hours for a device that sustains this many teraFLOP/s")
    parser.add_argument(
        "--utilisation", type=float, default=UTILISATION, help="of --gpu's peak that training reaches (default: 0.3)"
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="jobs at once, for the time it takes")
    parser.add_argument("--json", action="store_true", help="the plan for programs")
    return parser


def throughput(arguments: argparse.Namespace) -> Throughput | None:
    """The device that the user names; None: what was measured here is used.

    Raises:
        UserError: numbers that no device has.
    """
    if arguments.gpu and arguments.tflops:
        raise UserError("--gpu and --tflops both say how fast the device is; give one of them")
    if not 0 < arguments.utilisation <= 1:
        raise UserError(f"--utilisation is {arguments.utilisation:g}; give a share of the peak, such as 0.3")
    if arguments.tflops is not None and arguments.tflops <= 0:
        raise UserError(f"--tflops is {arguments.tflops:g}; give what the device sustains, such as 60")
    if arguments.gpu:
        peak = GPUS[arguments.gpu]
        told = f"derived: {arguments.gpu}, {arguments.utilisation:g} of {peak:g} TFLOP/s"
        return Throughput(1e12 * peak * arguments.utilisation, True, told)
    if arguments.tflops:
        return Throughput(1e12 * arguments.tflops, True, f"derived: {arguments.tflops:g} TFLOP/s given")
    return None


def planned(experiment: str | None, given: Throughput | None, cores: int) -> dict[str, Any]:
    """The plan: ``experiment, jobs, runs, sources, weights, disk, cost, totals``, all plain values.

    Raises:
        UserError: the experiment does not compose, or Snakemake refuses it.
    """
    c = composition.compose(Path("params.yaml"), experiment)
    found = dry_run.dry_run(experiment)
    left = {}
    for job in found:
        if job.rule == "distill":
            cell = tuple(job.wildcards[key] for key in jobs.CELL)
            left[cell] = len(cost.unfinished(jobs.distill(c, *cell)))
    rows = cost.rows(c, found, given)
    known = [row for row in rows if row.hours is not None]
    hours = {
        name: sum(row.hours or 0.0 for row in known if row.gpu is gpu)
        for name, gpu in (("gpu_hours", True), ("core_hours", False))
    }
    return {
        "experiment": c["experiment"],
        "jobs": dict(dry_run.counts(found)),
        "runs": {"of_the_experiment": len(jobs.runs(c)), "to_train": sum(left.values())},
        "sources": disk.sources(c, found),
        "put_in_place": disk.put_in_place(c) if found else [],
        "weights": disk.weights(c) if found else [],
        "disk": disk.folders(c, found, left),
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
