"""Image-caption corpora too large for memory: webdataset tar shards, or a tsv of captions with a folder of images.

A corpus is a list of **shards** whose numbers of pairs are known. The order in which a run sees them is a function of
(seed, draw) alone: each epoch has its own order of shards, and pairs are shuffled within windows of W consecutive
ones. So any draw can be computed without the earlier ones, a resumed run continues at the exact pair, and processes
that take different rows of a batch never read each other's pairs. Memory holds the shards' counts and the locations
and captions of one window's pairs, nothing that grows with the corpus; images are read when their pair is drawn.

A tar shard is as webdataset and img2dataset write it: members of one stem are adjacent, an image (.jpg, .png, .webp)
and a caption (.txt, or the field ``caption`` of .json). A tsv has lines ``caption<TAB>name of the image``, or, as
CC3M's own, ``caption<TAB>url`` with images named by the line's number.

A pair without an image or a caption is left out and counted; `open_shards` refuses a corpus with too many of them.
"""

import functools
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from vlkd_steps.core import files, inside, layout, patterns, raw_files, records, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.datasets.tally import Tally, Unusable, sentence

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
BLOCK = 10_000  # lines of a tsv that count as a shard
INDEX_VERSION = 3
MAX_SKIPPED = 0.01
"""The share of pairs that may be unusable, where ``max_skipped`` of the data set's conf says nothing."""


@dataclass(frozen=True)
class PairLocation:
    """Where a pair's image is stored, and its caption.

    Attributes:
        key: its name within the corpus.
        file: the file of its image.
        image: offset and length of the image in `file`; a length of 0: the whole file.
    """

    key: str
    file: Path
    image: tuple[int, int]
    caption: str


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

    @property
    def skipped(self) -> Mapping[str, int]:
        """Pairs that are unusable, by reason."""

    def locations(self, shard: int) -> list[PairLocation]:
        """The pairs of a shard, in its own order."""


class TarShards:
    """The tar shards of a folder, by name.

    Args:
        folder: with ``*.tar``.
        index: the file that caches the shards' counts; a shard of another size or checksum is counted again.

    Raises:
        UserError: there is no shard, no pair, or a shard that is no whole tar file.
    """

    def __init__(self, folder: Path, index: Path) -> None:
        self.paths = sorted(folder.glob("*.tar"))
        if not self.paths:
            raise UserError(f"{folder} holds no *.tar shard; put the corpus there, or correct `shards` of the data set")
        blocks, self.skipped = _counted(index, self.paths, lambda path: _count(_pairs_in_tar(path)))
        self.counts: Sequence[int] = [pairs for (pairs,) in blocks]
        if not sum(self.counts):
            why = ", ".join(f"{number} {reason}" for reason, number in self.skipped.items()) or "its shards are empty"
            raise UserError(f"{folder} holds no pair of an image and a caption ({why}); put the corpus there")

    def locations(self, shard: int) -> list[PairLocation]:
        raw_files.check_file(self.paths[shard])
        return [pair for pair in _pairs_in_tar(self.paths[shard]) if isinstance(pair, PairLocation)]


class TsvShards:
    """The lines of a tsv whose images exist, `BLOCK` lines a shard.

    Args:
        path: ``caption<TAB>image``.
        images: the folder of images.
        image_name: an image's file name; ``{name}`` is the line's second field, ``{number}`` the line's number
            from 0, e.g. ``{number:09d}.jpg``.
        index: see `TarShards`.

    Raises:
        UserError: a line that is not UTF-8 or has no tab; no line whose image exists.
    """

    def __init__(self, path: Path, images: Path, image_name: str, index: Path) -> None:
        self.path, self.images, self.image_name = path, images, image_name
        if not path.is_file():
            raise UserError(f"{path} is missing; put the corpus there, or correct `tsv` of the data set")
        key = files.digest([str(images), image_name, raw_files.downloaded(images)])  # which of its images are there
        self.blocks, self.skipped = _counted(index, [path], lambda _: self._scan(), key)
        self.counts: Sequence[int] = [pairs for _, _, pairs in self.blocks]
        if not sum(self.counts):
            raise UserError(f"{path}: none of its images is in {images} under the name {image_name!r}; correct one")

    def locations(self, shard: int) -> list[PairLocation]:
        raw_files.check_file(self.path)
        start, first, _ = self.blocks[shard]
        return [pair for pair in self._block(start, first)[0] if isinstance(pair, PairLocation)]

    def _scan(self) -> "Counts":
        """The offset, first line and pairs of every block."""
        found, skipped, start, line = [], Counter[str](), 0, 0
        size = self.path.stat().st_size
        while start < size:
            pairs, end, lines = self._block(start, line)
            ((usable,),), lost = _count(pairs)
            found.append([start, line, usable])
            skipped += Counter(lost)
            start, line = end, line + lines
        return found, dict(skipped)

    def _block(self, start: int, first: int) -> tuple[list[PairLocation | Unusable], int, int]:
        """The pairs of a block, where the next block starts, and how many lines it has."""
        found: list[PairLocation | Unusable] = []
        number = first
        with self.path.open("rb") as stream:
            stream.seek(start)
            while number < first + BLOCK and (line := stream.readline()):
                try:
                    if line.strip():
                        found.append(self._pair(line, number))
                except Unusable as error:
                    found.append(error)
                number += 1
            return found, stream.tell(), number - first

    def _pair(self, line: bytes, number: int) -> PairLocation:
        where = f"line {number + 1}"
        text = records.decoded(line, self.path, where, first=number == 0).rstrip("\r\n")
        records.check_line_end(text, self.path, where)
        caption, tab, name = text.partition("\t")
        if not tab:
            raise UserError(f"{self.path}, {where}: {caption[:60]!r} has no tab; write caption<TAB>image")
        file = self._image(name, number)
        size = _size(file)
        if size is None:
            raw_files.check_missing(file)
            raise Unusable("image is missing", self.path, where, f"there is no image {name[:60]!r}")
        if size == 0:
            raw_files.check(file, b"")
            raise Unusable("image is empty", self.path, where, f"the image {name[:60]!r} is empty")
        return PairLocation(str(number), file, (0, 0), sentence({"caption": caption}, "caption", self.path, where))

    def _image(self, name: str, number: int) -> Path:
        where = f"{self.path}, line {number + 1}: the image, by image_name {self.image_name!r},"
        try:
            filled = patterns.fill(self.image_name, {"name": name, "number": number})
        except ValueError as error:
            raise UserError(
                f"image_name {self.image_name!r} is no pattern for line {number + 1} of {self.path} ({error}); its "
                "fields are {name} and {number}"
            ) from error
        return inside.path(self.images, filled, where, links=True)


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size if file.is_file() else None
    except OSError:  # in a folder that may not be read
        return None


Counts = tuple[list[list[int]], dict[str, int]]
"""Numbers of each block of a file, the last its pairs; and how many pairs are unusable, by reason."""


def _count(pairs: Iterator[PairLocation | Unusable] | list[PairLocation | Unusable]) -> Counts:
    usable, skipped = 0, Counter[str]()
    for pair in pairs:
        if isinstance(pair, Unusable):
            skipped[pair.reason] += 1
        else:
            usable += 1
    return [[usable]], dict(skipped)


def _counted(index: Path, paths: Sequence[Path], count: Callable[[Path], Counts], key: str = "") -> Counts:
    """What `count` finds in all files together, kept for each in `index` under its name, size and checksum."""
    states = {path.name: [path.stat().st_size, raw_files.recorded(path)] for path in paths}
    known: dict[str, Counts] = {}
    kept = files.known_json(index)
    if (kept.get("version"), kept.get("key")) == (INDEX_VERSION, key):
        known = {name: found for name, (state, *found) in kept["files"].items() if states.get(name) == state}
    if set(known) != set(states):
        step.log.info(f"[corpus] counting the pairs of {len(states) - len(known)} files below {paths[0].parent}")
        known |= {path.name: count(path) for path in paths if path.name not in known}
        kept = {"version": INDEX_VERSION, "key": key, "files": {n: [states[n], *known[n]] for n in sorted(known)}}
        files.write_json(index, kept)
    skipped = Counter[str]()
    for path in paths:
        skipped += Counter(known[path.name][1])
    return [block for path in paths for block in known[path.name][0]], dict(skipped)


def _pairs_in_tar(path: Path) -> Iterator[PairLocation | Unusable]:
    """The pairs of a shard, unusable ones as their errors; reads headers and captions alone.

    Raises:
        UserError: the file is no whole tar file, or members of one pair are not adjacent.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            seen: set[str] = set()
            stem = ""
            members: dict[str, tarfile.TarInfo] = {}
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header read
                if tar.offset <= member.offset:  # a negative size: the same headers would be read for ever
                    raise tarfile.ReadError(f"it has a damaged header at byte {member.offset}")
                folder, slash, name = member.name.rpartition("/")
                if not member.isfile() or name.startswith("."):  # ._0.jpg beside 0.jpg is macOS's, and no pair
                    continue
                if member.issparse():
                    problem = f"holds {member.name!r} as a sparse file, whose bytes are not all in the shard"
                    raise records.complaint(path, "", problem, "write the shard again, without sparse files")
                first, _, extension = name.partition(".")  # as webdataset: the key ends at the name's first dot
                if folder + slash + first != stem:
                    if members:
                        yield _pair(path, tar, stem, members)
                    stem, members = folder + slash + first, {}
                    if stem in seen:
                        problem = f"the members of {stem!r} are not adjacent, so its pair would be torn apart"
                        raise records.complaint(path, "", problem, "sort the shard's members by name")
                    seen.add(stem)
                if members.setdefault(f".{extension.lower()}", member) is not member:
                    raise records.complaint(path, "", f"holds {member.name!r} twice", "write the shard again")
            if members:
                yield _pair(path, tar, stem, members)
            _check_end(path, tar.offset)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise UserError(f"{path} is no whole tar file ({error}); fetch it again, or remove it") from error


def _check_end(path: Path, offset: int) -> None:
    """A whole tar ends with blocks of zeros, where `tarfile` stops; it also stops where a header is damaged or cut.

    Raises:
        tarfile.ReadError: it does not.
    """
    with path.open("rb") as stream:
        stream.seek(offset)
        rest = stream.read(1 << 20)
        while rest.count(0) == len(rest) > 0:
            if not (more := stream.read(1 << 20)):
                return
            rest = more
    after = "is cut off" if not rest else "has a damaged header, or is several tar files in one"
    raise tarfile.ReadError(f"it {after} at byte {offset}: only its pairs before that could be read")


def _pair(
    path: Path, tar: tarfile.TarFile, stem: str, members: Mapping[str, tarfile.TarInfo]
) -> PairLocation | Unusable:
    def unusable(reason: str, problem: str) -> Unusable:
        return Unusable(reason, path, f"pair {stem}", problem)

    image = next((members[suffix] for suffix in IMAGES if suffix in members), None)
    caption = members.get(".txt") or members.get(".json")
    if image is None:
        return unusable("image is missing", "has no image")
    if not image.size:
        return unusable("image is empty", "its image is empty")
    if caption is None:
        return unusable("text is missing", "has no caption")
    stream = tar.extractfile(caption)
    content = stream.read() if stream else b""
    try:
        where = f"pair {stem}"
        text = records.decoded(content, path, where)
        record = {"caption": text} if caption.name.lower().endswith(".txt") else records.parsed(text, path, where)
        return PairLocation(stem, path, (image.offset_data, image.size), sentence(record, "caption", path, where))
    except Unusable as error:
        return error
    except UserError as error:
        return unusable("text cannot be read", str(error).removeprefix(f"{path}: pair {stem}: "))


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
        self._locations = functools.lru_cache(maxsize=2)(self._located)
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

    def _located(self, shard: int) -> list[PairLocation]:
        """The pairs of a shard, as many as were counted: with fewer, draws would lose pairs and repeat others."""
        found = self.shards.locations(shard)
        if len(found) != self.shards.counts[shard]:
            raise UserError(
                f"shard {shard} of the corpus has {len(found)} pairs whose image and caption are there, and had "
                f"{self.shards.counts[shard]} when they were counted; files of it were changed or removed since: put "
                "them back, or download the source again and prepare the data set again"
            )
        return found

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
    """Read a pair's bytes; the file of a single image is compared with what was downloaded, a shard was before.

    Raises:
        UserError: its file is gone, or not the one that was downloaded.
    """
    offset, length = location.image
    try:
        with location.file.open("rb") as stream:
            stream.seek(offset)
            content = stream.read(length or -1)
    except OSError as error:
        raise UserError(f"{location.file}, pair {location.key}: {error.strerror}; fetch the file again") from error
    if not length:
        raw_files.check(location.file, content)
    return Pair(location.key, content, location.caption)


def open_shards(dataset: Mapping[str, Any], folder: Path) -> Shards:
    """The corpus of a data set's conf: ``shards`` (a folder of tar files) or ``tsv``, ``images`` and ``image_name``.

    Raises:
        UserError: neither of them, or more unusable pairs than ``max_skipped`` allows.
    """
    shards = opened(dataset, folder)
    counted(dataset, shards)
    return shards


def counted(dataset: Mapping[str, Any], shards: Shards) -> dict[str, Any]:
    """The pairs of a corpus, counted; errors as `Tally.close`."""
    tally = Tally.of(dataset, "train", MAX_SKIPPED)
    tally.skipped = Counter(shards.skipped)
    usable = sum(shards.counts)
    tally.read = usable + tally.skipped.total()
    return tally.close(usable)


def opened(dataset: Mapping[str, Any], folder: Path) -> Shards:
    """The corpus, whatever it lacks."""
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
