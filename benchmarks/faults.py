"""Injects faults into a small project and says what came of each: equal bytes, a message, or something wrong.

    PYTHONPATH=. python benchmarks/faults.py [--trials 200] [--seed 1] [--workers 2] [--only TRIAL ...]
    PYTHONPATH=. python benchmarks/faults.py --kind deleted --trials 10

The project is scenes_smoke with few scenes, one data set and two variants, made once without faults. Each kind of
faults has a module in `fault_kinds/`, which says what a trial does:

steps        a step is struck at one of its writes, or a file that a step has left is damaged
deleted      outputs are deleted by hand while their phase manifests stay; `vlkd sync` on stale stages
slurm        kill -9 of a batch job's slurmstepd, on the cluster of scripts/slurm_dev_cluster
journal      damaged lines of a run's journal
server       an MLflow server that goes away and comes back

Then the same command is run again, and the rest of the graph. What a message, or `vlkd doctor --deep` at the end, says
is to be done about a file is done, and nothing else. In the end all files are compared with those of the undisturbed
project, but for what holds times: journals, provenance, logs, timings, the page. The outcomes:

same         equal bytes, without anybody doing anything, and what was to be said was said
message      a command ended with status 2 and one message that names the file; equal bytes after its remedy
doctor       no step reads the file again; `vlkd doctor --deep` names it; equal bytes after its remedy

and what must not be: WRONG bytes, a traceback, a message that does not name the file or whose remedy does not help,
nothing said, files left over, a run whose journal has no end, a step that hangs.

Steps are run as Snakemake runs them (a job's declared outputs are deleted before it), in processes forked from one that
has imported what they need. `deleted` runs `vlkd run` itself, with Snakemake and DVC.
"""

import argparse
import collections
import importlib
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fault_kinds.outcomes import BAD, GOOD, Trial

KINDS = ("steps", "deleted", "slurm", "journal", "server")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes, of the kind `steps`; others take one")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of trials, to see what they do")
    arguments = parser.parse_args(argv)
    kind = importlib.import_module(f"fault_kinds.{arguments.kind}")
    started = time.monotonic()
    numbers = arguments.only or range(arguments.trials)
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch, kind.trials(Path(scratch), arguments.seed) as one:
        print(f"ready after {time.monotonic() - started:.0f} s", flush=True)
        workers = arguments.workers if arguments.kind == "steps" else 1
        trials = [shown(each) for each in done(one, numbers, workers)]
    print(f"\n{table(kind.FAULTS, trials)}\n\n{len(trials)} trials, seed {arguments.seed}, "
          f"{time.monotonic() - started:.0f} s")  # fmt: skip
    wrong = [each for each in trials if each.outcome not in GOOD]
    for each in wrong:
        print(f"{each.outcome}: trial {each.number}: --kind {arguments.kind} --seed {arguments.seed} "
              f"--only {each.number}")  # fmt: skip
    return 1 if wrong else 0


def done(one: Callable[[int], Trial], numbers: Sequence[int], workers: int) -> Iterator[Trial]:
    if workers == 1:
        yield from map(one, numbers)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(one, numbers)


def shown(found: Trial) -> Trial:
    print(f"{found.number:4} {found.outcome:<10} {found.fault}: {found.where}", flush=True)
    if found.outcome in BAD or "--only" in sys.argv:
        for note in found.notes:
            print("      " + note.strip().replace("\n", "\n      "), flush=True)
    return found


def table(faults: Sequence[str], trials: Sequence[Trial]) -> str:
    """Fault x outcome, in Markdown; what must not be has a column only where it was seen."""
    seen = collections.Counter((each.fault, each.outcome) for each in trials)
    columns = [*GOOD, *(name for name in BAD if any(each.outcome == name for each in trials))]
    lines = [f"| fault | trials | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for fault in faults:
        counts = [seen[fault, name] for name in columns]
        lines.append(f"| {fault} | {sum(counts)} | {' | '.join(map(str, counts))} |")
    sums = [sum(seen[fault, name] for fault in faults) for name in columns]
    lines.append(f"| all | {len(trials)} | {' | '.join(map(str, sums))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
