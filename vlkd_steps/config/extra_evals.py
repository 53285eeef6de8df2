"""What a run is asked once it is trained: its data set's evaluation sets and, by a preset's ``asks``, other sets.

A job's ``dataset`` is ``{name, task, evaluation_sets, asks?}``; ``asks`` are what `models.extra_evals` explains.
Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlkd_steps.core import components, files, layout
from vlkd_steps.core.fingerprint import fingerprint
from vlkd_steps.core.seeds import position

if TYPE_CHECKING:
    import polars as pl

ITEMS = ("dataset", "task", "set")  # of an ask: which items; its other keys say how they are asked


@dataclass(frozen=True)
class Ask:
    """One evaluation set as a run is asked it.

    Attributes:
        name: of the ask, or of the data set's own evaluation set.
        dataset, task, evaluation_set: whose items these are.
        how: the ask's other keys; empty for a data set's own set.
    """

    name: str
    dataset: str
    task: str
    evaluation_set: str
    how: Mapping[str, Any]

    def ids(self) -> "pl.DataFrame":
        """The column ``instance_id``, in the order of the split."""
        import polars as pl  # here, since who only asks for names is to start fast

        rows = pl.read_parquet(layout.eval_split(self.dataset, self.evaluation_set), columns=["instance_id"])
        if not self.how.get("images"):
            return rows
        table = pl.read_parquet(layout.instances(self.dataset), columns=["instance_id", "image_id"])
        rows = rows.join(table, on="instance_id", how="left", maintain_order="left")
        chosen = sorted(rows["image_id"].unique().to_list(), key=lambda image: position(image, "asked"))
        return rows.filter(pl.col("image_id").is_in(chosen[: self.how["images"]])).select("instance_id")


def sets(dataset: Mapping[str, Any]) -> list[Ask]:
    """The evaluation sets of a job's ``dataset``: its own, then those of other data sets that it is asked.

    Of these come first the ones that lead (``lead: true``): what tables, the page and its gallery begin with.
    """
    own = [Ask(name, dataset["name"], dataset["task"], name, {}) for name in dataset["evaluation_sets"]]
    asks = {name: ask for name, ask in (dataset.get("asks") or {}).items() if "measure" not in ask}
    order = sorted(asks.items(), key=lambda named: not named[1].get("lead"))
    how = {name: {key: value for key, value in ask.items() if key not in ITEMS} for name, ask in order}
    return own + [Ask(name, ask["dataset"], ask["task"], ask["set"], how[name]) for name, ask in order]


def measures(dataset: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The measures of a job's ``dataset`` by name."""
    return {name: ask for name, ask in (dataset.get("asks") or {}).items() if "measure" in ask}


def tasks_of(dataset: Mapping[str, Any]) -> list[str]:
    """The tasks of all that runs on a job's ``dataset`` are trained and evaluated on, its own first."""
    asks = (dataset.get("asks") or {}).values()
    return list(dict.fromkeys([dataset["task"], *(ask["task"] for ask in asks if "task" in ask)]))


def identity(ask: Mapping[str, Any], split: str | None) -> str:
    """A hash of all that answers depend on beside the model: the set's ids (sha256), own files, how it is asked, and
    the code of its items' task."""
    asked = {key: value for key, value in ask.items() if key != "lead"}
    code = fingerprint(components.module_name("task", ask["task"])) if "task" in ask else None
    return files.digest([split, {str(path): files.sha256(path) for path in own_files(ask)}, asked, code])


def own_files(ask: Mapping[str, Any]) -> list[Path]:
    """What a measure reads of the user's, as far as it is there."""
    return sorted(path for path in Path(ask["folder"]).rglob("*") if path.is_file()) if ask.get("folder") else []


def of_run(run_folder: Path, name: str, dataset: Mapping[str, Any]) -> Path:
    """Where the predictions of a set, or a measure, of a run lie."""
    found = layout.predictions(run_folder, name)
    return found.with_suffix(".json") if name in measures(dataset) else found


def asked_of(c: Mapping[str, Any], dataset: str) -> dict[str, dict[str, Any]]:
    """The asks of the composition `c` for runs on a data set, with their items' task and training split."""
    found = {}
    for name, ask in ((c.get("asks") or {}).get(dataset) or {}).items():
        of = c["datasets"].get(ask.get("dataset")) or {}
        train = (of.get("roles") or {}).get("train", {}).get("split")
        found[name] = {**ask, **({"task": of["task"], "train": train} if of else {})}
    return found


def splits(c: Mapping[str, Any], dataset: str) -> list[tuple[str, str]]:
    """The (data set, evaluation set) that runs on `dataset` are asked beside its own, each once."""
    asks = asked_of(c, dataset).values()
    return list(dict.fromkeys((ask["dataset"], ask["set"]) for ask in asks if ask.get("dataset")))
