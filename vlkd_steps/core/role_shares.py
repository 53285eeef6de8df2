"""Which roles a data set can have: how they may divide a split among them."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any


def fault(roles: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Why the roles cannot be, and what to write; None if they can.

    Args:
        roles: {role: {split, share}}; a role without a share takes what the shares of its split leave.
    """
    for split in dict.fromkeys(conf["split"] for conf in roles.values()):
        of_split = {role: conf.get("share") for role, conf in sorted(roles.items()) if conf["split"] == split}
        shares = {role: float(share) for role, share in of_split.items() if share is not None}
        whole = [role for role in of_split if role not in shares]
        if len(whole) > 1:
            return f"roles {' and '.join(whole)} take the same split {split!r}; give one a share"
        if any(not 0 < share < 1 for share in shares.values()) or _total(shares) > 1:
            return f"the shares of split {split!r} are {shares}; each in (0, 1), together at most 1"
        if whole and _total(shares) == 1:
            return (
                f"role {whole[0]!r} takes what the shares of split {split!r} leave, which is nothing ({shares}); "
                "write smaller ones"
            )
    return None


def _total(shares: Mapping[str, float]) -> Fraction:
    """The sum of the shares as they are written: 0.05 + 0.55 + 0.3 + 0.1 is 1."""
    return sum((Fraction(str(share)) for share in shares.values()), Fraction())
