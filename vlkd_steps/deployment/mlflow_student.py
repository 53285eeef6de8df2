"""The student of a finished run as MLflow loads it: ``mlflow.pyfunc.load_model("runs:/<run id>/student")``.

The model in MLflow names its run; the weights are read from the run's folder, in the current directory if that is a
project with this run, or else in the project that tracked it.
"""

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vlkd_steps.config import composition
from vlkd_steps.core import files, layout, run_yaml
from vlkd_steps.core.errors import UserError
from vlkd_steps.deployment import finished_run
from vlkd_steps.deployment.finished_run import Query

if TYPE_CHECKING:
    import pandas as pd

_IN_PROJECT = threading.Lock()  # all threads share the current directory


class Student:
    """MLflow's model: a finished run that answers one row at a time.

    Args:
        project: its root; folder: that of the run, relative to it.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.project = project
        with _IN_PROJECT, contextlib.chdir(project):
            composition.use_plugins()
            self.run = finished_run.load(folder)

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """The best answer of each row with its probability.

        Args:
            model_input: ``image``, a file, absolute or from the project's root; ``text``, the question or hypothesis;
                ``choices``, the texts to choose from; ``answer``, for VCR, the answer whose rationale is wanted.

        Raises:
            UserError: as `FinishedRun.answers`.
        """
        import pandas as pd

        with _IN_PROJECT, contextlib.chdir(self.project):
            best = [self.run.answers(_query(row), best=1)[0] for row in model_input.to_dict("records")]
        found = {"answer": [each.text for each in best], "probability": [each.probability for each in best]}
        return pd.DataFrame(found, index=model_input.index)


def _query(row: dict[Any, Any]) -> Query:
    text, answer, choices = (row.get(name) for name in ("text", "answer", "choices"))
    return Query(
        Path(row["image"]),
        text if isinstance(text, str) else "",
        () if choices is None or isinstance(choices, float) else tuple(choices),  # a missing cell is NaN
        answer if isinstance(answer, str) else "",
    )


def _load_pyfunc(data_path: str) -> Student:
    """MLflow's entry point.

    Raises:
        UserError: the run's folder is not here, or has another run now.
    """
    reference = files.read_json(Path(data_path), "log the run again: vlkd track")
    folder, key = Path(reference["run"]), reference["run_key"]
    projects = [Path.cwd(), Path(reference["project"])]
    for project in projects:
        if _key(project / folder) == key:
            return Student(project, folder)
    raise UserError(
        f"the run {key} is not in {projects[1] / folder}, nor in {folder} from here; go to the project that has it, or "
        "restore it: dvc pull"
    )


def _key(folder: Path) -> str | None:
    """The key of the run in a folder; None: there is none, or its config.yaml is damaged."""
    try:
        described = run_yaml.parse(layout.run_config(folder).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return str(described["run_key"]) if isinstance(described, dict) and "run_key" in described else None
