"""Arrays in npy and npz files, and of unit length. Arrays of objects, which would have to be unpickled, are refused.

A damaged header is a Python literal that no longer parses: numpy raises whatever its parser does.
"""

import functools
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np


def mapped(path: Path) -> np.ndarray:
    """An npy file, memory-mapped.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is damaged.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"no whole npy file: {error}") from error


def single(rows: np.ndarray) -> np.ndarray:
    """Numbers as float32. Half precision is looked up, which takes half the time of numpy's conversion."""
    return _singles().take(rows.view(np.uint16)) if rows.dtype == np.float16 else np.asarray(rows, np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    """Vectors [..., D] with length 1; a vector of zeros stays one."""
    found: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return found


@functools.cache
def _singles() -> np.ndarray:
    """Every number of half precision."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def from_npz(content: bytes, names: Collection[str]) -> dict[str, np.ndarray]:
    """Those of some arrays that an npz file's bytes hold.

    Raises:
        ValueError: it is damaged.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in names if name in stored.files}
    except Exception as error:
        raise ValueError(f"no whole npz: {error}") from error
