"""A teacher without a model, for tests of the store: features are hashes of what they describe. It counts its calls."""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlkd_steps.data.words import split_words

DIM, WIDTH = 6, 4
SETTINGS = {"shard_size": 4, "batch_size": 2}


def row(content: bytes, width: int) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(content).digest()[:width], np.uint8).astype(np.float32) / 7


class CountingTeacher:
    """Kills its process by SIGKILL at the call number `die_at` of a method that embeds; each call takes `seconds`."""

    dim = DIM

    def __init__(self, weights: str = "w1", die_at: int = 0, seconds: float = 0) -> None:
        self.identity: dict[str, Any] = {"weights": weights}
        self.embedded: list[Any] = []
        self.die_at, self.seconds, self.calls = die_at, seconds, 0

    def load_image(self, path: Path) -> tuple[str, bytes]:
        content = path.read_bytes()
        if content.startswith(b"broken"):
            raise OSError("not a picture")
        return path.name, content

    def embed_images(self, images: Sequence[tuple[str, bytes]]) -> np.ndarray:
        self._count([name for name, _ in images])
        return np.stack([row(content, DIM) for _, content in images])

    def embed_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, list[tuple[list[str], np.ndarray]]]:
        self._count(list(texts))
        kept = [split_words(text)[:3] for text in texts]  # a context length of three words
        states = [np.array([row(w.encode(), WIDTH) for w in ws], np.float32).reshape(-1, WIDTH) for ws in kept]
        return np.stack([row(text.encode(), DIM) for text in texts]), list(zip(kept, states, strict=True))

    def _count(self, names: list[str]) -> None:
        self.calls += 1
        if self.calls == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seconds:
            Path("embedding").touch()
            time.sleep(self.seconds)
        self.embedded += names


def instances(folder: Path) -> pl.DataFrame:
    """Twelve questions about nine images, written to `folder`; two images and two texts occur twice."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(12):
        picture = folder / f"p{number % 9}.png"
        picture.write_bytes(f"picture {number % 9}".encode())
        rows.append((f"i{number % 9}", str(picture), f"What is thing number {number % 10}?"))
    return pl.DataFrame(rows, schema=["image_id", "image_path", "text"], orient="row")


if (
    __name__ == "__main__"
):  # python counting_teacher.py '{"pictures": ..., "store": ..., "die_at": ..., "seconds": ...}'
    from vlkd_steps.core.interruption import Interrupted, stop_request
    from vlkd_steps.teachers.features.extraction import extract

    job = json.loads(sys.argv[1])
    teacher = CountingTeacher(die_at=job.get("die_at", 0), seconds=job.get("seconds", 0))
    with stop_request() as stop:
        try:
            extract(teacher, instances(Path(job["pictures"])), Path(job["store"]), SETTINGS, "test", stop=stop)
        except Interrupted as interrupted:
            sys.exit(interrupted.exit_status)
