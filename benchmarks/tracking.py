"""How long `track` takes for a demo's worth of runs: 54 runs, 60 parameters and 120 metrics each.

    PYTHONPATH=. python benchmarks/tracking.py

Prints seconds for a new database, for a second time, and for one changed run; works in a temporary folder.
"""

import contextlib
import tempfile
import time
from pathlib import Path

from vlkd_steps.cli import track
from vlkd_steps.core import files, layout
from vlkd_steps.tracking import mlflow_sync
from vlkd_steps.tracking.journal import Journal

RUNS, PARAMETERS, METRICS, STEPS = 54, 60, 120, 15


def write_run(seed: int) -> Path:
    """A finished run with its metrics logged `STEPS` times."""
    folder = layout.run("benchmark", "data", "student", "finetune", 300, seed)
    with Journal(layout.journal(folder)) as journal:
        tags = {"dataset": "data", "student": "student", "variant": "finetune", "shot": 300, "seed": seed}
        params = {f"parameter_{i}": i for i in range(PARAMETERS)}
        journal.append("start", run_key=files.digest(seed)[:16], attempt=1, tags=tags, params=params)
        for step in range(1, STEPS + 1):
            journal.append("metrics", step=step, metrics={f"metric_{i}": i / step for i in range(METRICS)})
        journal.append("end", status="FINISHED", seconds=10.0, peak_mib=800.0)
    files.write_text(layout.run_config(folder), f"seed: {seed}\n")
    files.write_json(layout.metrics(folder), {"test": {"accuracy": 50.0 + seed / 10, "n": 4000}})
    return folder


def timed(what: str) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    track.once("benchmark", "sqlite:///mlflow.db")
    print(
        f"{what}: {time.perf_counter() - wall:.1f} s, of them {time.process_time() - cpu:.1f} s of this process's CPU"
    )


def main() -> None:
    mlflow_sync.set_environment()
    import mlflow  # noqa: F401  its import (about 2 s) is not measured

    with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):
        folders = [write_run(seed) for seed in range(RUNS)]
        timed(f"new database, {RUNS} runs, {RUNS * METRICS * STEPS} values")
        timed("nothing changed")
        files.write_json(layout.metrics(folders[0]), {"test": {"accuracy": 99.0, "n": 4000}})
        timed("one run changed")


if __name__ == "__main__":
    main()
