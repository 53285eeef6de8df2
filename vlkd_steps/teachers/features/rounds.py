"""The rounds of an extraction: the name that its workers share, and how an interrupted round is found again.

Never imports torch, so that the process that waits for the workers stays small.
"""

import contextlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import checksums, components, files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.fingerprint import fingerprint


def begin(submission: Path, key: str) -> str:
    """A new name, or that of a round whose submitter was killed: its workers may still run, or be done."""
    path = submission / f"round-{key[:16]}"
    if not path.is_file():
        files.write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


def end(submission: Path) -> None:
    """Forget the round, so that the next one checks every image again."""
    for path in submission.glob("round-*"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it has files of the cluster's launcher
        submission.rmdir()
        submission.parent.rmdir()
        submission.parent.parent.rmdir()


def job_key(config: Mapping[str, Any]) -> str:
    """The key by which jobs of an earlier, killed submitter are recognised as the same extraction.

    Raises:
        UserError: the data set is not prepared, or there is no module for the teacher's kind.
    """
    path = layout.instances(config["dataset"]["name"])
    if not path.is_file():
        raise UserError(f"{path} is missing; prepare the data set first: snakemake {path}")
    kind = config["teacher"]["kind"]
    try:
        code = fingerprint("vlkd_steps.steps.extract", components.module_name("teacher", kind))
    except UserError as error:
        raise UserError(f"teacher {config['teacher']['name']}: {error}; correct `kind`") from error
    return files.digest([dict(config), code, files.sha256(path)])


def finished(folder: Path, shared_round: str | None) -> bool:
    """Whether the store in `folder` was finished in this round."""
    made = files.known_json(layout.provenance(folder))
    if shared_round is None or made.get("round") != shared_round:
        return False
    copy = folder / made.get("key", "")[:16] / "manifest.json"
    return copy.is_file() and checksums.of(copy) == made.get("manifest")


def slice_done(folder: Path, shared_round: str, number: int) -> bool:
    """Whether a worker of this round has made its slice."""
    return _slice(folder, shared_round, number).is_file() or finished(folder, shared_round)


def mark_slice(folder: Path, shared_round: str, number: int) -> None:
    files.write_text(_slice(folder, shared_round, number), "")


def _slice(folder: Path, shared_round: str, number: int) -> Path:
    return layout.extraction_round(folder, shared_round) / f"slice-{number}"


def publish(folder: Path) -> None:
    """Copy the manifest to the path that Snakemake expects, if Snakemake has deleted it since a job wrote it.

    Raises:
        UserError: there is none.
    """
    manifest, key = folder / "manifest.json", files.known_json(layout.provenance(folder)).get("key", "")
    copy = folder / key[:16] / "manifest.json"
    if manifest.is_file():
        return
    if not key or not copy.is_file():
        raise UserError(
            f"the extraction has ended, but {manifest} is missing: its workers were lost; start it again: "
            "finished shards are kept"
        )
    with files.atomic(manifest) as temporary:
        shutil.copyfile(copy, temporary)
