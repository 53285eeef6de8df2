"""What checksums cost: seconds of sha256 in every step of a small experiment, and for large artifacts.

    PYTHONPATH=. python benchmarks/checksum_cost.py [--scenes | --made FOLDER] [--gigabytes 2] [--questions 650000]

The graph of one cell (scenes_vqa, clip_td, 300 shots, one seed) runs job by job, each in a process that has imported
what it needs; every call of `files.sha256`, by which all artifacts are hashed, is timed. Without ``--scenes`` the
scenes are few. Then a feature store and an instances file of the given sizes are generated and read as a job reads
them: hashed once, and a pass over the store in batches of 32 rows. CPU seconds are those to trust on a busy machine.
"""

import argparse
import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from fault_kinds import small_project

from vlkd_steps.config import composition
from vlkd_steps.core import checksums, files
from vlkd_steps.datasets import instances
from vlkd_steps.teachers.features.store import FeatureStore, Writer

GRID = {"dataset": ["scenes_vqa"], "variant": ["clip_td"], "shot": [300], "seed": [10]}
FEW = {"train": 400, "dev": 80, "test": 250, "unseen_pairs": 200, "other_style": 130, "pretrain": 4}
WIDTH, IN_SHARD, BATCH = 512, 4096, 32


class Hashing:
    """Notes CPU seconds, seconds and bytes of every call of `files.sha256` in a file, also of forked processes."""

    def __init__(self, report: Path) -> None:
        self.report = report
        original = files.sha256

        def sha256(path: Path) -> str:
            begun, cpu = time.perf_counter(), time.thread_time()
            found = original(path)
            cpu, seconds = time.thread_time() - cpu, time.perf_counter() - begun
            with report.open("a") as stream:
                stream.write(f"{cpu} {seconds} {path.stat().st_size}\n")
            return found

        files.sha256 = sha256

    def taken(self) -> np.ndarray:
        """CPU seconds, seconds and bytes since the last call, float [3]."""
        lines = self.report.read_text().splitlines() if self.report.exists() else []
        self.report.unlink(missing_ok=True)
        return np.array([line.split() for line in lines], float).reshape(-1, 3).sum(0)


def measured(function: Callable[[], Any]) -> np.ndarray:
    """CPU seconds of this process and the children that ended meanwhile, and seconds, float [2]."""
    before, begun = os.times(), time.perf_counter()
    function()
    seconds, after = time.perf_counter() - begun, os.times()
    return np.array([sum(after[:4]) - sum(before[:4]), seconds])


def row(name: str, taken: np.ndarray, hashed: np.ndarray) -> str:
    cpu, seconds = hashed[:2] / taken
    return (
        f"| {name} | {hashed[2] / 1e6:,.1f} | {hashed[0]:.3f} of {taken[0]:.1f} | {cpu:.2%} | "
        f"{hashed[1]:.3f} of {taken[1]:.1f} | {seconds:.2%} |"
    )


HEADER = "| job | MB hashed | CPU s | share | s | share |\n|---|---|---|---|---|---|"


def steps(scratch: Path, hashing: Hashing, scenes: bool, made: Path | None) -> None:
    """Run the graph, but for jobs whose outputs are in a copy of the project `made`; a row for each job."""
    overrides = {} if scenes else {f"sources.scenes.{key}": value for key, value in FEW.items()}
    project = scratch / "project"
    project.mkdir()
    for name in ("data", "features") if made else ():
        shutil.copytree(made / name, project / name)
    params = {"experiment": "scenes", "grid": GRID, "overrides": overrides}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    small_project.imported()
    small_project.LIMIT = 3600
    with contextlib.chdir(project):
        graph = small_project.graph_of(composition.compose())
    for job in graph:
        if all((project / path).exists() for path in job.outputs):
            continue
        taken = measured(functools.partial(run, project, job))
        print(row(job.name, taken, hashing.taken()), flush=True)


def run(project: Path, job: small_project.Job) -> None:
    status, text, _ = small_project.run(project, job)
    if status:
        raise SystemExit(text)


def store(folder: Path, hashing: Hashing, gigabytes: float) -> None:
    """Generate a store of float16 rows, and read all of it once in batches, as training does."""
    rows = int(gigabytes * 1e9 / WIDTH / 2)
    generator = np.random.default_rng(0)
    block = generator.standard_normal((IN_SHARD, WIDTH), dtype=np.float32).astype(np.float16)
    writer = Writer(folder, {"teacher": "benchmark"}, "float16")
    for start in range(0, rows, IN_SHARD):
        writer.add("image", f"{start:016x}", block[: rows - start])
    names = [f"image-{row}" for row in range(rows)]
    writer.finish(pl.DataFrame({"kind": ["image"] * rows, "name": names, "row": range(rows)}), dim=WIDTH)
    checksums._hashed.clear()
    read = FeatureStore.open(folder)
    order = generator.permutation(rows)
    hashing.taken()
    taken = measured(lambda: [read._tables["image"][order[i : i + BATCH]] for i in range(0, rows - BATCH, BATCH)])
    print(row(f"a pass over a store of {gigabytes:g} GB", taken, hashing.taken()), flush=True)


def large_instances(folder: Path, hashing: Hashing, questions: int) -> None:
    """Generate instances with as many questions as VQA v2 has, and read them."""
    path, numbers = folder / "instances.parquet", range(questions)
    columns = {
        "instance_id": [f"{number * 7919 % 10**9:012d}" for number in numbers],
        "split": ["train"] * questions,
        "image_path": [f"data/raw/vqa/images/COCO_train2014_{number // 5:012d}.jpg" for number in numbers],
        "text": [f"What is {hashlib.md5(str(number).encode()).hexdigest()}?" for number in numbers],
        "label": [number * 17 % 3129 for number in numbers],
    }
    pl.DataFrame(columns).write_parquet(path)

    def read() -> None:
        files.sha256(path)
        instances.read(path)

    hashing.taken()
    print(row(f"reading {questions:,} instances", measured(read), hashing.taken()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", action="store_true", help="all scenes of the benchmark")
    parser.add_argument("--made", type=Path, metavar="FOLDER", help="a project with data and features of all scenes")
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--questions", type=int, default=650_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="checksums-") as scratch:
        hashing = Hashing(Path(scratch) / "hashed.txt")
        print(HEADER)
        # First, since it forks: polars' threads do not survive that.
        steps(Path(scratch), hashing, arguments.scenes or arguments.made is not None, arguments.made)
        store(Path(scratch) / "store", hashing, arguments.gigabytes)
        large_instances(Path(scratch), hashing, arguments.questions)


if __name__ == "__main__":
    main()
