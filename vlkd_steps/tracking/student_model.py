"""A finished run's student as an MLflow model, by reference: the weights stay in the run's folder.

`vlkd_steps.deployment.mlflow_student` loads it. Its signature is the same for all tasks; the example is the data set's
first item. Never imports torch.
"""

import contextlib
import functools
import importlib.metadata
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from vlkd_steps.config.models.method import declaration
from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.tracking.records import Record

NAME = "student"
LOADER = "vlkd_steps.deployment.mlflow_student"
REFERENCE = "run.json"


class Example(NamedTuple):
    """An item as a query for the student."""

    image: str = "image.png"
    text: str = ""
    choices: tuple[str, ...] = ()


def has(record: Record) -> bool:
    """Whether a run has a student; baselines and probes train none."""
    with contextlib.suppress(UserError):  # a method that is no longer here
        if not declaration(record.tags.get("method", "")).trains:
            return False
    return (record.folder / "model.safetensors").is_file()


def write(record: Record, folder: Path, example: Example) -> None:
    """Write the model below an artifact folder.

    Args:
        record: of a run that `has` a student, below the current directory, the project's root.
    """
    made = folder / NAME
    shutil.copytree(_template(example).name, made)
    described = made / "MLmodel"
    text = re.sub(r"(?m)^model_uuid: .*$", f"model_uuid: {files.digest(record.run_key)[:32]}", described.read_text())
    described.write_text(text, encoding="utf-8")
    reference = {"project": str(Path.cwd()), "run": str(record.folder), "run_key": record.run_key}
    (made / "data" / REFERENCE).write_text(json.dumps(reference), encoding="utf-8")


@functools.cache
def _template(example: Example) -> "tempfile.TemporaryDirectory[str]":
    """A model without a run, with an example: copying it is faster than writing another one."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    text, real = DataType.string, DataType.double
    optional = [ColSpec(text, "text", required=False), ColSpec(text, "answer", required=False)]
    inputs = Schema([ColSpec(text, "image"), *optional, ColSpec(Array(text), "choices", required=False)])
    signature = ModelSignature(inputs, Schema([ColSpec(text, "answer"), ColSpec(real, "probability")]))
    shown = {**example._asdict(), "choices": list(example.choices)}
    template = tempfile.TemporaryDirectory()
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / REFERENCE
        reference.write_text("{}")
        mlflow.pyfunc.save_model(
            f"{template.name}/{NAME}",
            loader_module=LOADER,
            data_path=str(reference),
            signature=signature,
            input_example=pd.DataFrame([{name: value for name, value in shown.items() if value or name != "choices"}]),
            pip_requirements=[_requirement()],
        )
    for path in (Path(template.name) / NAME).iterdir():
        path.rename(Path(template.name) / path.name)
    (Path(template.name) / NAME).rmdir()
    return template


def _requirement() -> str:
    """The package with the extra that torch comes with."""
    try:
        return f"vlkd-steps[pipeline]=={importlib.metadata.version('vlkd-steps')}"
    except importlib.metadata.PackageNotFoundError:
        return "vlkd-steps[pipeline]"
