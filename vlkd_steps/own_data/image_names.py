"""Where the images of records are, and by which pattern an image's id gives its name: tried on the files there are.

Names are compared in one form of Unicode (NFC), as the readers do: macOS writes another (NFD).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from vlkd_steps.core import patterns
from vlkd_steps.own_data.found import ALL, split_of

TRIED = 20
NAME = re.compile(r"(.*?)([0-9]+)(\.[A-Za-z0-9]+)")
WHOLE_IMAGES = re.compile(r"(?<![a-z])(images?|imgs?|photos?|pictures?)(?![a-z])", re.IGNORECASE)
"""In the name of a folder: it holds the images themselves, and not what was made of them, such as thumbs or masks."""


class Fit(NamedTuple):
    """The folder and the pattern that fit the most of `of` ids, and how many.

    Attributes:
        rivals: folders that fit the same ids.
        elsewhere: folders that fit ids for which there is nothing in this one.
    """

    folder: str
    pattern: str
    fits: int
    of: int
    rivals: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


class _Tried(NamedTuple):
    folder: str
    pattern: str
    fits: frozenset[int | str]


def by_id(ids: Collection[int | str], images: Mapping[str, Sequence[str]], split: str) -> Fit | None:
    """The best fit; None where no image has the number, or the name, of an id.

    Args:
        ids: distinct.
        images: the names of images by folder.
        split: of the records, as guessed from the name of their file.
    """
    ids = [_composed(each) if isinstance(each, str) else each for each in ids]
    found = []
    for folder, names in images.items():
        there, last = {*map(_composed, names)}, _composed(PurePosixPath(folder).name)
        for pattern in _candidates(_some(ids), last, [*map(_composed, names)]):
            fits = (each for each in ids if patterns.fill(pattern, {"image_id": each, "folder": last}) in there)
            found.append(_Tried(folder, pattern, frozenset(fits)))
    return _best(found, len(ids), split)


def _some(ids: Sequence[Any]) -> Sequence[Any]:
    """About TRIED of them, evenly spaced: those of a part may be in a folder apart."""
    return ids[:: max(len(ids) // TRIED, 1)]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _best(tried: Sequence[_Tried], number: int, split: str) -> Fit | None:
    """Of the folders that fit the most of a number of ids, the one named like the split, else like images."""
    most = max((len(each.fits) for each in tried), default=0)
    fits: dict[str, _Tried] = {}
    for each in tried:
        if len(each.fits) == most:
            fits.setdefault(each.folder, each)
    left = sorted(fits)
    left = [folder for folder in left if split != ALL and split_of(folder) == split] or left
    left = [folder for folder in left if WHOLE_IMAGES.search(folder)] or left
    if not left:
        return None
    best = fits[left[0]]
    rivals = (folder for folder in left[1:] if fits[folder].fits == best.fits)
    elsewhere = {each.folder for each in tried if each.fits - best.fits} - {best.folder}
    return Fit(best.folder, best.pattern, most, number, tuple(rivals), tuple(sorted(elsewhere)))


def _candidates(ids: Sequence[int | str], last: str, names: Sequence[str]) -> list[str]:
    """Patterns by which some ids give names of the folder whose path ends with `last`, the commonest first."""
    by_number: dict[int, str] = {}
    by_stem: dict[str, str] = {}
    for name in names:
        by_stem.setdefault(PurePosixPath(name).stem, name)
        if match := NAME.fullmatch(name):
            by_number.setdefault(int(match[2]), name)
    found: Counter[str] = Counter({"{image_id}": len({*ids} & {*names})})
    for image_id in ids:
        name = by_number.get(image_id, "") if isinstance(image_id, int) else by_stem.get(image_id, "")
        if not name:
            continue
        if isinstance(image_id, str):
            found["{image_id}" + PurePosixPath(name).suffix] += 1
        elif match := NAME.fullmatch(name):
            width = f":0{len(match[2])}d" if match[2] != str(image_id) else ""
            before = match[1].replace("{", "{{").replace("}", "}}")
            before = before.replace(last, "{folder}") if last else before
            found[f"{before}{{image_id{width}}}{match[3]}"] += 1
    return [pattern for pattern, times in found.most_common(3) if times]


def by_name(names: Collection[str], images: Mapping[str, Sequence[str]], split: str) -> Fit | None:
    """The folder that the most of some names, which may have subfolders, are relative to; None where none is there.

    Args:
        images: the names of images by folder.
        split: of the records, as guessed from the name of their file.
    """
    paths = (_joined(folder, name) for folder, inside in images.items() for name in inside)
    there = {_composed(path): path for path in paths}
    bases: Counter[str] = Counter()
    for name in map(_composed, _some(list(names))):
        found = [path for known, path in there.items() if f"/{known}".endswith(f"/{name}")]
        bases.update(PurePosixPath(path).parents[name.count("/")].as_posix() for path in found)
    tried = [
        _Tried(base, "", frozenset(name for name in names if _composed(_joined(base, name)) in there)) for base in bases
    ]
    return _best(tried, len(names), split)


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"
