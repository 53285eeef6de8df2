"""Files of the user's that the configuration of a student or teacher names: vocabulary, weights, tokenizer, model.

A job whose results depend on them has their checksums in its ``params:``, in its phase's manifest and in its content
key, so that an edited file makes it run again. Names of a hub, of a package's files and of what `pretrain` makes are no
files of the user's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import checksums, files, layout
from vlkd_steps.core.errors import UserError

KEYS = ("vocabulary", "weights", "tokenizer", "model")


def named(conf: Mapping[str, Any]) -> list[Path]:
    """The files that are here: those that a key names, and those directly in a folder that it names; sorted."""
    own = layout.model(str(conf["name"]))
    found: set[Path] = set()
    of_keys = {key: conf[key] for key in KEYS if isinstance(conf.get(key), str)}
    if not of_keys.get("vocabulary", "").endswith(".txt"):
        of_keys.pop("vocabulary", None)  # one of the package's
    for path in map(Path, of_keys.values()):
        if path.is_file():
            found.add(path)
        elif path.is_dir():
            found.update(each for each in path.iterdir() if each.is_file())
    return sorted(path for path in found if not path.is_relative_to(own))


def sums(conf: Mapping[str, Any]) -> dict[str, str]:
    """The sha256 of each of those files, by path.

    Raises:
        UserError: one cannot be read.
    """
    try:
        return {path.as_posix(): checksums.of(path) for path in named(conf)}
    except OSError as error:
        raise UserError(
            f"{conf['name']}: cannot read {error.filename}, which its configuration names: {error.strerror}; make it "
            "readable, or name another file"
        ) from error


def digest(conf: Mapping[str, Any]) -> str:
    """A hash of `sums`; empty without such files."""
    return files.digest(found) if (found := sums(conf)) else ""
