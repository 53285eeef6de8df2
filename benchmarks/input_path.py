"""Does a training that reads its images from disk wait for them? The step leaves the CPU idle, as a GPU's does.

    python benchmarks/input_path.py --step-ms 150 --workers 2

Draws photo-like JPEGs of 640 x 480, gives them to ViLT's input path at 384 pixels, and prints the time that a step
waits for its batch. Beside it, in the same run: a bare `DataLoader` over the same files with as many workers.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from vlkd_steps.data import loader
from vlkd_steps.data.batches import Encoded, order
from vlkd_steps.data.decoding import decode_one
from vlkd_steps.data.items import from_frame
from vlkd_steps.data.tokenizer import word_tokenizer

SIZE = 384
QUESTION = "what is the colour of the large object on the left of the image"


class Files(Dataset[torch.Tensor]):
    """The peer: one decoded image a file."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.tensor(decode_one(self.paths[row], SIZE)).permute(2, 0, 1)


def draw(folder: Path, count: int) -> list[Path]:
    """Smooth noise with edges: about as many bytes and as slow to decode as a photo of that size."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(pixels + generator.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"{number:05d}.jpg")
        Image.fromarray(noisy).save(paths[-1], quality=90)
    return paths


def waited(batches: Iterable[object], step_ms: float, warm: int) -> tuple[float, float]:
    """Milliseconds of a whole step, and of its waiting for the batch: means after the first `warm` steps."""
    waits, steps = [], []
    begun = time.perf_counter()
    for _ in batches:
        waits.append(time.perf_counter() - begun)
        time.sleep(step_ms / 1000)
        steps.append(time.perf_counter() - begun)
        begun = time.perf_counter()
    return 1000 * float(np.mean(steps[warm:])), 1000 * float(np.mean(waits[warm:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-ms", type=float, default=150)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--workers", type=int, default=loader.usable_cpus())
    arguments = parser.parse_args()
    os.environ[loader.VARIABLE] = str(arguments.workers)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        paths = draw(Path(name), arguments.images)
        begun = time.perf_counter()
        for path in paths[:64]:
            decode_one(path, SIZE)
        rate = 64 / (time.perf_counter() - begun)
        rows = [
            {"instance_id": str(n), "image_id": str(n), "image_path": str(path), "text": QUESTION, "label": n % 10}
            for n, path in enumerate(paths)
        ]
        frame = pl.DataFrame(rows).with_columns(
            choices=pl.lit([], pl.List(pl.String)),
            soft_labels=pl.lit([], pl.List(pl.Struct({"label": pl.Int64, "score": pl.Float64}))),
        )
        items = from_frame(frame, [str(n) for n in range(10)])
        data = Encoded(items, word_tokenizer(QUESTION.split()), 40, SIZE, in_memory=0)
        chosen = order(len(paths), arguments.batch, 0)
        device = torch.device("cpu")
        ours = data.batches(lambda number: data.batch(chosen(number)), range(arguments.steps), device)
        ours_step, ours_wait = waited(ours, arguments.step_ms, loader.DEPTH * arguments.workers)
        sampler = [int(row) for number in range(arguments.steps) for row in chosen(number)]
        bare = DataLoader(
            Files(paths), arguments.batch, sampler=sampler, num_workers=arguments.workers, prefetch_factor=loader.DEPTH
        )
        bare_step, bare_wait = waited(bare, arguments.step_ms, loader.DEPTH * arguments.workers)
    print(
        f"one core decodes {rate:.0f} images/s at {SIZE} pixels; {arguments.workers} workers, batch {arguments.batch}"
    )
    print(f"a step of {arguments.step_ms:.0f} ms needs {1000 * arguments.batch / arguments.step_ms:.0f} images/s")
    for name, step, wait in (("ours", ours_step, ours_wait), ("bare DataLoader", bare_step, bare_wait)):
        print(f"{name:16} {step:7.1f} ms a step, of which waiting {wait:6.1f} ms = {100 * wait / step:5.1f} %")


if __name__ == "__main__":
    main()
