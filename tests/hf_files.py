"""Parquet files as Hugging Face's `datasets` writes them, for tests."""

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(number: int) -> bytes:
    """Noise that differs for every number: equal images would count as leaks."""
    stream = io.BytesIO()
    Image.frombytes("RGB", (8, 8), Random(f"hf/{number}").randbytes(8 * 8 * 3)).save(stream, "PNG")
    return stream.getvalue()


def image(number: int) -> dict[str, Any]:
    return {"bytes": png(number), "path": f"{number}.png"}


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None, **more: Any) -> Path:
    """A file whose column ``image`` is one of images, with what `datasets` records of the others."""
    arrays = {name: pa.array(values, IMAGE if name == "image" else None) for name, values in columns.items()}
    table = pa.table({**arrays, **more})
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)
    return path


def questions(path: Path, numbers: range, **more: Any) -> Path:
    """One question an image, answered by one person: red of even numbers, blue of odd ones."""
    columns = {
        "image": [image(n) for n in numbers],
        "question": [f"What colour is thing {n}?" for n in numbers],
        "answers": [["red" if n % 2 == 0 else "blue"] for n in numbers],
    }
    return write(path, columns | more)
