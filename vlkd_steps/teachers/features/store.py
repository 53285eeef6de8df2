"""The feature store: a frozen teacher's outputs for a data set's images, texts and words, computed once.

``features/<teacher>/<data set>/`` contains

- ``manifest.json``: the content key and its parts, and each file with its size and sha256. It is written last; without
  it the store is not finished.
- ``<first 16 digits of the key>/``: shards ``<kind>-<inputs>.npy`` of rows and one ``index-<inputs>.parquet``. A
  shard's name has a hash of its inputs (images by their bytes), so that an interrupted extraction finds only its own
  shards, and a changed key, image or text never mixes with old files; nor do shards of other versions of the libraries,
  which their marks name, before the store is finished. A copy of the manifest is stored there too:
  Snakemake deletes the other one whenever it starts the step again, even while workers are still running.

The **content key** is a hash of everything else that the features depend on: the teacher's weights, transform and
templates, the dtype, and the version of this code. Equal keys and inputs give equal bytes.

Kinds of rows: ``image`` v, ``text`` u, ``word`` one vector per distinct word, ``state`` the last text layer's states
averaged per word, text after text, and ``count`` their number in each text. A teacher of only images has only
``image``, one of only texts all the others. With ``patches: true``, ``patch`` has an image's grid of patches [P, W],
row by row. The index names the rows of ``image``, ``text`` and ``word``. Regions (`region_store`) have ``region``,
``location`` and, of each image, ``count``. This module never imports torch.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from vlkd_steps.core import arrays, checksums, files, inside, layout, scratch, tables, versions
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.words import split_words

VERSION = 2
"""Increased whenever a change of this package changes the bytes of the features."""

TEMPERATURE = 0.01
"""Default for a teacher without one (choice); CLIP's value at the end of training."""

BLOCK = 4096
"""Rows that are converted to float32 at a time."""

_KEY_FOLDER = re.compile("[0-9a-f]{16}")

KINDS = ("image", "patch", "text", "word", "state", "count", "region", "location")

SEVERAL = ("state", "region", "location")
"""Kinds with ``count`` rows per item."""

EXACT = ("location",)
"""Kinds that are stored unconverted, whatever the store's dtype."""


@dataclass(frozen=True)
class Shard:
    """One file of rows: its path (under the store's folder), kind, number of rows, bytes and sha256."""

    file: str
    kind: str
    rows: int
    bytes: int
    sha256: str


class FeatureStore:
    """A finished store, read row by row through memory maps, from this node's disk if there is a copy.

    Attributes:
        folder: ``features/<teacher>/<data set>``.
        manifest: as written by `Writer.finish`.
        key: the content key, 64 hex digits; dim: the width D of v, u and word vectors.
        temperature: the teacher's, which divides cosines.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.key: str = manifest["key"]
        self.dim: int = manifest["dim"]
        self.temperature: float = manifest.get("temperature", TEMPERATURE)
        self.shards = [Shard(**shard) for shard in manifest["shards"]]

    @classmethod
    def open(cls, folder: Path, key: str | None = None) -> Self:
        """Open the store in `folder`.

        Args:
            key: the content key that the caller expects; None: any.

        Raises:
            UserError: the store is not finished or has another key, its manifest is damaged, or a file is missing or
                has another size.
        """
        path = folder / "manifest.json"
        manifest = files.read_json(path, "extract the features: snakemake --cores 1 -f {path}")
        copy = folder / str(manifest["key"])[:16] / path.name
        if copy.is_file() and checksums.of(copy) != checksums.of(path):
            raise UserError(
                f"{path} or {copy} is damaged: they differ, and one is a copy of the other; "
                f"extract again: snakemake --cores 1 -f {path}"
            )
        if key is not None and manifest["key"] != key:
            raise UserError(
                f"the features in {folder} are stale: they have key {manifest['key']}, wanted is {key} (another "
                f"teacher, transform, template, dtype or code version); extract again: "
                f"snakemake --forcerun extract {path}"
            )
        store = cls(folder, manifest)
        for shard in [*store.shards, store._index_file]:
            inside.path(folder, shard.file, f"{path}: a file", links=True)
            store._check_size(shard)
        return store

    def images(self, image_ids: Sequence[str]) -> np.ndarray:
        """v of each image, float32 [N, D]."""
        return self._rows("image", image_ids)

    def patches(self, image_ids: Sequence[str]) -> np.ndarray:
        """The grid of patches of each image, row by row, float32 [N, P, W].

        Raises:
            UserError: the teacher stores no patches.
        """
        assert self.patch_shape
        return arrays.single(self._tables["patch"][self._numbers("image", image_ids)])

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """u of each text, float32 [N, D]."""
        return self._rows("text", texts)

    def words(self, words: Sequence[str]) -> np.ndarray:
        """The vector of each word (lower-cased, in the teacher's word template), float32 [N, D]."""
        return self._rows("word", [word.lower() for word in words])

    def word_states(self, text: str) -> tuple[list[str], np.ndarray]:
        """The last text layer's states, averaged per word.

        Returns:
            The first W words of ``split_words(text)``, without those beyond the teacher's context length, and
            their states, float32 [W, H].
        """
        row = self._find("text", text)
        start, stop = self._state_rows[row : row + 2]
        states = self._tables["state"][start:stop]
        return split_words(text)[: stop - start], arrays.single(states)

    def has(self, kind: str) -> bool:
        """Whether there are rows of `kind` (KINDS)."""
        return any(shard.kind == kind for shard in self.shards)

    @property
    def patch_shape(self) -> tuple[int, int]:
        """P and W of every image's patches.

        Raises:
            UserError: the teacher stores no patches.
        """
        if not self.has("patch"):
            raise UserError(
                f"the features in {self.folder} have no patches; name a teacher whose configuration says "
                "`patches: true`, as conf/teacher/efficientnet_lite0_scenes_patches.yaml does"
            )
        _, patches, width = self._tables["patch"].parts[0].mapped.shape
        return patches, width

    @property
    def shared_space(self) -> bool:
        """Whether cosines between images and texts, and their words, are meaningful: one teacher made both."""
        return self.has("image") and self.has("text")

    def verify(self) -> None:
        """Compare every file (not this node's copy) with the checksum in the manifest.

        Raises:
            UserError: the first file that differs.
        """
        for shard in [*self.shards, self._index_file]:
            self._check_size(shard)
            self._check(self.folder / shard.file, shard)

    def _rows(self, kind: str, names: Sequence[str]) -> np.ndarray:
        rows = self._numbers(kind, names)
        if 0 < len(rows) <= BLOCK:
            return arrays.single(self._tables[kind][rows])
        found = np.empty((len(rows), self.dim), np.float32)
        for start in range(0, len(rows), BLOCK):  # as stored they would take half as much memory again, twice
            found[start : start + BLOCK] = arrays.single(self._tables[kind][rows[start : start + BLOCK]])
        return found

    def _numbers(self, kind: str, names: Sequence[str]) -> np.ndarray:
        """The row of each name, int64 [N]."""
        known = self._rows_by_name[kind]
        try:
            return np.array([known[name] for name in names], dtype=np.int64)
        except KeyError as error:
            return np.array([self._find(kind, error.args[0])])  # whose message says what is missing

    def _find(self, kind: str, name: str) -> int:
        try:
            return self._rows_by_name[kind][name]
        except KeyError:
            if not self._rows_by_name[kind]:
                raise UserError(
                    f"the features in {self.folder} have no {kind}s: their teacher does not read them; name another "
                    "for this method, or two, teacher: {vision: NAME, text: NAME}"
                ) from None
            raise UserError(
                f"the features in {self.folder} have no {kind} {name!r}; the data set has changed or another split is "
                f"needed: extract again, or add the split to the teacher's `splits`"
            ) from None

    @cached_property
    def _index(self) -> pl.DataFrame:
        path = self._near[self.folder / self._index_file.file]
        self._check(path, self._index_file)
        return tables.read(path)

    @cached_property
    def _rows_by_name(self) -> dict[str, dict[str, int]]:
        """For each kind, name -> row."""
        rows: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
        for kind, name, row in self._index.select("kind", "name", "row").iter_rows():
            rows[kind][name] = row
        return rows

    @cached_property
    def _state_rows(self) -> np.ndarray:
        """The first row of each text's states, int64 [texts + 1]."""
        counts = self._tables["count"].all()[:, :1] if self.has("count") else np.zeros((0, 1))
        return np.concatenate([[0], np.cumsum(counts[:, 0].astype(np.int64))])

    @cached_property
    def _tables(self) -> dict[str, "Table"]:
        return {kind: Table([self._verified(s) for s in self.shards if s.kind == kind]) for kind in KINDS}

    def _verified(self, shard: Shard) -> "Part":
        path = self._near[self.folder / shard.file]
        return Part(path, lambda: self._check(path, shard))

    def _check(self, path: Path, shard: Shard) -> None:
        """Compare a file with its checksum before it is read."""
        if checksums.of(path) == shard.sha256:
            return
        if path != self.folder / shard.file:
            raise UserError(f"{path}, this node's copy of {self.folder / shard.file}, is damaged; delete {path.parent}")
        self._broken(shard, "its checksum differs from the manifest's")

    @cached_property
    def _near(self) -> Mapping[Path, Path]:
        """The path at which to read each file; set up at the first row, so that reading the manifest copies nothing."""
        listed = [*self.shards, self._index_file]
        return scratch.local_copy([self.folder / shard.file for shard in listed], [shard.sha256 for shard in listed])

    @property
    def _index_file(self) -> Shard:
        return Shard(**self.manifest["index"])

    def _check_size(self, shard: Shard) -> None:
        path = self.folder / shard.file
        if not path.is_file():
            self._broken(shard, "it is missing")
        if path.stat().st_size != shard.bytes:
            self._broken(shard, f"it has {path.stat().st_size} bytes, the manifest says {shard.bytes}")

    def _broken(self, shard: Shard, why: str) -> None:
        manifest = self.folder / "manifest.json"
        raise UserError(
            f"the feature file {self.folder / shard.file} is damaged: {why}; remove {manifest} and extract again "
            f"(`snakemake {manifest}`): undamaged shards are kept"
        )


class Part:
    """The rows of one shard, memory-mapped; the file is verified when its rows are first read."""

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        try:
            self.mapped = arrays.mapped(path)
        except ValueError:
            check()
            raise
        self.check = check

    @cached_property
    def rows(self) -> np.ndarray:
        self.check()
        return self.mapped.view(np.ndarray)  # its slices take half the time of a memmap's


class Table:
    """Shards of one kind as one array [rows, width]."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.starts = np.concatenate([[0], np.cumsum([len(part.mapped) for part in parts])])

    def all(self) -> np.ndarray:
        """Every row, copied."""
        return np.concatenate([part.rows for part in self.parts])

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows by an index array or a slice, copied; a row may have several dimensions."""
        if isinstance(rows, slice):
            rows = np.arange(rows.start, rows.stop)
        order = np.argsort(rows, kind="stable")
        wanted = np.asarray(rows)[order]
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < self.starts[-1]:
            raise IndexError(f"rows {wanted[0]} to {wanted[-1]} of a table of {self.starts[-1]}")
        found = np.empty((len(wanted), *self.parts[0].mapped.shape[1:]), self.parts[0].mapped.dtype)
        bounds = np.searchsorted(wanted, self.starts)
        counts = np.diff(bounds)
        within = wanted - np.repeat(self.starts[:-1], counts)
        for number in np.flatnonzero(counts).tolist():
            here = slice(bounds[number], bounds[number + 1])
            # "clip" writes into `out` without a copy; every row number was checked.
            self.parts[number].rows.take(within[here], axis=0, out=found[here], mode="clip")
        result = np.empty_like(found)
        result[order] = found
        return result


class Writer:
    """Writes a store, shard by shard, and reuses shards of an earlier, interrupted writer.

    Several writers may work on one store, as long as no two write the same shard (each has its slice).

    Args:
        folder: ``features/<teacher>/<data set>``.
        parts: the content key's parts: what the features depend on besides inputs, dtype and version.
        dtype: ``float32`` or ``float16``.
    """

    def __init__(self, folder: Path, parts: Mapping[str, Any], dtype: str) -> None:
        self.folder = folder
        self.parts = {**parts, "dtype": dtype, "store_version": VERSION}
        self.key = files.digest(self.parts)
        self.dtype = np.dtype(dtype)
        self.shards: list[Shard] = []

    def holds(self, kind: str) -> bool:
        """Whether there is any shard of `kind`, so that hashing possible inputs pays off."""
        return any((self.folder / self.key[:16]).glob(f"{kind}-*.npy"))

    def found(self, kind: str, inputs: str) -> Shard | None:
        """The shard of `kind` made from `inputs` (a hash), if it exists and is complete."""
        shard, path = self.described(kind, inputs), self._path(kind, inputs)
        if shard is None or files.sha256(path) != shard.sha256:
            return None
        named = replace(shard, file=self._name(path), kind=kind, rows=len(arrays.mapped(path)))
        return shard if shard == named else None  # otherwise its mark is damaged, and would damage the manifest

    def described(self, kind: str, inputs: str) -> Shard | None:
        """As `found`, but checked only by size: enough for a shard that another writer has just made or checked."""
        path = self._path(kind, inputs)
        mark = files.known_json(path.with_suffix(".json"))
        if mark.pop("versions", None) != versions.digest() and self._name(path) not in self._finished:
            return None
        try:
            shard = Shard(**mark)
            return shard if path.stat().st_size == shard.bytes else None
        except (FileNotFoundError, TypeError):
            return None

    def converted(self, kind: str, rows: np.ndarray) -> np.ndarray:
        """Rows as stored: floats in the store's dtype, except for EXACT kinds."""
        if not np.issubdtype(rows.dtype, np.floating) or kind in EXACT:
            return rows
        with np.errstate(over="ignore"):  # `extraction.check_finite` says which value is too large
            return rows.astype(self.dtype, copy=False)

    def add(self, kind: str, inputs: str, rows: np.ndarray) -> Shard:
        """Write a shard, rows [N, width] from `converted`, and then a mark that it is complete."""
        stored = self.converted(kind, rows)
        path = self._path(kind, inputs)
        with files.atomic(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(stored), allow_pickle=False)
        shard = self._describe(path, kind, len(rows))
        files.write_json(path.with_suffix(".json"), {**asdict(shard), "versions": versions.digest()})
        self.shards.append(shard)
        return shard

    def finish(self, index: pl.DataFrame, dim: int, **facts: Any) -> dict[str, Any]:
        """Write index and manifest. Obsolete files stay until `sweep` is called.

        Args:
            index: ``kind, name, row`` of every image, text and word.
            dim: width D of v, u and word vectors.
            facts: more entries of the manifest, such as the teacher's name.

        Returns:
            The manifest.
        """
        inputs = files.digest([asdict(shard) for shard in self.shards] + index.rows())
        path = self.folder / self.key[:16] / f"index-{inputs[:16]}.parquet"
        with files.atomic(path) as temporary:
            index.write_parquet(temporary, compression="zstd", statistics=False)
        manifest = {
            **facts,
            "key": self.key,
            "key_parts": self.parts,
            "dim": dim,
            "rows": {
                kind: sum(s.rows for s in self.shards if s.kind == kind)
                for kind in KINDS
                if any(s.kind == kind for s in self.shards)
            },
            "shards": [asdict(shard) for shard in self.shards],
            "index": asdict(self._describe(path, "index", len(index))),
        }
        files.write_json(self._kept_manifest, manifest)
        files.write_json(self.folder / "manifest.json", manifest)
        return manifest

    @cached_property
    def _finished(self) -> set[str]:
        """The shards of a finished store, which stay valid with other versions of the libraries."""
        return {shard["file"] for shard in files.known_json(self._kept_manifest).get("shards", ())}

    @property
    def _kept_manifest(self) -> Path:
        return self.folder / self.key[:16] / "manifest.json"

    def _path(self, kind: str, inputs: str) -> Path:
        return self.folder / self.key[:16] / f"{kind}-{inputs[:16]}.npy"

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _describe(self, path: Path, kind: str, rows: int) -> Shard:
        return Shard(self._name(path), kind, rows, path.stat().st_size, files.sha256(path))


def sweep(folder: Path, key: str) -> None:
    """Remove shards of older keys and files of killed writers: everything that the manifest in `folder` does not list.

    If Snakemake has deleted that manifest, the copy of `key` is read. There must be no writers meanwhile: the step has
    a lock.
    """
    manifests = [path for path in (folder / "manifest.json", folder / key[:16] / "manifest.json") if path.is_file()]
    if not manifests:
        return
    manifest = files.read_json(manifests[0])
    listed = [folder / entry["file"] for entry in [*manifest["shards"], manifest["index"]]]
    current = folder / manifest["key"][:16]
    keep = {*listed, *(path.with_suffix(".json") for path in listed), current / "manifest.json"}
    for entry in sorted(path for path in folder.iterdir() if _KEY_FOLDER.fullmatch(path.name)):
        if entry != current:
            shutil.rmtree(entry)
            continue
        for path in sorted(set(entry.iterdir()) - keep):
            path.unlink()
    for entry in sorted(folder.glob(layout.extraction_round(folder, "*").name)):
        shutil.rmtree(entry)
