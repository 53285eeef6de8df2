"""Images that are nearly the same: copies, recompressed, resized or slightly retouched ones.

Two images are near if their difference hashes (64 comparisons of neighbouring grey cells) differ in at most `BITS`
bits and their 8 x 8 thumbnails by at most `COLOUR` in any channel of any cell. Photos at two thirds of their size
and JPEG quality 40 mostly stay below both (137 COCO photos: 99 % within 5 bits, one at 7; all within 8 of 255). What
has hardly any structure, such as a plain wall, has no hash to be known by: it is near only to an image of the same
bytes. Nearness is transitive here, so images form groups.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np

BITS = 6
COLOUR = 12  # of 255
STRUCTURE = 8
"""A hash with fewer bits set, or with fewer unset, says nothing."""

Groups = dict[str, int]
"""Image id -> number of its group. Images that are near to no other are left out."""


def groups(paths: Mapping[str, str], hashes: Mapping[str, str]) -> Groups:
    """The groups of near images.

    Args:
        paths: path by image id.
        hashes: sha256 by image id: images of equal bytes are near whatever they show.

    Raises:
        UserError: a file that is no image.
    """
    ids = sorted(paths)
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        seen = list(pool.map(fingerprint, [Path(paths[image_id]) for image_id in ids]))
    codes = np.array([code for code, _ in seen], np.uint64)
    thumbnails = np.stack([thumbnail for _, thumbnail in seen]) if seen else np.zeros((0, 192), np.uint8)
    first: dict[str, int] = {}
    equal = [(first.setdefault(hashes[image_id], n), n) for n, image_id in enumerate(ids) if image_id in hashes]
    looks, alike = _looks(codes, thumbnails)
    near = [looks[_star(pairs)] for pairs in near_pairs(codes[looks], thumbnails[looks])]
    pairs = np.concatenate([*near, alike, np.array(equal, np.int64).reshape(-1, 2)])
    return _components(ids, pairs[pairs[:, 0] != pairs[:, 1]])


def fingerprint(path: Path) -> tuple[int, np.ndarray]:
    """An image's difference hash (64 bits) and its thumbnail, uint8 [192] (8 x 8 RGB).

    Raises:
        UserError: the file is no image that can be read.
    """
    from PIL import Image

    from vlkd_steps.core import image_file

    small = image_file.read(path, near=128)
    grey = np.asarray(small.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    thumbnail = np.asarray(small.resize((8, 8), Image.Resampling.BOX)).ravel()
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big"), thumbnail


def _looks(codes: np.ndarray, thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image of each distinct look, int64 [L], and pairs of it with the others of this look, int64 [P, 2].

    Thousands of copies, such as a web site's "image not available", are then compared with others only once.
    """
    both = np.concatenate([codes[:, None].view(np.uint8), thumbnails], axis=1)
    _, looks, look = np.unique(both, axis=0, return_index=True, return_inverse=True)
    known = np.flatnonzero(_structured(codes))
    return looks, np.stack([looks[look.ravel()[known]], known], axis=1)


def _structured(codes: np.ndarray) -> np.ndarray:
    ones = np.bitwise_count(codes)
    return (ones >= STRUCTURE) & (ones <= 64 - STRUCTURE)


def near_pairs(codes: np.ndarray, thumbnails: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of near images, int64 [P, 2], by number, some at a time and some repeatedly.

    Hashes that differ in at most `BITS` bits agree in one of `BITS` + 1 bands of bits, so only images that share a
    band are compared.

    Args:
        codes: uint64 [N].
        thumbnails: uint8 [N, 192].
    """
    usable = np.flatnonzero(_structured(codes))
    edges = np.linspace(0, 64, BITS + 2).astype(int)
    for low, high in pairwise(edges):
        band = (codes[usable] >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        borders = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(usable[order], borders):
            for start in range(0, len(bucket) - 1, 1024):  # in blocks: a bucket may be large
                yield _near(bucket[start : start + 1024], bucket[start:], codes, thumbnails)


def _near(some: np.ndarray, others: np.ndarray, codes: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(np.bitwise_count(codes[some][:, None] ^ codes[others][None, :]) <= BITS)
    a, b = np.minimum(some[rows], others[columns]), np.maximum(some[rows], others[columns])
    a, b = a[a != b], b[a != b]
    alike = [
        np.abs(thumbnails[a[n : n + 4096]].astype(np.int16) - thumbnails[b[n : n + 4096]]).max(axis=1) <= COLOUR
        for n in range(0, len(a), 4096)
    ]
    kept = np.concatenate(alike) if alike else np.zeros(0, bool)
    return np.stack([a[kept], b[kept]], axis=1)


def _star(pairs: np.ndarray) -> np.ndarray:
    """As few pairs as connect the same images, [I, 2]: each image of `pairs` with the first one of its group."""
    images, ends = np.unique(pairs, return_inverse=True)
    if not len(images):
        return pairs
    _, firsts, group = np.unique(_connected(ends.reshape(-1, 2), len(images)), return_index=True, return_inverse=True)
    return np.stack([images[firsts[group]], images], axis=1)


def _connected(pairs: np.ndarray, number: int) -> np.ndarray:
    """The number of each image's group, [number]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(number, number))
    groups_of: np.ndarray = connected_components(graph, directed=False)[1]
    return groups_of


def _components(ids: Sequence[str], pairs: np.ndarray) -> Groups:
    component = _connected(pairs, len(ids)) if len(pairs) else np.zeros(0)
    number_of: dict[int, int] = {}
    return {ids[n]: number_of.setdefault(int(component[n]), len(number_of)) for n in np.unique(pairs)}
