"""Random reads from a feature store beside a plain memory map: 256 of 100,000 rows at a time, 512 wide.

    PYTHONPATH=. python benchmarks/store_reads.py [--rows-in-shard 1024]

Prints rows per second, the median of several rounds, from the page cache: of one npy file by numpy's memory map, of
the store's tables by row (what training reads patches and states by), and of `FeatureStore.images` by name, as float32.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from vlkd_steps.teachers.features.store import FeatureStore, Writer

ROWS, WIDTH, BATCH, BATCHES, ROUNDS = 100_000, 512, 256, 400, 5


def write(folder: Path, rows: np.ndarray, in_shard: int) -> FeatureStore:
    writer = Writer(folder, {"teacher": "benchmark"}, str(rows.dtype))
    for start in range(0, ROWS, in_shard):
        writer.add("image", f"{start:016x}", rows[start : start + in_shard])
    names = [f"image-{row}" for row in range(ROWS)]
    index = pl.DataFrame({"kind": ["image"] * ROWS, "name": names, "row": range(ROWS)})
    writer.finish(index, dim=WIDTH)
    return FeatureStore.open(folder)


def rate(read: Callable[[int], np.ndarray]) -> float:
    """Rows per second."""
    seconds = []
    for _ in range(ROUNDS + 1):  # the first opens and verifies
        begun = time.perf_counter()
        for number in range(BATCHES):
            assert read(number).shape == (BATCH, WIDTH)
        seconds.append(time.perf_counter() - begun)
    return BATCH * BATCHES / statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows-in-shard", type=int, default=1024)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    wanted = generator.integers(0, ROWS, (BATCHES, BATCH))
    names = [[f"image-{row}" for row in batch] for batch in wanted]
    for dtype in (np.float32, np.float16):
        rows = generator.standard_normal((ROWS, WIDTH), dtype=np.float32).astype(dtype)
        with tempfile.TemporaryDirectory() as root:
            store = write(Path(root) / "store", rows, arguments.rows_in_shard)
            np.save(Path(root) / "plain.npy", rows)
            plain = np.load(Path(root) / "plain.npy", mmap_mode="r")
            assert np.array_equal(store.images(names[0]), plain[wanted[0]].astype(np.float32))
            table = store._tables["image"]
            rates = {
                "memory map": rate(lambda number, plain=plain: plain[wanted[number]]),
                "table": rate(lambda number, table=table: table[wanted[number]]),
                "FeatureStore": rate(lambda number, store=store: store.images(names[number])),
            }
        shown = ", ".join(f"{name} {value:,.0f}" for name, value in rates.items())
        print(f"{dtype.__name__}, {len(store.shards)} shards, rows/s: {shown}", flush=True)


if __name__ == "__main__":
    main()
