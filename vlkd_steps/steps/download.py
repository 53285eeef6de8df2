"""Make ``data/raw/<source>``: generated, from a package, from the web or from the user's files.

The kind of the source names the module of `vlkd_steps/sources/` that does it. The raw folder is replaced
completely; its ``manifest.json`` (sha256 of every file) is written last. A module that fetches from a server has
``decisive(source)``, all that decides what is fetched: files that it has fetched before are not fetched again (`kept`).
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from vlkd_steps.config.models import kinds
from vlkd_steps.config.validation import validated
from vlkd_steps.core import components, layout, locks, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import kept, manifest


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    source = step.configuration(argv, __doc__)["source"]
    name, kind = source.get("name"), source.get("kind")
    try:
        module = components.load("source", str(kind))
    except UserError as error:
        raise UserError(f"source {name!r}, kind: {error}") from error
    validated(kinds.model("source", str(kind)), source, "source")
    raw = layout.raw(name)

    def tell(holder: str) -> None:
        step.log.info("[download %s] waits for %s, which makes the same folder", name, holder)

    with locks.in_turn(raw.with_name(f".{name}.lock"), tell):  # a step may go on after its Snakemake was killed
        hashes = fetched_before(source, module) or made(source, module, raw)
    step.log.info("[download %s] %d files in %s", name, len(hashes), raw)
    return 0


def fetched_before(source: Mapping[str, Any], module: ModuleType) -> dict[str, str] | None:
    """The checksums of the raw folder's files, if they are what is to be fetched; None: they have to be made."""
    if not hasattr(module, "decisive"):
        return None
    hashes = kept.restored(source["name"], module.decisive(source))
    if hashes:
        step.log.info("[download %s] its files are there already, and unchanged: nothing is fetched", source["name"])
    return hashes


def made(source: Mapping[str, Any], module: ModuleType, raw: Path) -> dict[str, str]:
    """Make the folder anew, and return the checksums of its files."""
    name = source["name"]
    staging = raw.with_name(f".{name}.staging")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        module.fetch(source, staging)
        if (staging / "manifest.json").exists():
            raise UserError(
                f"source {name!r} has a file manifest.json, where the list of its checksums is written; rename that "
                "file, or leave it out by `files`"
            )
        hashes = manifest.write(staging, name)
        replace(raw, staging)
        if hasattr(module, "decisive"):
            kept.write(name, module.decisive(source), hashes)
        shutil.rmtree(layout.arriving(name), ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return hashes


def replace(folder: Path, staging: Path) -> None:
    """Replace `folder`, or a link, with `staging`; for an instant there is neither, but never a partial folder."""
    old = folder.with_name(f".{folder.name}.old")
    _remove(old)
    if os.path.lexists(folder):
        folder.rename(old)
    staging.rename(folder)
    _remove(old)


def _remove(path: Path) -> None:
    """Remove a folder, or a link but not what it points to."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
