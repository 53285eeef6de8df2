"""The paths of all artifacts, relative to the project's root.

The rules in `workflow/` and the steps in this package both use this module, so they cannot disagree. Every name is
checked here (`inside.name`): whatever a configuration calls itself, its files stay in their folder.
"""

from pathlib import Path

from vlkd_steps.core.inside import name as _part

NAME = r"[A-Za-z0-9_]{1,100}"
"""What an experiment, a data set, a model may be called: names are parts of paths."""

RAW = Path("data/raw")
RAW_MANIFEST = "manifest.json"


def raw(source: str) -> Path:
    """What `download` wrote for a source (several data sets may share one)."""
    return RAW / _part(source)


def raw_manifest(source: str) -> Path:
    """sha256 of every raw file: written last, so its presence says that the download is whole."""
    return raw(source) / RAW_MANIFEST


def arriving(source: str) -> Path:
    """Where the files of a source arrive; kept until the raw folder is whole."""
    return RAW / ".downloads" / _part(source)


INCOMING = Path("data/incoming")


def checksums(source: str) -> Path:
    """sha256 by address of the files without a published checksum, as their first download recorded them."""
    return Path("data/checksums") / f"{_part(source)}.json"


def instances(dataset: str) -> Path:
    return Path("data/instances") / f"{_part(dataset)}.parquet"


def labels(dataset: str) -> Path:
    """The classes in order, a JSON list of strings (VQA: the answer vocabulary)."""
    return Path("data/instances") / f"{_part(dataset)}.labels.json"


def instances_checksums(dataset: str) -> Path:
    """The sha256 of the two files above: written last, so its presence says that they are whole."""
    return Path("data/instances") / f"{_part(dataset)}.sha256"


def sample(dataset: str) -> Path:
    """What `vlkd init-data` prepared of a user's data to show them: a few instances, their classes and images."""
    return Path("data/samples") / _part(dataset)


def train_split(dataset: str, shot: str | int, seed: int) -> Path:
    return Path("data/splits") / _part(dataset) / _part(f"train-{shot}-s{seed}.parquet")


def eval_split(dataset: str, evaluation_set: str) -> Path:
    return Path("data/splits") / _part(dataset) / _part(f"eval-{evaluation_set}.parquet")


def split_manifest(split: Path) -> Path:
    return split.with_suffix(".json")


def features(teacher: str, dataset: str) -> Path:
    return Path("features") / _part(teacher) / _part(dataset)


def features_manifest(teacher: str, dataset: str) -> Path:
    return features(teacher, dataset) / "manifest.json"


def extraction_round(features_folder: Path, name: str) -> Path:
    """What the workers of one extraction note beside the shards, until the store is finished."""
    return features_folder / f".round-{name}"


def targets(dataset: str, teacher: str, shot: str | int, seed: int | str, key: str) -> Path:
    """The selected words and the weights of a training split; of two teachers by their joint name."""
    parts = map(_part, (dataset, teacher, str(shot), f"s{seed}", f"{key}.parquet"))
    return Path("targets").joinpath(*parts)


def targets_checksums(targets: Path) -> Path:
    """The sha256 of that file: written last."""
    return targets.with_suffix(".sha256")


def targets_provenance(targets: Path) -> Path:
    """Code, versions, machine and cost of a file of `targets`."""
    return targets.with_suffix(".json")


def model(name: str) -> Path:
    """A folder of pre-trained weights that `pretrain` made (teacher or student)."""
    return Path("models") / _part(name)


def model_weights(name: str) -> Path:
    return model(name) / "model.safetensors"


def model_config(name: str) -> Path:
    """What a pre-trained model was made of, as a run's config.yaml has it."""
    return model(name) / "config.yaml"


MODEL_CHECKSUMS = "pretrain.sha256"


def model_checksums(name: str) -> Path:
    """The sha256 of all files of a pre-trained model: written last."""
    return model(name) / MODEL_CHECKSUMS


def runs(experiment: str) -> Path:
    """Every run of an experiment; DVC records this folder whole."""
    return Path("runs") / _part(experiment)


def run(experiment: str, dataset: str, student: str, variant: str, shot: str | int, seed: int) -> Path:
    return runs(experiment).joinpath(*map(_part, (dataset, student, variant, str(shot), f"s{seed}")))


def journal(run_folder: Path) -> Path:
    """The run's events, appended while it trains: the source of truth for tracking."""
    return run_folder / "journal.jsonl"


def provenance(run_folder: Path) -> Path:
    """Code, versions, machine and cost of the run: a side-car."""
    return run_folder / "provenance.json"


def run_config(run_folder: Path) -> Path:
    return run_folder / "config.yaml"


def run_folders(experiment: str) -> list[Path]:
    """The runs of an experiment that have begun, sorted by path."""
    return sorted(path.parent for path in runs(experiment).glob("*/*/*/*/s*/journal.jsonl"))


def predictions(run_folder: Path, evaluation_set: str) -> Path:
    return run_folder / "predictions" / _part(f"{evaluation_set}.parquet")


def scores(run_folder: Path, evaluation_set: str) -> Path:
    """The official metric of every single instance, from which intervals are computed."""
    return run_folder / "scores" / _part(f"{evaluation_set}.parquet")


def run_checksums(run_folder: Path, step: str) -> Path:
    """The sha256 of what `distill`, or `evaluate`, left of a run: written last."""
    return run_folder / f"{_part(step)}.sha256"


def metrics(run_folder: Path) -> Path:
    return run_folder / "metrics.json"


MACHINE = Path(".vlkd")
"""What concerns only this machine, such as locks; neither in git nor in DVC."""


MLFLOW_PAGE = MACHINE / "ui.json"
"""The port on which `vlkd ui` was last open."""


def mlflow_links(experiment: str) -> Path:
    """The script that links a report to runs in MLflow."""
    return MACHINE / f"mlflow-{_part(experiment)}.js"


def results(experiment: str) -> Path:
    return Path("results") / _part(experiment)


def results_checksums(experiment: str, step: str) -> Path:
    """The sha256 of what `compare`, or `report`, wrote: written last."""
    return results(experiment) / f"{_part(step)}.sha256"


def headline(experiment: str, dataset: str) -> Path:
    """A data set's result in a few numbers, as `dvc metrics show` prints them."""
    return results(experiment) / "metrics" / f"{_part(dataset)}.json"


def phase_manifest(experiment: str, phase: str) -> Path:
    """What a phase made for an experiment, by hash: the next phase depends on it in `dvc.yaml`."""
    return phase_manifests(experiment) / f"{_part(phase)}.json"


def phase_manifests(experiment: str) -> Path:
    return Path("manifests") / _part(experiment)


def written(experiment: str) -> list[Path]:
    """The folders that an experiment's steps write into, but for raw data, which `download` replaces whole."""
    shared = ("data/checksums", "data/instances", "data/splits", "features", "jobs", "models", "targets")
    return [*map(Path, shared), runs(experiment), results(experiment), phase_manifests(experiment)]


DVC_VARS = Path("dvc_vars.yaml")
"""The lists that the stages of dvc.yaml are repeated for (`graph/dvc_vars.py`)."""


def submission(step: str, *names: str) -> Path:
    """What was submitted to a cluster for an array of jobs, their ids and their logs."""
    return Path("jobs") / _part(step) / "-".join(map(_part, names))
