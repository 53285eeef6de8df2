"""Whether memory grows with a streamed corpus: peak memory of drawing VLKD's batches from shards once and ten times.

    python benchmarks/caption_memory.py [--pairs 4000]

Writes tar shards of scenes (1,000 pairs each) to a temporary folder, and draws 100 batches of 64 in a process of its
own for each corpus, with the shipped CLIP, as a training does, and then the place of every pair of an epoch. Prints
VmHWM, the highest resident memory of the process, and what Python allocated beside torch at most (tracemalloc).
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

SHARD = 1000
WINDOW = 2000
BATCHES, SIZE = 100, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4000, help="of the smaller corpus")
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.draw:
        draw(given.draw)
        return
    with tempfile.TemporaryDirectory() as folder:
        for times in (1, 10):
            corpus = Path(folder) / f"{times}x"
            size = write(corpus, given.pairs * times)
            told = subprocess.run(
                [sys.executable, __file__, "--draw", str(corpus)], capture_output=True, text=True, check=True
            )
            found = json.loads(told.stdout.splitlines()[-1])
            print(
                f"{times:>2}x  {found['pairs']:>6} pairs, {size / 1e6:6.1f} MB of shards   "
                f"VmHWM {found['peak_mb']:.1f} MB   Python's own at most {found['python_mb']:.1f} MB"
            )


def write(folder: Path, pairs: int) -> int:
    """Write shards and return their bytes."""
    from vlkd_steps.benchmarks.scenes import stream
    from vlkd_steps.benchmarks.scenes.write import png

    folder.mkdir()
    for shard in range(pairs // SHARD):
        images, texts = stream.batch(shard, SHARD)
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for place, (image, text) in enumerate(zip(png(images), texts, strict=True)):
                for suffix, data in (("png", image), ("txt", text.encode())):
                    member = tarfile.TarInfo(f"{shard:05d}{place:04d}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return sum(path.stat().st_size for path in folder.glob("*.tar"))


def draw(folder: Path) -> None:
    import torch
    import yaml

    from vlkd_steps.data.infilling import Infilling
    from vlkd_steps.datasets.caption_shards import Stream, TarShards
    from vlkd_steps.runs.caption_batches import Maker, StreamedCaptions
    from vlkd_steps.students import bart, initialization
    from vlkd_steps.teachers.models import clip

    conf = Path(__file__).resolve().parent.parent / "vlkd_steps" / "conf"
    teacher = clip.load(yaml.safe_load((conf / "teacher" / "clip_scenes.yaml").read_text(encoding="utf-8")))
    tokenizer = bart.word_tokenizer(initialization.vocabulary("scenes", "scenes"))
    tracemalloc.start()
    stream = Stream(TarShards(folder, folder / "index.json"), seed=1, window=WINDOW)
    maker = Maker(tokenizer, 40, Infilling(tokenizer.mask_token_id), 1, torch.device("cpu"))
    batches = StreamedCaptions(stream, teacher, maker, SIZE)
    for _ in batches.batches(range(BATCHES)):
        pass
    for draw in range(len(stream)):
        stream.place(draw)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    python = tracemalloc.get_traced_memory()[1]
    print(json.dumps({"pairs": len(stream), "peak_mb": peak / 1024, "python_mb": python / 1e6}))


if __name__ == "__main__":
    main()
