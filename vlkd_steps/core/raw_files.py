"""Raw files as they were downloaded: each is compared with its source's manifest when a process reads it first."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError

_Identity = tuple[int, int, int]
_compared: dict[str, _Identity] = {}
_manifests: dict[str, tuple[_Identity, Mapping[str, str]]] = {}


def check_missing(path: Path) -> None:
    """Refuse that a file which is not there was downloaded: that is no gap in the data, to be counted, but damage.

    Raises:
        UserError: its source's manifest lists it.
    """
    manifest = _manifest(path)
    if manifest is not None and path.relative_to(manifest.parent).as_posix() in _hashes(manifest):
        raise UserError(f"{path} is missing, although {manifest} lists it; {_again(manifest)}")


def check(path: Path, content: bytes) -> None:
    """Compare the bytes of a file below ``data/raw/``; of any other file, and of a source without manifest, nothing.

    Raises:
        UserError: the file is not the one that was downloaded.
    """
    manifest = _manifest(path)
    name = os.path.abspath(path)  # noqa: PTH100  # links are not followed
    if manifest is not None and _compared.get(name) != _identity(path):
        _compare(path, manifest, hashlib.sha256(content).hexdigest())


def check_file(path: Path) -> None:
    """As `check`, of a file that need not fit into memory."""
    manifest = _manifest(path)
    if manifest is not None and _compared.get(os.path.abspath(path)) != _identity(path):  # noqa: PTH100
        _compare(path, manifest, files.sha256(path))


def sha256(path: Path) -> str:
    """sha256 (hex) of a file, compared as by `check`, which then need not hash it again.

    Raises:
        FileNotFoundError: it is missing.
        UserError: the file is not the one that was downloaded.
    """
    found = files.sha256(path)
    if (manifest := _manifest(path)) is not None:
        _compare(path, manifest, found)
    return found


def recorded(path: Path) -> str | None:
    """The sha256 (hex) that a file below ``data/raw/`` had when it was downloaded; None of any other file.

    Raises:
        UserError: its source's manifest does not list it.
    """
    manifest = _manifest(path)
    return None if manifest is None else _listed(path, manifest)


def downloaded(folder: Path) -> str | None:
    """A hash of all that was downloaded with a folder below ``data/raw/``; None of any other folder."""
    manifest = _manifest(folder)
    return None if manifest is None else files.sha256(manifest)


def _listed(path: Path, manifest: Path) -> str:
    found = _hashes(manifest).get(path.relative_to(manifest.parent).as_posix())
    if found is None:
        raise UserError(f"{path} is not among the files that {manifest} lists; {_again(manifest)}")
    return found


def _compare(path: Path, manifest: Path, found: str) -> None:
    if found != _listed(path, manifest):
        raise UserError(
            f"{path} is damaged, or was changed after it was downloaded: its sha256 differs from that in {manifest}; "
            f"{_again(manifest)}"
        )
    _compared[os.path.abspath(path)] = _identity(path)  # noqa: PTH100


def _manifest(path: Path) -> Path | None:
    """The manifest of the source that a file below ``data/raw/`` is of; None of any other file."""
    manifest = Path(*path.parts[: len(layout.RAW.parts) + 1]) / layout.RAW_MANIFEST
    return manifest if path.is_relative_to(layout.RAW) and manifest.is_file() else None


def _again(manifest: Path) -> str:
    return f"download it again: snakemake --cores 1 -f {manifest}"


def _hashes(manifest: Path) -> Mapping[str, str]:
    """sha256 by path of a source's files, kept as long as the manifest stays the same."""
    name, identity = os.path.abspath(manifest), _identity(manifest)  # noqa: PTH100
    known = _manifests.get(name)
    if known is None or known[0] != identity:
        known = _manifests[name] = (identity, files.read_json(manifest).get("files", {}))
    return known[1]


def _identity(path: Path) -> _Identity:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
