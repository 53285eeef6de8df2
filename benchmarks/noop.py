"""How long a start takes that has nothing to do: an experiment of 1,000 finished runs by default.

    PYTHONPATH=. python benchmarks/noop.py [--runs 1000] [--profile]

Copies the working tree into a temporary folder, writes a small file for every output of every job and the phase
manifests, has Snakemake record them as made (as `vlkd sync` does), and times `snakemake` and `vlkd run`, which brings
MLflow up to date and prints the table; --profile prints where Snakemake's time goes.
"""

import argparse
import contextlib
import io
import os
import pstats
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import yaml

from vlkd_steps.config import composition, phases
from vlkd_steps.core import checksums, files, layout
from vlkd_steps.graph import phase_manifest, sync
from vlkd_steps.tracking.journal import Journal

VARIANTS, SEEDS = ("finetune", "naive_kd", "plug_in", "clip_td", "mad"), 5
DATASETS = ("scenes_smoke_vqa", "scenes_smoke_ve")
GAINS = """\
dataset,student,variant,method,teacher,shot,evaluation_set,metric,seeds,n,images,mean,sd,reference_mean,gain,gain_low,\
gain_high,p,p_holm,bootstrap_low,bootstrap_high
scenes_smoke_vqa,vilt_scenes,finetune,finetune,,10,test,accuracy,1 2 3,80,40,32.0500,0.2374,,,,,,,,
"""


def copy_of(root: Path, folder: Path) -> None:
    """What git tracks or would track."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                            capture_output=True, check=True)  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (root / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)


def write_params(runs: int) -> None:
    cells = max(1, runs // (SEEDS * len(DATASETS) * len(VARIANTS)))
    grid = {"dataset": list(DATASETS), "variant": list(VARIANTS), "shot": [10 + i for i in range(cells)],
            "seed": list(range(1, SEEDS + 1))}  # fmt: skip
    Path("params.yaml").write_text(yaml.safe_dump({"experiment": "scenes_smoke", "grid": grid}))


def write_outputs() -> int:
    """Every output of every job, and the phase manifests; returns the number of runs."""
    c = composition.compose()
    for phase in phases.PHASES:
        made = phases.of_phase(c, phase)
        for job in made:
            for path in (*job.outputs, *job.beside):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content(path))
                if path.name == "config.yaml":
                    write_journal(path)
            for listing in (path for path in job.outputs if path.suffix == ".sha256"):
                below = [path for path in (*job.outputs, *job.beside) if path.is_relative_to(listing.parent)]
                checksums.write(listing, [path for path in below if path.suffix != ".sha256"])
        phase_manifest.write(phase_manifest.config(c.experiment, phase, made))
    sync.record(list(phases.PHASES))
    return len(c.cells) * len(c.grid.seed)


def content(path: Path) -> bytes:
    """As little as the tracker and the table read."""
    if path.suffix == ".parquet":
        return PREDICTIONS
    if path.name == "gains.csv":
        return GAINS.encode()
    if path.name.endswith(".labels.json"):
        return b'["red", "two"]\n'
    if path.name == "config.yaml":
        return f"run_key: '{files.digest(str(path))[:16]}'\n".encode()
    return b'{"test": {"accuracy": 50.0, "n": 3}}\n' if path.name == "metrics.json" else b"{}\n"


def write_journal(config: Path) -> None:
    """One attempt that ended, of the run whose config.yaml this is."""
    _, experiment, dataset, student, variant, shot, seed, _ = config.parts
    tags = {"experiment": experiment, "dataset": dataset, "student": student, "variant": variant, "shot": shot}
    with Journal(layout.journal(config.parent)) as journal:
        run_key = files.digest(str(config))[:16]
        journal.append("start", run_key=run_key, attempt=1, tags={**tags, "seed": seed[1:]}, params={"steps": 3})
        journal.append("metrics", step=3, metrics={"train/loss": 1.0})
        journal.append("end", status="FINISHED", seconds=1.0, peak_mib=300.0)


def predictions() -> bytes:
    columns = {"instance_id": ["a", "b", "c"], "prediction": [0, 1, 0], "answer": ["red"] * 3, "probability": [0.5] * 3}
    columns |= {"text": ["what is it"] * 3, "label": [0] * 3, "image_path": ["a.png"] * 3}  # as data/instances has them
    stream = io.BytesIO()
    pl.DataFrame({**columns, "score": [1.0, 0.0, 1.0]}).write_parquet(stream)
    return stream.getvalue()


PREDICTIONS = predictions()


def timed(what: str, command: Sequence[str]) -> None:
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {time.perf_counter() - wall:.1f} s, {cpu:.1f} s of CPU", flush=True)
    said = done.stdout + done.stderr
    said += Path("logs/track.log").read_text() if Path("logs/track.log").exists() else ""
    if "not written" in said:
        raise SystemExit(f"MLflow lacks something:\n{said[-3000:]}")
    if done.returncode or "Nothing to be done" not in said:
        raise SystemExit(f"there was something to do (status {done.returncode}):\n{said[-3000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--profile", action="store_true", help="print where Snakemake's own time goes")
    arguments = parser.parse_args()
    root = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        copy_of(root, Path(folder))
        os.environ["PYTHONPATH"] = folder
        write_params(arguments.runs)
        print(f"{write_outputs()} runs; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        snakemake = ["-m", "snakemake", "--profile", "profiles/local"]
        timed("snakemake", [sys.executable, *snakemake])
        run = [sys.executable, "-m", "vlkd_steps", "run"]
        timed("vlkd run, for the first time", run)
        timed("vlkd run", run)
        if arguments.profile:
            subprocess.run([sys.executable, "-m", "cProfile", "-o", "profile", *snakemake], check=True)
            pstats.Stats("profile").sort_stats("cumulative").print_stats(50)


if __name__ == "__main__":
    main()
