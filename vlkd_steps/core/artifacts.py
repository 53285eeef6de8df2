"""What steps read of a data set, each file compared with its recorded checksum first (`checksums`)."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from vlkd_steps.core import checksums, files, layout
from vlkd_steps.core.errors import UserError


def instances(dataset: str) -> Path:
    """The instances of a data set.

    Raises:
        UserError: the file is missing, or was changed after it was made.
    """
    return checksums.verified(layout.instances(dataset), layout.instances_checksums(dataset))


def labels(dataset: str) -> list[str]:
    """The classes of a data set in order; errors as for `instances`."""
    path = checksums.verified(layout.labels(dataset), layout.instances_checksums(dataset))
    found: list[str] = files.read_json(path, kind=list)
    return found


def model(folder: Path) -> Path:
    """The folder of a model; of one that `pretrain` made, each file is compared with the list of them.

    Raises:
        UserError: a file is missing, or was changed after it was made.
    """
    listing = folder / layout.MODEL_CHECKSUMS
    for path, sha256 in (checksums.read(listing) if listing.is_file() else {}).items():
        checksums.check(path, sha256, str(listing), files.REMAKE.replace("{path}", str(listing)))
    return folder


def weights(path: Path) -> Path:
    """A file of weights; errors as for `model`."""
    return model(path.parent) / path.name


def split_ids(split: Path) -> list[str]:
    """The instance ids of a split, in order.

    Raises:
        UserError: the split or its manifest is missing or damaged, or the manifest is that of another split.
    """
    from vlkd_steps.core import tables  # here, so that commands which read no split start fast

    remedy = files.REMAKE.replace("{path}", str(split))
    manifest = layout.split_manifest(split)
    recorded = files.read_json(manifest)
    ids: list[str] = tables.read(split, ["instance_id"], what="split file")["instance_id"].to_list()
    if ids_hash(ids) != recorded.get("sha256"):
        raise UserError(
            f"{split} is damaged, or was changed after it was made: its ids are not those that {manifest} describes; "
            f"delete it and {remedy}"
        )
    return ids


def ids_hash(ids: Sequence[str]) -> str:
    """sha256 of a split's ids, as its manifest has it."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()
