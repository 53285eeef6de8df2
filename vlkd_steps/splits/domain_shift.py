"""Which instances play which role: training, development, test, and one evaluation set per shift.

A role names the split of the official files that it takes (``{split: test}``). Where the official test
has no labels, dev is a fixed share of the training images (``{split: train, share: 0.1}``), chosen by a
hash of the image's id alone: the same images for every task, seed and shot. Roles without a share take
what the shares of their split leave.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlkd_steps.core import role_shares
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import position

_KEYS = {"split", "share"}


def assign(instances: pl.DataFrame, dataset: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """The rows of every role in the data set's conf; no image is in two roles made from one split.

    Args:
        instances: columns ``split, image_id`` and any others.
        dataset: the conf; ``roles`` {role: {split, share}}.

    Raises:
        UserError: a role names an unknown split, the roles of a split cannot be (`role_shares`), or a role is empty.
    """
    roles: Mapping[str, Mapping[str, Any]] = dataset["roles"]
    present = instances["split"].unique().sort().to_list()
    for role, conf in roles.items():
        if set(conf) - _KEYS or "split" not in conf:
            raise UserError(f"data set {dataset['name']}: roles.{role} is {dict(conf)}; write split, and share if any")
        if conf["split"] not in present:
            raise UserError(
                f"data set {dataset['name']}: roles.{role}.split is {conf['split']!r}; there are {', '.join(present)}"
            )
    if fault := role_shares.fault(roles):
        raise UserError(f"data set {dataset['name']}: {fault}")
    result: dict[str, pl.DataFrame] = {}
    for split in present:
        result |= _assign_split(instances.filter(pl.col("split") == split), split, roles, dataset["name"])
    return {role: result[role] for role in sorted(result)}


def _assign_split(
    rows: pl.DataFrame, split: str, roles: Mapping[str, Mapping[str, Any]], name: str
) -> dict[str, pl.DataFrame]:
    shares = {role: float(roles[role]["share"]) for role in sorted(roles) if _takes_share(roles[role], split)}
    whole = [role for role in sorted(roles) if roles[role]["split"] == split and role not in shares]
    if not shares:
        return dict.fromkeys(whole, rows)
    image_ids = rows["image_id"].unique().sort().to_list()
    places = pl.DataFrame({"image_id": image_ids, "place": [position(image, "role") for image in image_ids]})
    rows = rows.join(places, on="image_id", how="left", maintain_order="left")
    result, low = {}, 0.0
    for role, share in shares.items():
        result[role] = rows.filter(pl.col("place").is_between(low, low + share, closed="left")).drop("place")
        low += share
    for role in whole:
        result[role] = rows.filter(pl.col("place") >= low).drop("place")
    for role, part in result.items():
        if part.is_empty():
            raise UserError(
                f"data set {name}: role {role!r} is empty: split {split!r} has only {len(image_ids)} images for the "
                f"shares {shares}; take larger shares or more data"
            )
    return result


def _takes_share(conf: Mapping[str, Any], split: str) -> bool:
    return conf["split"] == split and conf.get("share") is not None
