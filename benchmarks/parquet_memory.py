"""Whether memory grows with a Parquet file with images inside: the peak of unpacking one, and one four times as large.

    python benchmarks/parquet_memory.py [--rows 3000]

Writes files of noise as JPEG (about 110 kB a row), each a single row group, to a temporary folder; unpacks each in a
process of its own. Prints VmHWM, the highest resident memory of the process.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000, help="of the smaller file")
    parser.add_argument("--unpack", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.unpack:
        unpack(given.unpack)
        return
    for times in (1, 4):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "train.parquet"
            write(path, given.rows * times)
            told = subprocess.run(
                [sys.executable, __file__, "--unpack", str(path)], capture_output=True, text=True, check=True
            )
            size = path.stat().st_size / 1e6
            print(f"{times}x  {given.rows * times:>6} rows, {size:7.1f} MB in one row group   {told.stdout.strip()}")


def write(path: Path, rows: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", quality=90)
    images = [{"bytes": stream.getvalue() + row.to_bytes(4, "big"), "path": None} for row in range(rows)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind)}), path, row_group_size=rows)


def unpack(path: Path) -> None:
    from vlkd_steps.sources import parquet_images

    parquet_images.unpack(path, path.parent, "unpacked.parquet", 1 << 40)
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(f"VmHWM {int(peak.split()[1]) / 1000:.1f} MB")


if __name__ == "__main__":
    main()
