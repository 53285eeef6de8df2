"""Arrays in npy and npz files. Arrays of objects, which would have to be unpickled, are refused.

A damaged header is a Python literal that no longer parses: numpy raises whatever its parser does.
"""

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
