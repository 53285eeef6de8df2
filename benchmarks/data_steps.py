"""How long the data steps take at the size of an official data set, and how much memory: prepare, nine shots by three
seeds.

    python benchmarks/data_steps.py vqa|snli_ve|vcr|coco_captions [SCALE ...]

Generates annotations of the official sizes (SCALE 1) on as many images as the data set has, without the images, and
runs the real steps, each in a process of its own on one core. The peak is the process's VmHWM.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ("100", "300", "1000", "3000", "10000", "1pct", "5pct", "10pct", "full")
SEEDS = (10, 11, 12)
LIMITS = {"prepare": (60, 3.0), "splits": (30, 2.0)}  # seconds, GiB, of VQA v2 at scale 1
WORDS = [f"word{number}" for number in range(4000)]


class Shape(NamedTuple):
    """A data set: its settings beside its name and source, and what writes its files."""

    conf: dict[str, Any]
    generate: Callable[[Path, float], None]


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


def write(path: Path, records: Iterator[Any], name: str = "") -> None:
    """JSON lines, or with a `name` one JSON object whose list of that name has the records."""
    with path.open("w") as stream:
        stream.write(f'{{"{name}": [' if name else "")
        for number, record in enumerate(records):
            stream.write((", " if name and number else "") + json.dumps(record) + ("" if name else "\n"))
        stream.write("]}" if name else "")


def vqa(folder: Path, scale: float) -> None:
    """VQA v2: 65 question types, a long tail of answers, ten of them for each question."""
    answers = ["yes", "no", *(str(n) for n in range(20)), *(f"answer {n}" for n in range(30_000))]
    weights = [1 / (n + 2) for n in range(len(answers))]
    for split, questions, of_split, first in (("train", 443_757, 82_783, 1), ("val", 214_354, 40_504, 10_000_000)):
        number, images = int(questions * scale), int(of_split * scale)
        random = Random(f"{split} {scale}")
        gold = random.choices(answers, weights, k=number)
        noise = random.choices(answers, weights, k=number * 2)
        kinds = random.choices([f"what kind {n} is the" for n in range(65)], k=number)
        ids = [
            {"question_id": (first + n % images) * 1000 + n // images, "image_id": first + n % images}
            for n in range(number)
        ]
        asked = (
            {**ids[n], "question": f"{kinds[n]} thing {random.randrange(4000)} near the {random.randrange(300)}?"}
            for n in range(number)
        )
        write(folder / f"{split}_questions.json", asked, "questions")
        given = (
            {
                **ids[n],
                "question_type": kinds[n],
                "answer_type": "yes/no" if gold[n] in ("yes", "no") else "number" if gold[n].isdigit() else "other",
                "multiple_choice_answer": gold[n],
                "answers": [
                    {"answer": answer, "answer_confidence": "yes", "answer_id": k}
                    for k, answer in enumerate([gold[n]] * 8 + noise[2 * n : 2 * n + 2], 1)
                ],
            }
            for n in range(number)
        )
        write(folder / f"{split}_annotations.json", given, "annotations")


def snli_ve(folder: Path, scale: float) -> None:
    """SNLI-VE: some 17 hypotheses an image, of which a part can be guessed by a word."""
    labels, first = ("contradiction", "entailment", "neutral"), 0
    for split, pairs, images in (("train", 529_527, 29_783), ("dev", 17_858, 1_000), ("test", 17_901, 1_000)):
        random = Random(f"{split} {scale}")
        number, of_split = int(pairs * scale), int(images * scale)
        start, first = first, first + of_split
        write(
            folder / f"{split}.jsonl",
            (
                {
                    "pairID": f"{start + n % of_split}.jpg#{n // of_split}r1{n % 3}",
                    "Flickr30K_ID": str(start + n % of_split),
                    "gold_label": labels[n % 3],
                    "sentence1": sentence(random, 12),
                    "sentence2": sentence(random, 7) + (f" cue{n % 3}" if n % 4 == 0 else ""),
                }
                for n in range(number)
            ),
        )


def vcr(folder: Path, scale: float) -> None:
    """VCR: 2.65 annotations an image, a file of boxes for each image, four answers and four rationales."""
    for split, annotations, of_split in (("train", 212_923, 80_418), ("val", 26_534, 9_929)):
        random = Random(f"{split} {scale}")
        number, images = int(annotations * scale), int(of_split * scale)
        for image in range(images):
            path = folder / "vcr1images" / f"{split}_{image // 500}" / f"{image}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            boxes = [[10.0 * k, 20.0, 10.0 * k + 90, 220.0, 0.99] for k in range(5)]
            segms = [[[[10, 20], [90, 20], [90, 220], [10, 220]]] for _ in boxes]
            names = ["person"] * 3 + ["chair", "cup"]
            path.write_text(json.dumps({"boxes": boxes, "segms": segms, "names": names, "width": 640, "height": 360}))
        write(
            folder / f"{split}.jsonl",
            (
                {
                    "movie": f"{split}_{n % images // 500}",
                    "img_fn": f"{split}_{n % images // 500}/{n % images}.jpg",
                    "metadata_fn": f"{split}_{n % images // 500}/{n % images}.json",
                    "img_id": f"{split}-{n % images}",
                    "annot_id": f"{split}-{n}",
                    "match_fold": f"{split}-{n % 10}",
                    "match_index": n % 10,
                    "objects": ["person", "person", "person", "chair", "cup"],
                    "question": tokens(random, 7),
                    "answer_choices": [tokens(random, 8) for _ in range(4)],
                    "rationale_choices": [tokens(random, 16) for _ in range(4)],
                    "answer_label": n % 4,
                    "rationale_label": n // 4 % 4,
                }
                for n in range(number)
            ),
        )


def coco_captions(folder: Path, scale: float) -> None:
    """COCO in Karpathy's splits: five captions an image."""
    random = Random(f"{scale}")
    parts = [part for part, images in (("train", 82_783), ("restval", 30_504), ("val", 5_000), ("test", 5_000))
             for _ in range(int(images * scale))]  # fmt: skip

    def image(number: int, part: str) -> dict[str, Any]:
        captions = [{"raw": sentence(random, 10), "sentid": 5 * number + k} for k in range(5)]
        name = f"COCO_{number:012d}.jpg"
        return {"filename": name, "split": part, "imgid": number, "cocoid": number, "sentences": captions}

    write(folder / "dataset_coco.json", (image(number, part) for number, part in enumerate(parts)), "images")


def sentence(random: Random, words: int) -> str:
    return " ".join(random.choices(WORDS, k=words))


def tokens(random: Random, words: int) -> list[Any]:
    return [[random.randrange(3)], *random.choices(WORDS, k=words - 1), "."]


def of_vqa(split: str) -> dict[str, Any]:
    return {"questions": f"{split}_questions.json", "annotations": f"{split}_annotations.json", "images": None}


def files(names: Mapping[str, str], key: str, **others: Any) -> dict[str, Any]:
    return {split: {key: name, "images": None, **others} for split, name in names.items()}


PLAIN = {name: {"split": name} for name in ("train", "dev", "test")}
SHAPES = {
    "vqa": Shape(
        {
            "task": "vqa",
            "reader": "vqa_v2",
            "files": {"train": of_vqa("train"), "val": of_vqa("val")},
            "image_name": "{image_id}.jpg",
            "vocabulary": {"minimum": 9, "splits": ["train"]},
            "roles": {"train": {"split": "train"}, "dev": {"split": "train", "share": 0.03}, "test": {"split": "val"}},
        },
        vqa,
    ),
    "snli_ve": Shape(
        {
            "task": "entailment",
            "reader": "snli_ve",
            "files": {
                **files({"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}, "pairs"),
                **files({"hypothesis_hard": "test.jsonl"}, "pairs", rule="hypothesis_hard"),
            },
            "image_name": "{image_id}.jpg",
            "roles": {**PLAIN, "hypothesis_hard": {"split": "hypothesis_hard"}},
        },
        snli_ve,
    ),
    "vcr": Shape(
        {
            "task": "vcr",
            "reader": "vcr",
            "files": {
                **files({"train": "train.jsonl", "val": "val.jsonl"}, "annotations", metadata="vcr1images"),
                **files({"singular": "val.jsonl"}, "annotations", metadata="vcr1images", rule="singular"),
            },
            "roles": {
                "train": {"split": "train"},
                "dev": {"split": "train", "share": 0.05},
                "test": {"split": "val"},
                "singular": {"split": "singular"},
            },
        },
        vcr,
    ),
    "coco_captions": Shape(
        {
            "task": "captioning",
            "reader": "karpathy",
            "files": {
                split: {"captions": "dataset_coco.json", "parts": parts, "images": None}
                for split, parts in (("train", ["train", "restval"]), ("dev", ["val"]), ("test", ["test"]))
            },
            "roles": PLAIN,
        },
        coco_captions,
    ),
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
    name, *scales = argv
    shape = SHAPES[name]
    roles = [role for role in shape.conf["roles"] if role != "train"]
    conf = {"name": "big", "source": "big", **shape.conf, "evaluation_sets": roles}
    for scale in map(float, scales or ["1"]):
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder)
            raw = project / "data" / "incoming" / "big"
            raw.mkdir(parents=True)
            start = time.perf_counter()
            shape.generate(raw, scale)
            size = sum(path.stat().st_size for path in raw.rglob("*.json*")) / 2**20
            print(f"{name} x {scale:g}: {size:.0f} MiB, generated in {time.perf_counter() - start:.0f} s", flush=True)
            source = {"name": "big", "kind": "local", "path": "data/incoming/big", "transfer": "hardlink"}
            measured(project, "download", [{"source": source}])
            found = {"prepare": measured(project, "prepare", [{"dataset": conf}])}
            cuts: list[dict[str, Any]] = [{"role": "eval", "dataset": conf}]
            cuts += [{"role": "train", "dataset": conf, "shots": SHOTS, "seeds": SEEDS}]
            found["splits"] = measured(project, "split", cuts)
            found["one shot, as a job of the graph"] = measured(project, "split", [{**cuts[1], "shots": ["1000"]}])
            for step, (seconds, cpu, peak) in found.items():
                limited = name == "vqa" and scale == 1 and step in LIMITS
                limit = " (limit {} s, {} GiB)".format(*LIMITS[step]) if limited else ""
                used = f"{seconds:.1f} s ({cpu:.1f} s of CPU), peak {peak:.2f} GiB"
                print(f"{name} x {scale:g}: {step} {used}{limit}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
