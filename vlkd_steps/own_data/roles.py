"""Which split should play which role, guessed from the splits' names (docs/own_data.md, "Roles")."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from vlkd_steps.core.errors import UserError
from vlkd_steps.own_data.entries import Entry
from vlkd_steps.own_data.found import ALL
from vlkd_steps.splits import domain_shift

DEV_SHARE, TEST_SHARE = 0.1, 0.2
WIDER = 0.3  # of each, where an image or two is all that a share would be


class Roles(NamedTuple):
    """The roles as a conf has them, why so, and what could not be told."""

    roles: dict[str, dict[str, Any]]
    why: dict[str, str]
    notes: list[str]


def guessed(entries: Sequence[Entry]) -> Roles:
    """Train, dev and test of the splits that have answers: the first of each kind."""
    usable = {entry.kind: entry.split for entry in reversed(entries) if entry.labelled}
    notes = [
        f"{entry.split} has no answers: it can be read, not trained or evaluated on"
        for entry in entries
        if not entry.labelled
    ]
    if not usable:
        return Roles({}, {}, [*notes, "what to train on: no file has answers"])
    train = usable.get("train") or usable.get(ALL) or next(iter(usable.values()))
    if "train" not in usable and ALL not in usable:
        notes.append(f"which split is for training: none is called train; it is {train}, of which shares are set aside")
    others = {kind: split for kind, split in usable.items() if split != train}
    dev, val, test = (others.get(kind) for kind in ("dev", "val", "test"))
    roles: dict[str, dict[str, Any]] = {"train": {"split": train}}
    why = {"train": "what students learn from"}
    if test or (dev and val):
        roles["dev"] = {"split": val or dev} if val or dev else {"split": train, "share": DEV_SHARE}
        roles["test"] = {"split": test or dev}
        why["test"] = "the split of that name"
    elif val or dev:
        roles["dev"] = {"split": train, "share": DEV_SHARE}
        roles["test"] = {"split": val or dev}
        why["test"] = "there is no test with answers, so the split for validation is it"
    else:
        roles["dev"] = {"split": train, "share": DEV_SHARE}
        roles["test"] = {"split": train, "share": TEST_SHARE}
        why["test"] = "a share of the images, chosen by hash: there is one split"
    why["dev"] = "what is tuned on" + (
        ": a share of the training images, chosen by hash" if "share" in roles["dev"] else ""
    )
    taken = {role["split"] for role in roles.values()}
    notes += [
        f"what {entry.split} is for: it plays no role"
        for entry in entries
        if entry.labelled and entry.split not in taken
    ]
    return Roles(roles, why, notes)


def checked(dataset: dict[str, Any], rows: pl.DataFrame) -> list[str]:
    """What is to be known of the roles: how large they are, which share images; shares that leave a role empty grow.

    Args:
        rows: ``split, image_id`` of all instances.
    """
    told = []
    try:
        of_role = domain_shift.assign(rows, dataset)
    except UserError as error:
        dataset["roles"] = {
            role: conf | {"share": WIDER} if "share" in conf else conf for role, conf in dataset["roles"].items()
        }
        try:
            of_role = domain_shift.assign(rows, dataset)
        except UserError:
            return [str(error)]
        told.append(f"the shares of dev and test are {WIDER}, as the data are few")
    told.append("roles: " + ", ".join(f"{role} {len(of_role[role])}" for role in dataset["roles"]))
    train = set(of_role["train"]["image_id"])
    for role, part in of_role.items():
        if role != "train" and (shared := len(train & set(part["image_id"]))):
            told.append(
                f"{shared} images are in {role} and in train, which stops the pipeline; take them out, or write "
                "allow_leaks: [shared_images] if that is meant"
            )
    return told
