"""Image-caption corpora too large for memory: webdataset tar shards, or a tsv of captions with a folder of images.

A corpus is a list of **shards** whose numbers of pairs are known. The order in which a run sees them is a function of
(seed, draw) alone: each epoch has its own order of shards, and pairs are shuffled within windows of W consecutive
ones. So any draw can be computed without the earlier ones, a resumed run continues at the exact pair, and processes
that take different rows of a batch never read each other's pairs. Memory holds the shards' counts and the locations
of one window's pairs, nothing that grows with the corpus; images are read when their pair is drawn.

A tar shard is as webdataset and img2dataset write it: members of one stem are adjacent, an image (.jpg, .png, .webp)
and a caption (.txt, or the field ``caption`` of .json). A tsv has lines ``caption<TAB>name of the image``, or, as
CC3M's own, ``caption<TAB>url`` with images named by the line's number.
"""

import functools
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from vlkd_steps.core import files, inside, layout, patterns, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
BLOCK = 10_000  # lines of a tsv that count as a shard
INDEX_VERSION = 1


@dataclass(frozen=True)
class PairLocation:
    """Where a pair's bytes are stored.

    Attributes:
        key: its name within the corpus.
        file: the file of its image, and of its caption where that has a length.
        image: offset and length of the image in `file`; a length of 0: the whole file.
        caption: offset and length of the caption in `file`, or the caption itself.
    """

    key: str
    file: Path
    image: tuple[int, int]
    caption: tuple[int, int] | str
    is_json: bool = False


@dataclass(frozen=True)
class Pair:
    """An image as its file's bytes, and its caption."""

    key: str
    image: bytes
    caption: str


class Shards(Protocol):
    """A corpus by its shards."""

    @property
    def counts(self) -> Sequence[int]:
        """Pairs in each shard."""

    def locations(self, shard: int) -> list[PairLocation]:
        """The pairs of a shard, in its own order."""


class TarShards:
    """The tar shards of a folder, by name.

    Args:
        folder: with ``*.tar``.
        index: the file that caches the shards' counts; a shard of another size is counted again.

    Raises:
        UserError: there is no shard, or one that is no tar file.
    """

    def __init__(self, folder: Path, index: Path) -> None:
        self.paths = sorted(folder.glob("*.tar"))
        if not self.paths:
            raise UserError(f"{folder} holds no *.tar shard; put the corpus there, or correct `shards` of the data set")
        self.counts: Sequence[int] = _counted(index, self.paths, lambda path: [sum(1 for _ in _pairs_in_tar(path))])

    def locations(self, shard: int) -> list[PairLocation]:
        return list(_pairs_in_tar(self.paths[shard]))


class TsvShards:
    """The lines of a tsv whose images exist, `BLOCK` lines a shard.

    Args:
        path: ``caption<TAB>image``.
        images: the folder of images.
        image_name: an image's file name; ``{name}`` is the line's second field, ``{number}`` the line's number
            from 0, e.g. ``{number:09d}.jpg``.
        index: see `TarShards`.

    Raises:
        UserError: a line without a tab; no line whose image exists.
    """

    def __init__(self, path: Path, images: Path, image_name: str, index: Path) -> None:
        self.path, self.images, self.image_name = path, images, image_name
        if not path.is_file():
            raise UserError(f"{path} is missing; put the corpus there, or correct `tsv` of the data set")
        # Three numbers a block: its offset and first line, and the pairs in it.
        flat = _counted(index, [path], lambda _: self._scan(), files.digest([str(images), image_name]))
        self.starts, self.lines = flat[0::3], flat[1::3]
        self.counts: Sequence[int] = flat[2::3]
        if not sum(self.counts):
            raise UserError(f"{path}: none of its images is in {images} under the name {image_name!r}; correct one")

    def locations(self, shard: int) -> list[PairLocation]:
        return self._block(self.starts[shard], self.lines[shard])[0]

    def _scan(self) -> list[int]:
        found, start, line = [], 0, 0
        size = self.path.stat().st_size
        while start < size:
            locations, end, lines = self._block(start, line)
            found += [start, line, len(locations)]
            start, line = end, line + lines
        return found

    def _block(self, start: int, first: int) -> tuple[list[PairLocation], int, int]:
        """The pairs of a block whose images exist, where the next block starts, and how many lines it has."""
        found: list[PairLocation] = []
        number = first
        with self.path.open("rb") as stream:
            stream.seek(start)
            while number < first + BLOCK and (line := stream.readline()):
                caption, tab, name = line.decode("utf-8").rstrip("\r\n").partition("\t")
                if not tab:
                    problem = f"{caption[:60]!r} has no tab; write caption<TAB>image"
                    raise UserError(f"{self.path}, line {number + 1}: {problem}")
                file = self._image(name, number)
                if file.is_file():
                    found.append(PairLocation(str(number), file, (0, 0), " ".join(caption.split())))
                number += 1
            return found, stream.tell(), number - first

    def _image(self, name: str, number: int) -> Path:
        where = f"{self.path}, line {number + 1}: the image"
        try:
            filled = patterns.fill(self.image_name, {"name": name, "number": number})
        except ValueError as error:
            raise UserError(
                f"image_name {self.image_name!r} is no pattern for line {number + 1} of {self.path} ({error}); its "
                "fields are {name} and {number}"
            ) from error
        return inside.path(self.images, filled, where, links=True)


def _counted(index: Path, paths: Sequence[Path], count: Callable[[Path], list[int]], key: str = "") -> list[int]:
    """The numbers that `count` finds for each file, kept in `index` under the files' names and sizes."""
    sizes = {path.name: path.stat().st_size for path in paths}
    known: dict[str, list[int]] = {}
    kept = files.known_json(index)
    if (kept.get("version"), kept.get("key")) == (INDEX_VERSION, key):
        known = {name: numbers for name, (size, numbers) in kept["files"].items() if sizes.get(name) == size}
    if set(known) != set(sizes):
        step.log.info(f"[corpus] counting the pairs of {len(sizes) - len(known)} files below {paths[0].parent}")
        known |= {path.name: count(path) for path in paths if path.name not in known}
        kept = {"version": INDEX_VERSION, "key": key, "files": {n: [sizes[n], known[n]] for n in sorted(known)}}
        files.write_json(index, kept)
    return [number for path in paths for number in known[path.name]]


def _pairs_in_tar(path: Path) -> Iterator[PairLocation]:
    """The whole pairs of a shard; reads headers alone."""
    try:
        with tarfile.open(path, "r:") as tar:
            stem = ""
            members: dict[str, tuple[int, int]] = {}
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header read
                if not member.isfile():
                    continue
                folder, slash, name = member.name.rpartition("/")
                first, _, extension = name.partition(".")  # as webdataset: the key ends at the name's first dot
                if folder + slash + first != stem:
                    yield from _whole(path, stem, members)
                    stem, members = folder + slash + first, {}
                members[f".{extension.lower()}"] = (member.offset_data, member.size)
            yield from _whole(path, stem, members)
    except tarfile.TarError as error:
        raise UserError(f"{path} is no whole tar file ({error}); fetch it again, or remove it") from error


def _whole(path: Path, stem: str, members: dict[str, tuple[int, int]]) -> Iterator[PairLocation]:
    image = next((members[suffix] for suffix in IMAGES if suffix in members), None)
    caption = members.get(".txt") or members.get(".json")
    if image and caption:
        yield PairLocation(stem, path, image, caption, is_json=".txt" not in members)


class Stream:
    """The pairs of a corpus in the order in which a run draws them.

    Args:
        shards: the corpus.
        seed: of the run.
        window: how many consecutive pairs are shuffled among themselves.
    """

    def __init__(self, shards: Shards, seed: int, window: int) -> None:
        self.shards, self.seed, self.window = shards, seed, window
        self.total = sum(shards.counts)
        self._locations = functools.lru_cache(maxsize=2)(shards.locations)
        self._order = functools.lru_cache(maxsize=2)(self._shuffled_shards)
        self._windows = functools.lru_cache(maxsize=2)(self._shuffled_window)

    def __len__(self) -> int:
        """Pairs in an epoch."""
        return self.total

    def location(self, draw: int) -> PairLocation:
        """The location of a draw's pair; draws are counted from 0 over all epochs."""
        epoch, at = divmod(draw, self.total)
        number, at = divmod(at, self.window)
        return self._windows(epoch, number)[at]

    def _shuffled_shards(self, epoch: int) -> list[int]:
        order = list(range(len(self.shards.counts)))
        Random(derive(self.seed, "shards", epoch)).shuffle(order)
        return order

    def _shuffled_window(self, epoch: int, number: int) -> list[PairLocation]:
        begin, end = number * self.window, min((number + 1) * self.window, self.total)
        found: list[PairLocation] = []
        passed = 0
        for shard in self._order(epoch):
            count = self.shards.counts[shard]
            if passed + count > begin and passed < end:
                found += self._locations(shard)[max(0, begin - passed) : end - passed]
            passed += count
            if passed >= end:
                break
        Random(derive(self.seed, "window", epoch, number)).shuffle(found)
        return found


def read_pair(location: PairLocation) -> Pair:
    """Read a pair's bytes.

    Raises:
        UserError: its file is gone, or its caption does not match the format.
    """
    try:
        with location.file.open("rb") as stream:
            image = _bytes(stream, *location.image) if location.image[1] else stream.read()
            raw = (
                location.caption
                if isinstance(location.caption, str)
                else _bytes(stream, *location.caption).decode("utf-8")
            )
        text = json.loads(raw)["caption"] if location.is_json else raw
    except OSError as error:
        raise UserError(f"{location.file}, pair {location.key}: {error.strerror}; fetch the file again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{location.file}, pair {location.key}: its caption cannot be read ({error!r}); fetch it again"
        ) from error
    return Pair(location.key, image, " ".join(str(text).split()))


def _bytes(stream: io.BufferedReader, offset: int, length: int) -> bytes:
    stream.seek(offset)
    return stream.read(length)


def open_shards(dataset: dict[str, object], folder: Path) -> Shards:
    """The corpus of a data set's conf: ``shards`` (a folder of tar files) or ``tsv``, ``images`` and ``image_name``.

    Raises:
        UserError: neither of them.
    """
    index = layout.instances(str(dataset["name"])).with_suffix(".shards.json")
    where = f"data set {dataset['name']}:"
    if dataset.get("shards"):
        return TarShards(inside.folder(folder, dataset["shards"], f"{where} shards"), index)
    if dataset.get("tsv"):
        return TsvShards(
            inside.path(folder, dataset["tsv"], f"{where} tsv", links=True),
            inside.folder(folder, dataset.get("images", "."), f"{where} images"),
            str(dataset.get("image_name", "{name}")),
            index,
        )
    raise UserError(f"data set {dataset['name']}: write `shards` (a folder of tar files) or `tsv`; it has neither")
