"""Checksums of artifacts: recorded by the step that writes them, compared by every step that reads them.

A step lists its outputs, last of all, in a file that ``sha256sum --check`` reads as well: ``<sha256>  <path>`` a line,
paths relative to the list's folder. A reader hashes a file once per process (1.8 GB/s on one core here).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vlkd_steps.core import files, inside
from vlkd_steps.core.errors import UserError

_Identity = tuple[int, int, int, int, int]
_hashed: dict[Path, tuple[_Identity, str]] = {}
"""The sha256 of files that this process has hashed, with what tells whether the file is still the same."""


def write(listing: Path, paths: Iterable[Path]) -> None:
    """List the sha256 of files, atomically."""
    record(listing, {path: of(path) for path in paths})


def record(listing: Path, known: Mapping[Path, str]) -> None:
    """As `write`, with the sha256 of each file known; sorted by path."""
    lines = [f"{known[path]}  {path.relative_to(listing.parent).as_posix()}\n" for path in sorted(known)]
    files.write_text(listing, "".join(lines))


def read(listing: Path, remedy: str = files.REMAKE) -> dict[Path, str]:
    """The sha256 by path of a list's files.

    Raises:
        UserError: the list is missing or cannot be read.
    """
    remedy = remedy.replace("{path}", str(listing))
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{listing} is missing; {remedy}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{listing} cannot be read ({error}); {remedy}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        sha256, separator, name = line.partition("  ")
        if not separator or len(sha256) != 64 or not name:
            raise UserError(f"{listing}, line {number}: is not `<sha256>  <path>`; {remedy}")
        found[inside.path(listing.parent, name, f"{listing}, line {number}: the path", links=True)] = sha256
    return found


def recorded(path: Path, listing: Path, remedy: str = files.REMAKE) -> str:
    """The sha256 that `listing` has of `path`.

    Raises:
        UserError: the file is missing or not listed.
    """
    remedy = remedy.replace("{path}", str(path))
    if not path.exists():
        raise UserError(f"{path} is missing; {remedy}")
    listed = read(listing, remedy)
    if path not in listed:
        raise UserError(f"{listing} does not list {path}; {remedy}")
    return listed[path]


def verified(path: Path, listing: Path, remedy: str = files.REMAKE) -> Path:
    """`path`, if its bytes are those that `listing` has.

    Raises:
        UserError: it is missing, not listed, or has other bytes.
    """
    check(path, recorded(path, listing, remedy), str(listing), remedy)
    return path


def check(path: Path, sha256: str, recorded_in: str, remedy: str = files.REMAKE) -> None:
    """Compare a file with its recorded checksum.

    Raises:
        UserError: it is missing, or has other bytes.
    """
    remedy = remedy.replace("{path}", str(path))
    try:
        found = of(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    if found != sha256:
        raise UserError(
            f"{path} is damaged, or was changed after it was made: its sha256 differs from that in {recorded_in}; "
            f"delete it and {remedy}"
        )


def of(path: Path) -> str:
    """sha256 (hex) of a file's bytes; read again only if the file has changed since."""
    stat = path.stat()
    identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    known = _hashed.get(path)
    if known is None or known[0] != identity:
        known = _hashed[path] = (identity, files.sha256(path))
    return known[1]
