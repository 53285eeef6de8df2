"""How long `track` takes for many finished runs: 1,000 by default, each with 60 parameters, curves and predictions.

    PYTHONPATH=. python benchmarks/tracking.py [--runs 1000] [--follow 60]

Prints seconds for a new database, for a second time with nothing new (inside a process that has MLflow imported, and
as the command that a user types), for one changed run, and the share of a core that `--follow` takes while nothing
happens. Works in a temporary folder.
"""

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from vlkd_steps.cli import track
from vlkd_steps.core import files, layout
from vlkd_steps.tracking import mlflow_environment
from vlkd_steps.tracking.journal import Journal

PARAMETERS, METRICS, STEPS = 60, 12, 30
SETS, ITEMS = ("dev", "test", "unseen_pairs", "other_style"), 4_000
VARIANTS, SHOTS = ("finetune", "naive_kd", "clip_td", "mad"), (300, 1_000, 3_000, 10_000)
ADDRESS = "sqlite:///mlflow.db"


def write_run(number: int) -> Path:
    """A finished and evaluated run: METRICS logged STEPS times, predictions and scores of SETS."""
    rest, variant = divmod(number, len(VARIANTS))
    seed, shot = divmod(rest, len(SHOTS))
    folder = layout.run("benchmark", "data", "student", VARIANTS[variant], SHOTS[shot], seed)
    tags = {"dataset": "data", "student": "student", "variant": VARIANTS[variant], "shot": SHOTS[shot], "seed": seed}
    with Journal(layout.journal(folder)) as journal:
        params = {f"parameter_{i}": i for i in range(PARAMETERS)}
        journal.append("start", run_key=files.digest(number)[:16], attempt=1, tags=tags, params=params)
        for step in range(1, STEPS + 1):
            journal.append("metrics", step=step, metrics={f"metric_{i}": i / step for i in range(METRICS)})
        journal.append("end", status="FINISHED", seconds=10.0, peak_mib=800.0)
    files.write_text(layout.run_config(folder), f"run_key: '{files.digest(number)[:16]}'\nseed: {seed}\n")
    generator = np.random.default_rng(number)
    probability = generator.random(ITEMS, dtype=np.float32)
    answers = {"instance_id": [f"q{i}" for i in range(ITEMS)], "prediction": (probability * 50).astype(int),
               "answer": ["red"] * ITEMS, "probability": probability}  # fmt: skip
    tables = {layout.predictions: pl.DataFrame(answers),
              layout.scores: pl.DataFrame({"instance_id": answers["instance_id"], "score": probability})}  # fmt: skip
    for path_of, table in tables.items():
        path_of(folder, "test").parent.mkdir(exist_ok=True)
        for name in SETS:
            table.write_parquet(path_of(folder, name))
    results = {name: {"accuracy": 50.0 + variant + seed / 10, "n": ITEMS} for name in SETS}
    files.write_json(layout.metrics(folder), results)
    return folder


def write_instances() -> None:
    """The items that the predictions answer."""
    path = layout.instances("data")
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"q{i}" for i in range(ITEMS)]
    columns = {"instance_id": ids, "text": ["what is it"] * ITEMS, "label": [0] * ITEMS, "image_path": ids}
    pl.DataFrame(columns).write_parquet(path)
    files.write_json(layout.labels("data"), ["red", "two"])


def timed(what: str) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    track.once("benchmark", ADDRESS)
    print(f"{what}: {time.perf_counter() - wall:.1f} s, {time.process_time() - cpu:.1f} s of CPU", flush=True)


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "vlkd_steps", "track", "benchmark", *options,
            "--tracking-uri", ADDRESS]  # fmt: skip


def timed_command(what: str) -> None:
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command(), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {time.perf_counter() - wall:.1f} s, {cpu:.1f} s of CPU", flush=True)


def followed(seconds: float) -> None:
    """The share of a core of --follow once it has caught up."""
    process = subprocess.Popen(command("--follow"), stdin=subprocess.DEVNULL)
    try:
        time.sleep(20)  # it starts and takes its first look
        before, begun = _cpu(process.pid), time.monotonic()
        time.sleep(seconds)
        share = (_cpu(process.pid) - before) / (time.monotonic() - begun)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    print(f"--follow, nothing happens: {100 * share:.2f} % of a core", flush=True)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--follow", type=float, default=60.0, help="seconds to watch --follow for")
    arguments = parser.parse_args()
    mlflow_environment.set_defaults()
    import mlflow  # noqa: F401  its import (about 2 s) is measured in the command alone

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):
        write_instances()
        folders = [write_run(number) for number in range(arguments.runs)]
        timed(f"new database, {arguments.runs} runs")
        timed("nothing new")
        timed_command("nothing new, as a command")
        results = files.read_json(layout.metrics(folders[1]))
        files.write_json(layout.metrics(folders[1]), {**results, "test": {"accuracy": 99.0, "n": ITEMS}})
        timed("one run changed")
        followed(arguments.follow)


if __name__ == "__main__":
    main()
