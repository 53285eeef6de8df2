"""A finished run's student as an MLflow model, by reference: the weights stay in the run's folder.

`vlkd_steps.inference.mlflow_student` loads it. Its signature is the same for all tasks; the example is the data set's
first item. Never imports torch.
"""

import functools
import importlib.metadata
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from vlkd_steps.core import files, layout
from vlkd_steps.tracking.records import Record

NAME = "student"
LOADER = "vlkd_steps.inference.mlflow_student"
REFERENCE = "run.json"


def has(record: Record) -> bool:
    """Whether a run left a student; a baseline trains none."""
    return (record.folder / "model.safetensors").is_file()


def write(record: Record, folder: Path) -> None:
    """Write the model below an artifact folder.

    Args:
        record: of a run below the current directory, the project's root.
    """
    if not has(record):
        return
    template, made = _template(_example(layout.instances(record.tags.get("dataset", "")))), folder / NAME
    shutil.copytree(template.name, made)
    described = made / "MLmodel"
    text = re.sub(r"(?m)^model_uuid: .*$", f"model_uuid: {files.digest(record.run_key)[:32]}", described.read_text())
    described.write_text(text, encoding="utf-8")
    reference = {"project": str(Path.cwd()), "run": str(record.folder), "run_key": record.run_key}
    (made / "data" / REFERENCE).write_text(json.dumps(reference), encoding="utf-8")


@functools.cache
def _template(example: str) -> "tempfile.TemporaryDirectory[str]":
    """The model of no run, with an example as JSON: MLflow takes 20 ms to write one, and a copy takes 1."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    text, real = DataType.string, DataType.double
    optional = [(text, "text"), (text, "answer"), (Array(text), "choices")]
    asked = Schema([ColSpec(text, "image"), *(ColSpec(kind, name, required=False) for kind, name in optional)])
    signature = ModelSignature(asked, Schema([ColSpec(text, "answer"), ColSpec(real, "probability")]))
    kept = tempfile.TemporaryDirectory()
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / REFERENCE
        reference.write_text("{}")
        mlflow.pyfunc.save_model(
            f"{kept.name}/{NAME}",
            loader_module=LOADER,
            data_path=str(reference),
            signature=signature,
            input_example=pd.DataFrame([json.loads(example)]),
            pip_requirements=[_requirement()],
        )
    for path in (Path(kept.name) / NAME).iterdir():
        path.rename(Path(kept.name) / path.name)
    (Path(kept.name) / NAME).rmdir()
    return kept


def _requirement() -> str:
    try:
        return f"vlkd-steps=={importlib.metadata.version('vlkd-steps')}"
    except importlib.metadata.PackageNotFoundError:
        return "vlkd-steps"


def _example(instances: Path) -> str:
    """The first item of a data set, as JSON; where it is not here, one that shows the form."""
    import polars as pl

    row: dict[str, Any] = {}
    if instances.is_file():
        row = next(iter(pl.scan_parquet(instances).head(1).collect().to_dicts()), {})
    found = {"image": row.get("image_path") or "image.png", "text": row.get("text") or ""}
    return json.dumps(found | ({"choices": row["choices"]} if row.get("choices") else {}))
