"""Low-shot subsets: nested, proportional, many images before many questions of one image.

Each image's questions are ordered by hash; all first questions precede all second ones (100 VQA
questions by whole images would be 19 images). Within such a round, items are sorted by
(rank in stratum + u_stratum) / stratum size. A subset is a prefix of that order, so a smaller shot is
a subset of a larger one of the same seed, and every stratum gets its share.

A subset is a function of (instances' content, shot, seed) alone: of no global random state, and not of
the order of the rows.
"""

import hashlib
import re

import numpy as np
import polars as pl

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.tasks import Task

VERSION = 1
"""Of this order. Raise it when the same data, shot and seed would give other instances."""


def order(instances: pl.DataFrame, seed: int) -> pl.Series:
    """All instance ids in the order whose prefixes are the subsets.

    Args:
        instances: columns ``instance_id, image_id, stratum`` of the training role.
        seed: the run's seed.
    """
    draws = {
        stratum: np.random.Generator(np.random.PCG64(derive(seed, "low_shot stratum", stratum))).random()
        for stratum in instances["stratum"].unique().sort()
    }
    start = hashlib.sha256(f"{derive(seed, 'low_shot order')}\x1f".encode())

    def two_hashes(instance_id: str) -> bytes:
        running = start.copy()
        running.update(instance_id.encode())
        return running.digest()[:16]

    ids = instances["instance_id"].to_list()
    hashes = np.frombuffer(b"".join(map(two_hashes, ids)), "<u8").reshape(len(ids), 2)
    return (
        instances.select("instance_id", "image_id", "stratum")
        .with_columns(
            in_image=pl.Series(hashes[:, 0]),
            in_stratum=pl.Series(hashes[:, 1]),
            u=pl.col("stratum").replace_strict(draws, return_dtype=pl.Float64),
        )
        .sort("image_id", "in_image", "instance_id")
        .with_columns(round=pl.int_range(pl.len()).over("image_id"))
        .sort("round", "stratum", "in_stratum", "instance_id")
        .with_columns(rank=pl.int_range(pl.len()).over("round", "stratum"), size=pl.len().over("round", "stratum"))
        .with_columns(place=(pl.col("rank") + pl.col("u")) / pl.col("size"))
        .sort("round", "place", "in_stratum", "instance_id")
        .get_column("instance_id")
    )


def count(shot: str, size: int, available: int, dataset: str) -> int:
    """How many questions a shot is.

    Args:
        shot: a number such as ``300``, a percentage such as ``1pct`` or ``0.5pct``, or ``full``.
        size: what percentages are taken of: the official size of the training set.
        available: how many training instances there are.

    Raises:
        UserError: the shot is none of these, is nothing, or is more than there is.
    """
    if shot == "full":
        return available
    if re.fullmatch(r"[1-9][0-9]*", shot):
        wanted = int(shot)
    elif match := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)pct", shot):
        share = float(match[1])
        if not 0 < share <= 100:
            raise UserError(f"shot {shot}: a percentage must be above 0 and at most 100")
        wanted = round(size * share / 100)
        if wanted == 0:
            raise UserError(f"shot {shot}: {match[1]} % of {size} training questions of {dataset} is less than one")
    else:
        raise UserError(f"shot {shot!r} is no number (300), percentage (1pct) or the word full; correct grid.shot")
    if wanted > available:
        raise UserError(
            f"shot {shot}: that is {wanted} questions, but {dataset} has {available} for training; "
            "take a smaller one, or full"
        )
    return wanted


def counted(instances: pl.DataFrame, task: Task) -> pl.DataFrame:
    """What a shot counts, a row each: the task's items, each known by the first of its rows, with their strata.

    Args:
        instances: columns ``instance_id, answer_type, group`` and others of the training role.
    """
    rows = instances.sort("instance_id")
    items = rows.with_columns(task.items(rows["instance_id"])).unique("instance_id", keep="first", maintain_order=True)
    return items.with_columns(task.strata(items).alias("stratum"))


def instances_of(chosen: pl.Series, instances: pl.DataFrame, task: Task) -> pl.Series:
    """The ids of all rows of the items that were chosen, in the items' order; an item's rows by their ids."""
    rows = instances.select("instance_id", item=task.items(instances["instance_id"])).sort("instance_id")
    return (
        pl.DataFrame({"item": chosen})
        .join(rows, on="item", how="left", maintain_order="left_right")
        .get_column("instance_id")
    )
