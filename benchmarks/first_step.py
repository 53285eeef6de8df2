"""What stands between a training split of official size and a run's first step: the phase `targets`, and the start of
the GPU job.

    python benchmarks/first_step.py vqa|vcr [--scale 1]

Generates annotations of the official size (`data_steps.py`), an image file that all images are links to, and random
features 512 wide; prepares, splits (all of the training data) and runs the real steps `targets` and `distill` of
clip_td with its shipped settings. `distill` trains one step of the scenes' student with ViLT-B/32's images, so its time
is that of imports, of reading, checking and encoding the data and the teacher's features, of that step, and of saving;
loading a large student's weights comes on top. Memory is the largest process's peak.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from data_steps import ROOT, SHAPES, measured
from PIL import Image

from vlkd_steps.config import targets as of_config
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.validation import validated
from vlkd_steps.core import artifacts, files, layout
from vlkd_steps.data.items import read_items
from vlkd_steps.data.words import content_words, split_words
from vlkd_steps.teachers.features.store import Writer

WIDTH, SHARD, SEED = 512, 8192, 10
LINKS = 30_000  # file systems allow some 65,000 to a file
IMAGES = {"vqa": ("images", "train"), "vcr": ("vcr1images", "train")}
TEACHER = {"name": "clip", "kind": "clip"}
VOCABULARY = "words.txt"  # of the student; a large one's tokenizer knows the words of its data too


def conf(kind: str, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / f"vlkd_steps/conf/{kind}/{name}.yaml").read_text())
    return loaded


def dataset(name: str) -> dict[str, Any]:
    """The shape's conf for its training data, with images."""
    shape, (folder, split) = dict(SHAPES[name].conf), IMAGES[name]
    return {
        **shape,
        "name": "big",
        "source": "big",
        "files": {split: {**shape["files"][split], "images": folder}},
        "roles": {"train": {"split": split}},
        "evaluation_sets": [],
    }


def link_images(raw: Path, name: str) -> None:
    """Every image that the annotations name, all of them links to one picture."""
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(content, "JPEG")
    if name == "vcr":
        wanted = [path.with_suffix(".jpg") for path in (raw / "vcr1images").rglob("*.json")]
    else:
        questions = json.loads((raw / "train_questions.json").read_text())["questions"]
        wanted = [raw / "images" / f"{image}.jpg" for image in sorted({each["image_id"] for each in questions})]
    for number, path in enumerate(wanted):
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % LINKS:
            os.link(wanted[number - number % LINKS], path)
        else:
            path.write_bytes(content.getvalue())


def write_features(generator: np.random.Generator) -> None:
    """Random rows for every image, text and content word of the split; the words of its texts in a file."""
    split = layout.train_split("big", "full", SEED)
    items = read_items(artifacts.instances("big"), split, artifacts.labels("big"))
    texts = sorted(set(items.passages.texts()))
    known = sorted({word for text in texts for word in split_words(text)})
    Path(VOCABULARY).write_text("\n".join(known) + "\n")
    names = {
        "image": items.image_ids,
        "text": texts,
        "word": sorted({word for text in items.texts for word in content_words(text)}),
    }
    writer, rows = Writer(layout.features("clip", "big"), {"weights": "random"}, "float16"), []
    for kind, of_kind in names.items():
        for start in range(0, len(of_kind), SHARD):
            size = min(SHARD, len(of_kind) - start)
            writer.add(kind, files.digest([kind, start]), generator.standard_normal((size, WIDTH), dtype=np.float32))
        rows.append(pl.DataFrame({"kind": [kind] * len(of_kind), "name": of_kind, "row": range(len(of_kind))}))
    writer.finish(pl.concat(rows), dim=WIDTH, teacher="clip")


def run(step: str, config: Mapping[str, Any]) -> str:
    """A step's process on all cores: seconds from its start to its end, CPU seconds, peak of its largest process."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"vlkd_steps.steps.{step}", "--config", json.dumps(config)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "VLKD_LOADER_WORKERS": str(os.cpu_count())},
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{step} ended with {status}")
    seconds, cpu = time.perf_counter() - begun, used.ru_utime + used.ru_stime
    return f"{step} {seconds:.1f} s ({cpu:.1f} s of CPU), peak {used.ru_maxrss / 2**20:.2f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(IMAGES))
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        raw = Path("data/incoming/big")
        raw.mkdir(parents=True)
        SHAPES[given.name].generate(raw, given.scale)
        link_images(raw, given.name)
        data, project = dataset(given.name), Path(folder)
        source = {"name": "big", "kind": "local", "path": str(raw), "transfer": "hardlink"}
        measured(project, "download", [{"source": source}])
        measured(project, "prepare", [{"dataset": data}])
        measured(project, "split", [{"role": "train", "dataset": data, "shots": ["full"], "seeds": [SEED]}])
        write_features(np.random.default_rng(0))
        method = conf("method", "clip_td")
        settings = validated(declaration("clip_td").settings, method, locate=lambda at: ("clip_td", at))
        job = {"dataset": {"name": "big", "task": data["task"], "evaluation_sets": []}, "shot": "full", "seeds": [SEED],
               "teacher": TEACHER}  # fmt: skip
        print(run("targets", {**job, "targets": of_config.wanted(settings)}), flush=True)
        training = {
            "steps": 1,
            "batch_size": 64,
            "learning_rate": 1e-4,
            "threads": 1,
            "precision": "fp32",
            "device": "cpu",
        }
        student = conf("student", "vilt_scenes")
        student["architecture"] |= {"image_size": 384, "patch_size": 32}
        student["vocabulary"] = VOCABULARY
        names = {"experiment": "big", "student": student, "variant": "clip_td"}
        shown = {**job, **names, "method": method | {"adaptive_steps": 0}, "training": training}
        print(run("distill", shown), flush=True)


if __name__ == "__main__":
    main()
