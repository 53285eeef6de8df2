"""Which worker makes which chunk of a feature store: any number of processes on any number of nodes share the work.

Two kinds of small files are in the store's folder while it is made, and are removed afterwards:

- ``.claims``, empty: who holds a POSIX lock on its byte ``2 + n`` works on chunk n. Byte 0 is held while the store is
  being finished, byte 1 (shared) by everyone at work. Such locks work across nodes, over NFS as well, and the system
  drops them when their holder dies, however it dies. Closing *any* descriptor of a file drops a process's locks on
  it, hence one file, opened once.
- ``.round-<hash>``: which chunks were made or checked in this **round** of extraction. Workers of one round (the tasks
  of a Slurm array) skip what another has marked, without reading an image; another round checks again, as images may
  have changed since. It is read and written under locks only, because a lock makes an NFS client drop what it has
  cached: no modification time and no directory listing is trusted.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from vlkd_steps.core import files, locks

FINISHING, AT_WORK, CHUNKS = 0, 1, 2
RECORD = 17
"""Bytes of one record in a round's file: 16 hex digits and a line end. Record 0 marks the round as finished."""


def round_name(environment: Mapping[str, str] = os.environ) -> str:
    """The round of a process that was given none: that of its Slurm array, or one of its own."""
    array = environment.get("SLURM_ARRAY_JOB_ID")
    return f"array {array}" if array else uuid.uuid4().hex


class Claims:
    """This process's locks on the chunks of the store in `folder`, from `open` to `close`."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Join the workers of the store.

        Raises:
            UserError: the file system has no locks.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ".claims"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                locks.take(descriptor, path, AT_WORK, 1, shared=True)
                if _names(path, descriptor):
                    return cls(folder, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # the last worker removed it between our two calls

    @contextlib.contextmanager
    def chunk(self, number: int) -> Iterator[bool]:
        """Hold chunk `number` during the block; yields False where another process holds it."""
        ours = self._take(CHUNKS + number, wait=False)
        try:
            yield ours
        finally:
            if ours:
                self._release(CHUNKS + number)

    @contextlib.contextmanager
    def finishing(self) -> Iterator[None]:
        """Wait until nobody else finishes the store, and keep others from it during the block."""
        self._take(FINISHING)
        try:
            yield
        finally:
            self._release(FINISHING)

    @contextlib.contextmanager
    def leaving(self) -> Iterator[bool]:
        """Leave the workers; yields True to the last one, which may then remove what nobody needs.

        One at a time (under the finish lock): else two that leave at once would each see the other as still at work.
        """
        with self.finishing():
            last = self._take(AT_WORK, wait=False)
            try:
                yield last
            finally:
                self._release(AT_WORK)

    def remove(self) -> None:
        """Remove the lock file; only for the last worker, while it is `leaving`."""
        (self.folder / ".claims").unlink(missing_ok=True)

    def close(self) -> None:
        """Drop all locks."""
        os.close(self._descriptor)

    def _take(self, byte: int, *, wait: bool = True) -> bool:
        return locks.take(self._descriptor, self.folder / ".claims", byte, 1, wait=wait)

    def _release(self, byte: int) -> None:
        locks.release(self._descriptor, byte, 1)


class Marks:
    """Which chunks this round has made or checked.

    Args:
        folder: the store's.
        plan: a hash of all that the round is about: content key and names of every chunk.
        chunks: how many there are.
    """

    def __init__(self, folder: Path, round_name: str, plan: str, chunks: int) -> None:
        self.path = folder / f".round-{files.digest([round_name, plan])[:16]}"
        self.chunks = chunks
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)

    def inputs(self) -> list[str | None]:
        """For each chunk the hash of the inputs it was made from (16 hex digits), or None where it is not done."""
        return self._read()[1:]

    def done(self, chunk: int) -> bool:
        return self.inputs()[chunk] is not None

    def mark(self, chunk: int, inputs: str) -> None:
        """Note that the shards of `chunk` are whole and made from `inputs` (a hash)."""
        self._write(1 + chunk, inputs[:16].encode())

    def clear(self, chunk: int) -> None:
        """Mark `chunk` as not done."""
        self._write(1 + chunk, bytes(16))

    def finished(self) -> bool:
        """Whether index and manifest were written in this round."""
        return self._read()[0] is not None

    def finish(self) -> None:
        self._write(0, b"f" * 16)

    def close(self) -> None:
        os.close(self._descriptor)

    def _read(self) -> list[str | None]:
        size = RECORD * (1 + self.chunks)
        locks.take(self._descriptor, self.path, 0, size, shared=True)
        try:
            content = os.pread(self._descriptor, size, 0).ljust(size, b"\0")
        finally:
            locks.release(self._descriptor, 0, size)
        return _records(content)

    def _write(self, record: int, content: bytes) -> None:
        start = RECORD * record
        locks.take(self._descriptor, self.path, start, RECORD)
        try:
            os.pwrite(self._descriptor, content + b"\n", start)
            os.fsync(self._descriptor)
        finally:
            locks.release(self._descriptor, start, RECORD)


def rounds(folder: Path) -> list[Path]:
    """The files of all rounds, finished or not."""
    return sorted(folder.glob(".round-*"))


def any_finished(paths: Sequence[Path]) -> bool:
    """Whether one of these rounds has written the manifest; called by the last worker, so nobody writes."""
    return any(_records(path.read_bytes()[:RECORD].ljust(RECORD, b"\0"))[0] is not None for path in paths)


def _records(content: bytes) -> list[str | None]:
    """What was never written, or only in part, counts as not done."""
    texts = [content[start : start + RECORD - 1] for start in range(0, len(content), RECORD)]
    return [text.decode() if text.strip(b"0123456789abcdef") == b"" else None for text in texts]


def _names(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the open file."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return ours.st_nlink > 0 and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
