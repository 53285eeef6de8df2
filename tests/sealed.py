"""The checksums that steps leave beside their outputs, for files that a test has written or changed by hand."""

from pathlib import Path

import polars as pl

from vlkd_steps.core import artifacts, checksums, files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import instances


def seal() -> None:
    """Record whatever lies below the current folder as finished and whole."""
    for path in Path("data/instances").glob("*.parquet"):
        labels = layout.labels(path.stem)
        checksums.write(layout.instances_checksums(path.stem), [path, *([labels] if labels.exists() else [])])
    for path in Path("data/splits").glob("*/*.parquet"):
        _seal_split(path)
    for predictions in Path("runs").rglob("predictions"):
        if predictions.parent.parent.name != "work":
            _seal_run(predictions.parent)


def _seal_split(path: Path) -> None:
    ids = pl.read_parquet(path, columns=["instance_id"])["instance_id"].to_list()
    files.write_json(
        layout.split_manifest(path), {"sha256": artifacts.ids_hash(ids), "n": len(ids), **cut_from(path.parent.name)}
    )


def cut_from(dataset: str) -> dict[str, str | None]:
    """What a split's manifest records of its instances."""
    path = layout.instances(dataset)
    try:
        source, pixels = instances.content_hash(path), instances.images_hash(path)
    except (UserError, OSError):
        source = pixels = None  # instances that `prepare` did not write
    return {"source": source, "pixels": pixels, "instances": checksums.of(path) if path.exists() else None}


def _seal_run(folder: Path) -> None:
    of = {
        "distill": [folder / "model.safetensors", layout.run_config(folder), *(folder / "predictions").iterdir()],
        "evaluate": [layout.metrics(folder), *(folder / "scores").glob("*")],
    }
    for phase, paths in of.items():
        checksums.write(layout.run_checksums(folder, phase), [path for path in paths if path.is_file()])
