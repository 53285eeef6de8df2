"""Lists of params.yaml that replace those of a preset about other data: often those of the experiment before."""

from collections.abc import Iterable, Sequence

from vlkd_steps.config.models.preset import GivenGrid, Grid

KEYS = ("dataset", "student", "shot")  # variants and seeds of a preset may be any


def note(experiment: str, given: GivenGrid, preset: Sequence[Grid], packaged: Iterable[str], where: str) -> str:
    """What to tell a user whose data sets are none of the preset's; nothing if one of them is the user's own.

    Args:
        preset: the blocks that the preset crosses by itself.
        packaged: the names of the package's own data sets.
        where: the file that has the lists.
    """
    replaced = {}
    for key in KEYS:
        named = list(map(str, getattr(given, key)))
        there = list(dict.fromkeys(str(value) for block in preset for value in getattr(block, key)))
        if named and not set(named) & set(there):
            replaced[key] = f"{key} {', '.join(named)} instead of {', '.join(there)}"
    if "dataset" not in replaced or not set(given.dataset) <= set(packaged):
        return ""
    said = "; ".join(replaced.values())
    return f"{where}: grid replaces lists of {experiment}: {said}; for the preset's own, write grid: {{}}"
