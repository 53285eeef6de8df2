"""How long the data steps take at the size of VQA v2, and how much memory: prepare, and nine shots by three seeds.

    python benchmarks/prepare_vqa.py [SCALE ...]

Generates questions and annotations of the official sizes (443,757 + 214,354 questions, ten answers each; SCALE 1) on as
many images as COCO has, without the images themselves, and runs the real steps, each in a process of its own.
The peak is the process's VmHWM.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"train": (443_757, 82_783), "val": (214_354, 40_504)}  # questions, images
SHOTS = ("100", "300", "1000", "3000", "10000", "1pct", "5pct", "10pct", "full")
SEEDS = (10, 11, 12)
LIMITS = {"prepare": (60, 3.0), "splits": (30, 2.0)}  # seconds, GiB, at scale 1

RUN = """
import json, sys, time
from vlkd_steps.steps import {module}
start, cpu = time.perf_counter(), time.process_time()
for config in json.load(sys.stdin):
    assert {module}.main(["--config", json.dumps(config)]) == 0
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, cpu, peak / 2**20]))
"""


def records(split: str, scale: float) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Questions with their annotations, shaped as VQA v2's: 65 question types, a long tail of answers."""
    random = Random(f"{split} {scale}")
    number, images = (int(size * scale) for size in SIZES[split])
    kinds = [f"what kind {n} is the" for n in range(65)]
    answers = ["yes", "no", *(str(n) for n in range(20)), *(f"answer {n}" for n in range(30_000))]
    weights = [1 / (n + 2) for n in range(len(answers))]
    gold = random.choices(answers, weights, k=number)
    noise = iter(random.choices(answers, weights, k=number * 2))
    first = {"train": 1, "val": 10_000_000}[split]
    for n in range(number):
        ids = {"question_id": (first + n % images) * 1000 + n // images, "image_id": first + n % images}
        kind = random.choice(kinds)
        given = [gold[n]] * 8 + [next(noise), next(noise)]
        kind_of_answer = "yes/no" if gold[n] in ("yes", "no") else "number" if gold[n].isdigit() else "other"
        yield (
            {**ids, "question": f"{kind} thing {random.randrange(4000)} near the {random.randrange(300)}?"},
            {
                **ids,
                "question_type": kind,
                "answer_type": kind_of_answer,
                "multiple_choice_answer": gold[n],
                "answers": [
                    {"answer": answer, "answer_confidence": "yes", "answer_id": k} for k, answer in enumerate(given, 1)
                ],
            },
        )


def generate(folder: Path, scale: float) -> None:
    for split in SIZES:
        asked, given = folder / f"{split}_questions.json", folder / f"{split}_annotations.json"
        with asked.open("w") as questions, given.open("w") as annotations:
            questions.write('{"questions": [')
            annotations.write('{"annotations": [')
            between = ""
            for question, annotation in records(split, scale):
                questions.write(between + json.dumps(question))
                annotations.write(between + json.dumps(annotation))
                between = ", "
            questions.write("]}")
            annotations.write("]}")


def conf() -> dict[str, Any]:
    files = {
        split: {"questions": f"{split}_questions.json", "annotations": f"{split}_annotations.json", "images": None}
        for split in SIZES
    }
    return {
        "name": "big",
        "task": "vqa",
        "source": "big",
        "reader": "vqa_v2",
        "files": files,
        "image_name": "{image_id}.jpg",
        "vocabulary": {"minimum": 9, "splits": ["train"]},
        "roles": {"train": {"split": "train"}, "dev": {"split": "train", "share": 0.03}, "test": {"split": "val"}},
        "evaluation_sets": ["dev", "test"],
    }


def measured(project: Path, module: str, configs: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Seconds by the clock and of the CPU, and peak GiB, of a step's process on one core, without its imports."""
    done = subprocess.run(
        ["taskset", "-c", "0", sys.executable, "-c", RUN.format(module=module)],
        input=json.dumps(configs),
        capture_output=True,
        text=True,
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, cpu, peak = json.loads(done.stdout)
    return seconds, cpu, peak


def main(argv: Sequence[str]) -> int:
    for scale in [float(argument) for argument in argv] or [1.0]:
        with tempfile.TemporaryDirectory() as name:
            project = Path(name)
            raw = project / "data" / "incoming" / "big"
            raw.mkdir(parents=True)
            start = time.perf_counter()
            generate(raw, scale)
            size = sum(path.stat().st_size for path in raw.iterdir()) / 2**20
            print(
                f"scale {scale:g}: {size:.0f} MiB of JSON, generated in {time.perf_counter() - start:.0f} s", flush=True
            )
            source = {"name": "big", "kind": "local", "path": "data/incoming/big", "transfer": "hardlink"}
            measured(project, "download", [{"source": source}])
            found = {"prepare": measured(project, "prepare", [{"dataset": conf()}])}
            cuts: list[dict[str, Any]] = [{"role": "eval", "dataset": conf()}]
            cuts += [{"role": "train", "dataset": conf(), "shots": SHOTS, "seeds": SEEDS}]
            found["splits"] = measured(project, "split", cuts)
            found["one shot, as a job of the graph"] = measured(project, "split", [{**cuts[1], "shots": ["1000"]}])
            for step, (seconds, cpu, peak) in found.items():
                limit = " (limit {} s, {} GiB)".format(*LIMITS[step]) if scale == 1 and step in LIMITS else ""
                print(
                    f"scale {scale:g}: {step} {seconds:.1f} s ({cpu:.1f} s of CPU), peak {peak:.2f} GiB{limit}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
