"""Images that are nearly the same: copies, recompressed, resized or slightly retouched ones.

Two images are near if their difference hashes (64 comparisons of neighbouring grey cells) differ in at most `BITS`
bits and their 8 x 8 thumbnails by at most `COLOUR` in any channel of any cell. Photos at two thirds of their size
and JPEG quality 40 mostly stay below both (137 COCO photos: 99 % within 5 bits, one at 7; all within 8 of 255). What
has hardly any structure, such as a plain wall, has no hash to be known by: it is near only to an image of the same
bytes. Nearness is transitive here, so images form groups.
"""

import os
from collections.abc import Mapping, Sequence
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
    pairs = near_pairs(codes, thumbnails)
    first: dict[str, int] = {}
    equal = [(first.setdefault(hashes[image_id], n), n) for n, image_id in enumerate(ids) if image_id in hashes]
    pairs = np.concatenate([pairs, np.array([pair for pair in equal if pair[0] != pair[1]], np.int64).reshape(-1, 2)])
    return _components(ids, pairs)


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


def near_pairs(codes: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Pairs of near images, int64 [P, 2], by number.

    Hashes that differ in at most `BITS` bits agree in one of `BITS` + 1 bands of bits, so only images that share a
    band are compared.

    Args:
        codes: uint64 [N].
        thumbnails: uint8 [N, 192].
    """
    ones = np.bitwise_count(codes)
    usable = np.flatnonzero((ones >= STRUCTURE) & (ones <= 64 - STRUCTURE))
    found: list[np.ndarray] = []
    edges = np.linspace(0, 64, BITS + 2).astype(int)
    for low, high in pairwise(edges):
        band = (codes[usable] >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        borders = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(usable[order], borders):
            for start in range(0, len(bucket) - 1, 1024):  # in blocks: a bucket may be large
                found.append(_near(bucket[start : start + 1024], bucket[start:], codes, thumbnails))
    if not found:
        return np.zeros((0, 2), np.int64)
    return np.unique(np.concatenate(found), axis=0)


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


def _components(ids: Sequence[str], pairs: np.ndarray) -> Groups:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return {}
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(ids), len(ids)))
    _, component = connected_components(graph, directed=False)
    number_of: dict[int, int] = {}
    return {ids[n]: number_of.setdefault(int(component[n]), len(number_of)) for n in np.unique(pairs)}
