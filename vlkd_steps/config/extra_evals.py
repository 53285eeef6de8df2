"""The evaluations of a trained run: its data set's evaluation sets, and a preset's ``extra_evals``.

A job's ``dataset`` is ``{name, task, evaluation_sets, train?, extra_evals?}``; ``train`` is the training split where it
is not called so, and `models.extra_evals` documents the last. Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlkd_steps.core import artifacts, components, files, folders, layout, tables
from vlkd_steps.core.fingerprint import fingerprint
from vlkd_steps.core.seeds import position

if TYPE_CHECKING:
    import polars as pl

ITEMS = ("dataset", "task", "set")  # keys that choose the items; the others say how to evaluate them


@dataclass(frozen=True)
class Evaluation:
    """One evaluation set that a run is evaluated on.

    Attributes:
        name: of the extra evaluation, or of the data set's own evaluation set.
        dataset, task, evaluation_set: whose items these are.
        how: the other keys of the extra evaluation; for a data set's own set, its training split at most.
    """

    name: str
    dataset: str
    task: str
    evaluation_set: str
    how: Mapping[str, Any]

    def ids(self) -> "pl.DataFrame":
        """The column ``instance_id``, in the order of the split."""
        import polars as pl  # here, so that reading names alone starts fast

        rows = pl.DataFrame({"instance_id": artifacts.split_ids(layout.eval_split(self.dataset, self.evaluation_set))})
        if not self.how.get("images"):
            return rows
        table = tables.read(artifacts.instances(self.dataset), columns=["instance_id", "image_id"])
        rows = rows.join(table, on="instance_id", how="left", maintain_order="left")
        chosen = sorted(rows["image_id"].unique().to_list(), key=lambda image: position(image, "asked"))
        return rows.filter(pl.col("image_id").is_in(chosen[: self.how["images"]])).select("instance_id")


def sets(dataset: Mapping[str, Any]) -> list[Evaluation]:
    """The evaluation sets of a job's ``dataset``: its own, then those of its extra evaluations.

    Of the latter, those with ``lead: true`` come first, as in tables, on the page and in its gallery.
    """
    trained = {"train": dataset["train"]} if "train" in dataset else {}
    own = [Evaluation(name, dataset["name"], dataset["task"], name, trained) for name in dataset["evaluation_sets"]]
    extra = {name: conf for name, conf in (dataset.get("extra_evals") or {}).items() if "measure" not in conf}
    order = sorted(extra.items(), key=lambda named: not named[1].get("lead"))
    how = {name: {key: value for key, value in conf.items() if key not in ITEMS} for name, conf in order}
    return own + [Evaluation(name, conf["dataset"], conf["task"], conf["set"], how[name]) for name, conf in order]


def measures(dataset: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The measures of a job's ``dataset`` by name."""
    return {name: conf for name, conf in (dataset.get("extra_evals") or {}).items() if "measure" in conf}


def tasks_of(dataset: Mapping[str, Any]) -> list[str]:
    """The tasks that runs on a job's ``dataset`` are trained and evaluated on, its own first."""
    extra = (dataset.get("extra_evals") or {}).values()
    return list(dict.fromkeys([dataset["task"], *(conf["task"] for conf in extra if "task" in conf)]))


def identity(evaluation: Mapping[str, Any], split: Mapping[str, Any] | None) -> str:
    """A hash of all that predictions depend on beside the model: the items, own files, settings, and the code of the
    items' task.

    Args:
        split: the manifest of the evaluation set's split; None for a measure.
    """
    items = [split.get(key) for key in ("sha256", "source", "pixels")] if split else None
    settings = {key: value for key, value in evaluation.items() if key != "lead"}
    code = fingerprint(components.module_name("task", evaluation["task"])) if "task" in evaluation else None
    return files.digest([items, {str(path): files.sha256(path) for path in own_files(evaluation)}, settings, code])


def own_files(evaluation: Mapping[str, Any]) -> list[Path]:
    """The user's files that a measure reads, as far as they exist."""
    return folders.files_below(Path(evaluation["folder"])) if evaluation.get("folder") else []


def of_run(run_folder: Path, name: str, dataset: Mapping[str, Any]) -> Path:
    """The path of the predictions of a set, or of a measure, of a run."""
    found = layout.predictions(run_folder, name)
    return found.with_suffix(".json") if name in measures(dataset) else found
