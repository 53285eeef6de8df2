"""Region features written in the official formats: UNITER's npz and LMDB, and the bottom-up-attention TSV."""

import base64
import io
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import numpy as np

DIM = 5


def features(seed: int, regions: int = 12, sure: int = 11) -> dict[str, np.ndarray]:
    """What an official file holds of one image, with `sure` regions of confidence above 0.2."""
    generator = np.random.default_rng(seed)
    corners = np.sort(generator.random((regions, 2, 2), np.float32), axis=1).reshape(regions, 4)
    sides = corners[:, 2:] - corners[:, :2]
    confidence = np.where(np.arange(regions) < sure, 0.9, 0.1).astype(np.float32)
    return {
        "features": generator.normal(size=(regions, DIM)).astype(np.float32),
        "norm_bb": np.concatenate([corners, sides], axis=1).astype(np.float32),
        "conf": confidence,
        "soft_labels": generator.random((regions, 3), np.float32),
    }


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """As the official `dumps_npz` writes them, its stray ``allow_pickle`` array included."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: half(a) for name, a in arrays.items()}, allow_pickle=np.array(True))
    return stream.getvalue()


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """msgpack with arrays as msgpack_numpy 0.4 writes them."""

    def spelled(array: np.ndarray) -> dict[bytes, Any]:
        return {
            b"nd": True,
            b"type": array.dtype.str,
            b"kind": b"",
            b"shape": array.shape,
            b"data": array.tobytes(),
        }

    fields = {name: spelled(half(array)) for name, array in arrays.items()}
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return packed


def half(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16)


def write_lmdb(folder: Path, values: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        for name, value in values.items():
            transaction.put(name.encode(), value)


def tsv_line(image_id: int, arrays: dict[str, np.ndarray], width: int, height: int) -> bytes:
    boxes = arrays["norm_bb"][:, :4] * np.array([width, height, width, height], np.float32)
    coded = [base64.b64encode(a.astype("<f4").tobytes()) for a in (boxes, arrays["features"])]
    numbers = [image_id, width, height, len(boxes)]
    return b"\t".join([*(str(number).encode() for number in numbers), *coded]) + b"\n"
