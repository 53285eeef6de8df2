"""Lists of params.yaml that share no value with those of their preset: often those of the experiment before."""

from collections.abc import Iterable, Sequence

from vlkd_steps.config.models.preset import GivenGrid, Grid

KEYS = ("dataset", "student", "shot")  # variants and seeds of a preset may be any


def note(experiment: str, given: GivenGrid, preset: Sequence[Grid], packaged: Iterable[str], where: str) -> str:
    """What to tell a user who may not have meant it; nothing if a list names a data set of the user's own.

    Args:
        preset: the blocks that the preset crosses by itself.
        packaged: the names of the package's own data sets.
        where: the file that has the lists.
    """
    if not set(given.dataset) <= set(packaged):
        return ""
    replaced = []
    for key in KEYS:
        named = list(map(str, getattr(given, key)))
        there = list(dict.fromkeys(str(value) for block in preset for value in getattr(block, key)))
        if named and not set(named) & set(there):
            replaced.append(f"{key} {', '.join(named)} instead of {', '.join(there)}")
    if not replaced:
        return ""
    return (
        f"{where}: grid replaces lists of {experiment}: {'; '.join(replaced)}; for the preset's own, write grid: {{}}"
    )
