"""Speed of the scenes generator: official files with PNG images, and the teacher's stream, on one core.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/scenes_speed.py [IMAGES]

Writes under the current folder, where data/ would lie. Prints images per CPU-second and per second of wall
time. Each image is two small files (picture, VCR metadata): where the disk is slow at creating files,
a memory file system as current folder shows what the generator itself takes.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from vlkd_steps.benchmarks.scenes import stream, write


def timed(name: str, images: int, work: Callable[[], object]) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name}: {images} images, {images / cpu:,.0f} a CPU-second, {images / wall:,.0f} a second")


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    sizes = dict.fromkeys(write.SPLITS, 1) | {"train": images}
    with tempfile.TemporaryDirectory(prefix=".scenes_speed_", dir=".") as folder:
        write.write(Path(folder), dict.fromkeys(write.SPLITS, 1), 0)  # draws the sprites
        timed("official files", images + len(write.SPLITS) - 1, lambda: write.write(Path(folder), sizes, 1))
    batches = stream.batches(1, 128)
    timed("teacher's stream", 128 * 60, lambda: list(islice(batches, 60)))


if __name__ == "__main__":
    main()
