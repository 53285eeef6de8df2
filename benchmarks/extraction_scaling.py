"""How fast one and two processes extract features here, and what 64 workers on a cluster would make of it.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/extraction_scaling.py [--pictures 4096] [--large 64]

**Measured**: real processes share real stores of scenes pictures and captions, with the teacher that ships with the
package and with an open_clip ViT-B/32 of random weights; works in a temporary folder. The clock runs from the moment
when all processes have loaded their teacher to the end of the last one. One and two processes take turns, the best
of three is told. Where other work shares the cores, rows per CPU-second say more: they hardly depend on it.

**Simulated**: an event simulation of the claim scheme (`vlkd_steps/teachers/features/claims.py`) with these
measurements, beside a static partition (chunk n belongs to worker n modulo 64, whatever happens). Its assumptions are
printed; its seeds are named by `seeds.derive`.
"""

import argparse
import heapq
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlkd_steps.benchmarks.scenes import write
from vlkd_steps.core.seeds import derive

LARGE = "ViT-B-32-quickgelu"


# Measured ------------------------------------------------------------------------------------------------------------


def worker(job: Mapping[str, Any]) -> None:
    """One process: load the teacher, wait for the others, extract, say when it began and ended."""
    from vlkd_steps.teachers.features import extraction
    from vlkd_steps.teachers.models import clip

    teacher = clip.load(job["teacher"])
    load = time.process_time()  # since the process began: imports as well
    ready = Path(job["ready"])
    with ready.open("a") as stream:
        stream.write("x")
    while ready.stat().st_size < job["processes"]:
        time.sleep(0.01)
    begun, cpu = time.time(), time.process_time()
    rows = pl.read_parquet(job["instances"])
    extraction.extract(teacher, rows, Path(job["store"]), job["teacher"], "benchmark", shared_round="benchmark")
    print(json.dumps({"load": load, "begun": begun, "ended": time.time(), "cpu": time.process_time() - cpu}))


@dataclass(frozen=True)
class Measurement:
    """Rows of the store, seconds until the last process ended, CPU-seconds of all, CPU-seconds to load a teacher."""

    rows: int
    seconds: float
    cpu: float
    load: float


def measure(folder: Path, teacher: Mapping[str, Any], instances: Path, processes: int) -> Measurement:
    """Extract once, in so many processes."""
    store = Path(tempfile.mkdtemp(dir=folder))
    job = {
        "teacher": dict(teacher),
        "instances": str(instances),
        "store": str(store / "features"),
        "ready": str(store / "ready"),
        "processes": processes,
    }
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    told = [json.loads(process.communicate()[0]) for process in running]
    rows = json.loads((store / "features" / "manifest.json").read_text())["rows"]
    return Measurement(
        rows=sum(rows[kind] for kind in ("image", "text", "word")),
        seconds=max(one["ended"] for one in told) - min(one["begun"] for one in told),
        cpu=sum(one["cpu"] for one in told),
        load=min(one["load"] for one in told),
    )


def best(folder: Path, teacher: Mapping[str, Any], instances: Path) -> tuple[Measurement, Measurement]:
    """The fastest of three with one process and of three with two, in turns: a change of the load meets both."""
    turns = [[measure(folder, teacher, instances, processes) for processes in (1, 2)] for _ in range(3)]
    one, two = (min(found, key=lambda each: each.seconds) for found in zip(*turns, strict=True))
    cpu, load = min(turn[0].cpu for turn in turns), min(turn[0].load for turn in turns)
    return replace(one, cpu=cpu, load=load), two


def data(folder: Path, pictures: int, texts: int) -> tuple[Path, Path]:
    """Instances of `pictures` pictures with one text, and of one picture with `texts` distinct texts."""
    write.write(folder / "scenes", dict.fromkeys(write.SPLITS, 1) | {"train": pictures}, 2022)
    images = sorted((folder / "scenes" / "images" / "train").iterdir())
    told = json.loads((folder / "scenes" / "captions" / "train.json").read_text())
    captions = sorted({entry["caption"] for entry in told["annotations"]})[:texts]
    one, other = folder / f"pictures-{pictures}.parquet", folder / f"texts-{pictures}.parquet"
    schema = ["image_id", "image_path", "text"]
    pl.DataFrame([(p.stem, str(p), "a star") for p in images], schema=schema, orient="row").write_parquet(one)
    rows = [(images[0].stem, str(images[0]), caption) for caption in captions]
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(other)
    return one, other


def large_teacher(folder: Path) -> dict[str, Any]:
    """A ViT-B/32 of random weights: as fast as a trained one."""
    import torch
    from safetensors.torch import save_file

    from vlkd_steps.teachers.models import clip

    torch.manual_seed(derive(0, "random weights"))
    path = folder / "random.safetensors"
    save_file({name: value.contiguous() for name, value in clip.create(LARGE, None)[0].state_dict().items()}, path)
    return {"name": "vit_b32", "kind": "clip", "model": LARGE, "weights": str(path), "device": "cpu"}


def measured(folder: Path, pictures: int, large: int) -> dict[str, dict[str, float]]:
    """Rates of both teachers, printed as a table; returned are rows per CPU-second of one process.

    Chunks are smaller than by default, so that two processes find something to share in so few rows.
    """
    small = {"name": "clip_scenes", "kind": "clip", "model": "vlkd-scenes", "weights": "asset:clip_scenes.safetensors"}
    cases: list[tuple[dict[str, Any], int, int]] = [({**small, "device": "cpu", "shard_size": 256}, pictures, pictures)]
    if large:
        cases.append(({**large_teacher(folder), "shard_size": large // 8, "batch_size": large // 8}, large, 2 * large))
    found = {}
    print("Load average of this machine before: " + " ".join(f"{load:.1f}" for load in os.getloadavg()) + "\n")
    print("| teacher | rows | 1 process | 2 processes | ratio | 1 process, rows per CPU-second | 2 processes |")
    print("|---|---|---|---|---|---|---|")
    for teacher, count, texts in cases:
        rates = {}
        for kind, instances in zip(("pictures", "texts"), data(folder, count, texts), strict=True):
            one, two = best(folder, teacher, instances)
            print(
                f"| {teacher['name']} | {one.rows} {kind} | {one.rows / one.seconds:.1f}/s | "
                f"{two.rows / two.seconds:.1f}/s | {one.seconds / two.seconds:.2f} | {one.rows / one.cpu:.1f} | "
                f"{two.rows / two.cpu:.1f} |",
                flush=True,
            )
            rates |= {kind: one.rows / one.cpu, "load": one.load}
        found[teacher["name"]] = rates
    return found


def claim_seconds(folder: Path, chunks: int = 500) -> float:
    """What claiming and marking one of `chunks` chunks takes on this disk."""
    from vlkd_steps.teachers.features.claims import Claims, Marks

    claims, marks = Claims.open(folder / "claims"), Marks(folder / "claims", "benchmark", "plan", chunks)
    started = time.perf_counter()
    for number in range(chunks):
        with claims.chunk(number) as ours:
            assert ours
            assert not marks.done(number)
            marks.mark(number, "0" * 16)
    marks.close()
    claims.close()
    return (time.perf_counter() - started) / chunks


# Simulated -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """What happens to workers. Seconds.

    Attributes:
        startup: from the job's start to its first claim.
        queue: mean of the exponential wait before a job starts.
        slow_share, slow: so many of the workers take so many times as long.
        failures: mean time between deaths of one worker (0: none die).
        requeue: from a death to the job being in the queue again.
        claim: claiming and marking one chunk.
        poll: between two looks of an idle worker.
    """

    startup: float
    queue: float = 0.0
    slow_share: float = 0.0
    slow: float = 1.0
    failures: float = 0.0
    requeue: float = 121.0
    claim: float = 0.01
    poll: float = 0.2


@dataclass(frozen=True)
class Outcome:
    """Seconds until the store is whole, worker-seconds held, of those waiting or lost, deaths in a chunk."""

    makespan: float
    held: float
    idle: float
    lost: int


def simulate(chunks: Sequence[float], workers: int, cluster: Cluster, static: bool, seed: int) -> Outcome:
    """One schedule: `static` fixes beforehand which worker makes which chunk; otherwise whoever is free takes one."""
    generator = np.random.default_rng(seed)
    speed = np.where(generator.random(workers) < cluster.slow_share, cluster.slow, 1.0)
    left = [[n for n in range(len(chunks)) if n % workers == w] if static else [] for w in range(workers)]
    common = list(range(len(chunks)))
    undone, now, computed, lost = set(common), 0.0, 0.0, 0
    held_since: dict[int, float] = {}
    held = 0.0
    dies = np.zeros(workers)
    events: list[tuple[float, int, str, int]] = []  # time, worker, what, chunk

    def submit(when: float, who: int) -> None:
        wait = generator.exponential(cluster.queue) if cluster.queue else 0.0
        heapq.heappush(events, (when + wait, who, "start", -1))

    def next_chunk(when: float, who: int) -> None:
        """Take a chunk, wait, or (static, nothing left) leave."""
        nonlocal held
        mine = left[who] if static else common
        if not mine:
            if static:
                held += when - held_since.pop(who)
            else:
                heapq.heappush(events, (when + max(cluster.poll, 5.0), who, "look", -1))  # coarser: fewer events
            return
        chunk = mine.pop(0)
        end = when + cluster.claim + chunks[chunk] * speed[who]
        if end > dies[who]:
            heapq.heappush(events, (dies[who], who, "die", chunk))
        else:
            heapq.heappush(events, (end, who, "done", chunk))

    for who in range(workers):
        submit(0.0, who)
    while undone:
        now, who, what, chunk = heapq.heappop(events)
        if what == "start":
            held_since[who] = now
            dies[who] = now + generator.exponential(cluster.failures) if cluster.failures else np.inf
            heapq.heappush(events, (now + cluster.startup, who, "look", -1))
        elif what == "die":
            held += now - held_since.pop(who)
            lost += 1
            (left[who] if static else common).insert(0, chunk)
            submit(now + cluster.requeue, who)
        else:
            if what == "done":
                undone.discard(chunk)
                computed += chunks[chunk] * speed[who]
            next_chunk(now, who)
    held += sum(now - since for since in held_since.values())
    return Outcome(now, held, held - computed, lost)


def simulated(rates: Mapping[str, float], claim: float, workers: int, repeats: int) -> None:
    """Tables of both schemes for VQA v2's training set."""
    pictures, texts, words = 82_783, 443_757, 12_000
    hour = 3600.0
    calm = Cluster(startup=rates["load"] + 2.0, claim=claim)
    waits = replace(calm, queue=600.0)
    uneven = replace(waits, slow_share=0.05, slow=4.0)
    rough = replace(uneven, failures=2 * hour)
    scenarios = {
        "nothing goes wrong": calm,
        "+ queue waits (mean 10 min, exponential)": waits,
        "+ stragglers (5 % of the workers, 4 times slower)": uneven,
        "+ deaths (each worker every 2 h on average, back in the queue after 121 s)": rough,
    }
    print(
        f"\nSimulated: {pictures} pictures, {texts} texts (all taken as distinct), {words} words; a worker is one core "
        f"as above, with vit_b32's rows per CPU-second; start-up {calm.startup:.1f} s, a claim {1000 * claim:.1f} ms "
        f"(measured on this disk); {repeats} repetitions, seeds derive(0, scenario, repetition).\n"
    )
    print("| chunk | scenario | scheme | hours to the end: median | 95th percentile | worker-hours | waiting or lost |")
    print("|---|---|---|---|---|---|---|")
    for size in (1024, 256):
        chunks = [some / rates["pictures"] for some in parts(pictures, size)]
        chunks += [some / rates["texts"] for some in [*parts(texts, size), *parts(words, size)]]
        for name, cluster in scenarios.items():
            for static in (True, False):
                outcomes = [
                    simulate(chunks, workers, cluster, static, derive(0, name, number)) for number in range(repeats)
                ]
                times = [outcome.makespan / hour for outcome in outcomes]
                held = statistics.median(outcome.held / hour for outcome in outcomes)
                idle = statistics.median(outcome.idle / hour for outcome in outcomes)
                print(
                    f"| {size} | {name} | {'static' if static else 'claims'} | {statistics.median(times):.2f} | "
                    f"{np.percentile(times, 95):.2f} | {held:.1f} | {idle:.1f} |",
                    flush=True,
                )
    total = sum(chunks) / hour
    print(f"\n{total:.1f} worker-hours of work: {total / workers:.2f} h on {workers} workers at best")


def parts(rows: int, size: int) -> list[int]:
    return [min(size, rows - start) for start in range(0, rows, size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=4096, help="and as many texts, for the shipped teacher")
    parser.add_argument("--large", type=int, default=64, help="pictures for ViT-B/32, with twice as many texts")
    parser.add_argument("--workers", type=int, default=64, help="simulated ones")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(json.loads(arguments.worker))
        return
    with tempfile.TemporaryDirectory(prefix=".extraction_scaling_", dir=".") as name:
        folder = Path(name).resolve()
        rates = measured(folder, arguments.pictures, arguments.large)
        claim = claim_seconds(folder)
    simulated(rates.get("vit_b32", rates["clip_scenes"]), claim, arguments.workers, arguments.repeats)


if __name__ == "__main__":
    main()
