"""Atomic writing of files, and hashes of their content."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlkd_steps.core import json_text
from vlkd_steps.core.errors import UserError

_AT_START = os.umask(0o077)
os.umask(_AT_START)


def _umask() -> int:
    """This process's umask as Linux tells it, else as it was at the start: asking changes it for all threads."""
    with contextlib.suppress(OSError):
        told = re.search(r"^Umask:\s*([0-7]+)$", Path("/proc/self/status").read_text("utf-8", "replace"), re.MULTILINE)
        return int(told[1], 8) if told else _AT_START
    return _AT_START


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` (``os.replace``) if the block ends without an error.

    The bytes are on the disk before the name is: after a power failure a file is the old one or the new one. What a
    killed process leaves is removed by `leftovers`. Never open an output in place: DVC may have made it a read-only
    link into its cache.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=temporary_prefix(), suffix=f".{path.name}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        with temporary.open("rb") as stream:
            os.fsync(stream)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Give a file another name, atomically, as if it had been written now; a copy on file systems without hard links.

    Both names have the same bytes for ever: nothing here changes a file in place.
    """
    with atomic(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.utime(temporary)


def temporary_prefix() -> str:
    """How the name of a temporary file of this process begins; its writer is found by it (`leftovers`)."""
    return f".tmp-{os.uname().nodename}-{os.getpid()}-"


def writable(path: Path) -> bool:
    """Whether this process may write to a file, or into a folder (by its effective user, where supported)."""
    wanted = os.W_OK | os.X_OK if path.is_dir() else os.W_OK
    return os.access(path, wanted, effective_ids=os.access in os.supports_effective_ids)


def is_utf8(text: str) -> bool:
    """Whether a text, such as an argument or a path, is UTF-8; Python reads other bytes as halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with ``\\n`` line ends on every system."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: sorted keys, two spaces, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


REMAKE = "make it again: snakemake --cores 1 -f {path}"
"""The remedy for a file that a rule has made."""


def read_json(path: Path, remedy: str = REMAKE, kind: type = dict) -> Any:
    """The JSON value of a file.

    Args:
        remedy: what to do about a missing or damaged file; ``{path}`` is replaced by its path.
        kind: what the value must be, `dict` or `list`.

    Raises:
        UserError: it is missing, cannot be read, or is no JSON of that kind.
    """
    remedy = remedy.replace("{path}", str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy}") from None
    except (OSError, ValueError) as error:  # not UTF-8, or a name with a NUL
        raise UserError(f"{path} cannot be read ({error}); {remedy}") from error
    return parse_json(text, str(path), remedy, kind)


def parse_json(text: str, where: str, remedy: str, kind: type = dict) -> Any:
    """The JSON value of a text; `where` names it in messages; errors as for `read_json`."""
    try:
        value = json_text.loads(text)
    except ValueError as error:
        position = f"line {error.lineno}, column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{where} is not JSON ({position}{getattr(error, 'msg', error)}); {remedy}") from error
    if type(value) is not kind:
        names: dict[type, str] = {dict: "an object", list: "a list"}
        found = names.get(type(value), json.dumps(value)[:60])
        raise UserError(f"{where} must be JSON of {names[kind]}, not {found}; {remedy}")
    return value


def known_json(path: Path) -> dict[str, Any]:
    """The JSON object of an optional file: {} if it is missing or cannot be read."""
    try:
        found: dict[str, Any] = read_json(path)
    except UserError:
        return {}
    return found


def canonical(value: Any) -> str:
    """The one-line JSON by which a value is hashed and compared: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON value in its canonical form."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def sha256(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
