"""Synthetic run folders, as `distill` and `evaluate` leave them."""

import json
import math
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from sealed import seal

from vlkd_steps.core import files, layout
from vlkd_steps.tracking import mlflow_environment, mlflow_sync
from vlkd_steps.tracking.journal import Journal, next_attempt
from vlkd_steps.tracking.records import MEAN_OVER

if TYPE_CHECKING:
    from mlflow.entities import Run

SETS = ("dev", "test", "unseen_pairs", "other_style")
QUESTION_TYPES = ("what colour is", "how many", "is there a", "what shape is the")
LEVELS = {"finetune": 43.0, "naive_kd": 46.0, "clip_td": 53.0, "bart": 33.0, "vlkd": 54.0}

CLIP_TD = "clip_td 300 s10 scenes_vqa"
"""What the run of the default arguments is called in MLflow."""

MakeRun = Callable[..., Path]
Tracked = Callable[..., dict[str, Any]]


def synthetic_run(
    experiment: str = "scenes",
    dataset: str = "scenes_vqa",
    variant: str = "clip_td",
    shot: int = 300,
    seed: int = 10,
    *,
    run_key: str | None = None,
    steps: int = 100,
    every: int = 10,
    end: str | None = "FINISHED",
    evaluated: bool = True,
    extra_params: int = 0,
    extra_metrics: Sequence[str] = (),
    gpus: int = 0,
    allocation: Mapping[str, str] | None = None,
) -> Path:
    """Write one run folder below the current directory and return it."""
    folder = layout.run(experiment, dataset, "vilt_scenes", variant, shot, seed)
    key = run_key or files.digest(str(folder))[:16]
    chance = random.Random(f"{dataset} {variant} {shot} {seed}")
    level = LEVELS[variant] + 8 * math.log10(shot / 300) + chance.gauss(0, 1.5) + (14 if "_ve" in dataset else 0)
    with Journal(layout.journal(folder)) as log:
        log.append(
            "start",
            run_key=key,
            attempt=next_attempt(layout.journal(folder), key),
            allocation={"processes": 1, "nodes": 1, "cpus": 2, "gpus": gpus, "memory_mib": 4000},
            tags={
                "experiment": experiment, "dataset": dataset, "student": "vilt_scenes", "method": variant,
                "teacher": None if variant == "finetune" else "clip_scenes", "variant": variant, "shot": shot,
                "seed": seed, "git_commit": "0" * 40, "split_hash": files.digest([dataset, shot, seed])[:16],
                "feature_key": files.digest(dataset)[:16], "device": "cpu", **(allocation or {}),
            },
            params={
                "method": {"name": variant, "lambda0": 10.0, "distance": "l1"},
                "student": {"name": "vilt_scenes", "width": 64, "layers": 2},
                "training": {"steps": steps, "batch_size": 32, "learning_rate": 1e-3, "betas": [0.9, 0.98]},
                "dataset": {"name": dataset, "evaluation_sets": list(SETS)}, "shot": str(shot), "seed": seed,
                "extra": {f"option_{i}": i for i in range(extra_params)},
            },
            datasets=[
                {"name": f"{dataset} train-{shot}", "digest": files.digest([shot, seed]), "context": "training"},
                {"name": f"{dataset} test", "digest": files.digest("test"), "context": "evaluation"},
            ],
        )  # fmt: skip
        for step in range(every, steps + 1, every):
            done = step / steps
            losses = {"loss": 3 / (1 + 5 * done), "loss/task": 2 / (1 + 5 * done), "learning_rate": 1e-3 * (1 - done)}
            if variant != "finetune":
                losses |= {"loss/image": 0.7 - 0.3 * done, "loss/joint": 0.6 - 0.3 * done}
            losses |= dict.fromkeys(extra_metrics, done)
            log.append("metrics", step=step, epoch=round(done * 5, 2), metrics=losses)
            if step % (5 * every) == 0:
                log.append("evaluation", step=step, set="dev", metrics={"accuracy": level * (0.6 + 0.4 * done)})
        if end is not None:
            log.append("end", status=end, seconds=11.4, cpu_seconds=17.1, peak_mib=780.2)
    if end == "FINISHED":
        files.write_text(layout.run_config(folder), f"method: {variant}\nrun_key: '{key}'\nseed: {seed}\n")
        ids = [f"q{i}" for i in range(60)]
        for name in SETS:
            answers = {"instance_id": ids, "prediction": [i % 3 for i in range(60)],
                       "answer": [("red", "two", "yes")[i % 3] for i in range(60)],
                       "probability": [0.5 + i / 200 for i in range(60)]}  # fmt: skip
            path = layout.predictions(folder, name)
            path.parent.mkdir(exist_ok=True)
            pl.DataFrame(answers).write_parquet(path)
        if evaluated:
            shift = {"dev": 0.0, "test": -0.4, "unseen_pairs": -9.0, "other_style": -15.0}
            results = {
                name: {"accuracy": round(level + shift[name], 2), "n": 4000, "images": 1000}
                | {"by_question_type": {kind: round(level + 3 * i, 2) for i, kind in enumerate(QUESTION_TYPES)}}
                for name in SETS
            }
            files.write_json(layout.metrics(folder), results)
    return folder


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRun:
    """Writes synthetic run folders into an empty project root, which is the current directory."""
    monkeypatch.chdir(tmp_path)
    return synthetic_run


@pytest.fixture
def make_instances(make_run: MakeRun) -> Callable[[str], None]:
    """Writes the instances that the synthetic predictions answer."""
    return synthetic_instances


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite file with MLflow's schema and nothing else: making one takes seconds, copying it none."""
    mlflow_environment.set_defaults()
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("schema") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a fresh sqlite file, whatever the environment says."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def tracked() -> Callable[..., dict[str, "Run"]]:
    """Reads what MLflow holds of an experiment: run name -> run, active ones only; or the parents of these."""

    def read(uri: str, experiment: str = "scenes", *, parents: bool = False) -> dict[str, "Run"]:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id], max_results=1000) if found else []
        runs = [run for run in runs if (MEAN_OVER in run.data.tags) == parents]
        names = [run.info.run_name for run in runs]
        assert len(set(names)) == len(names), "a run is there twice"
        return dict(zip(names, runs, strict=True))

    return read


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def history(uri: str, run: Any, metric: str) -> list[tuple[int, float]]:
    return sorted((each.step, each.value) for each in client(uri).get_metric_history(run.info.run_id, metric))


def everything(uri: str, runs: dict[str, Any]) -> Any:
    """All that MLflow holds of the runs, but for the random ids."""
    return {
        name: (
            run.info.status, run.info.start_time, run.info.end_time, run.data.params,
            {tag: value for tag, value in run.data.tags.items() if tag not in ("mlflow.runId", mlflow_sync.PARENT)},
            {metric: history(uri, run, metric) for metric in run.data.metrics},
            sorted((item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs),
            sorted(item.path for item in client(uri).list_artifacts(run.info.run_id)),
        )
        for name, run in runs.items()
    }  # fmt: skip


@pytest.fixture
def subprocess_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes find this package from any folder."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def synthetic_instances(dataset: str) -> None:
    """Instances and labels that fit the synthetic predictions."""
    path = layout.instances(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(100)
    rows = {
        "instance_id": [f"q{i}" for i in numbers],
        "image_path": [f"data/raw/scenes/{i}.png" for i in numbers],
        "text": [f"What is in picture {i}?" for i in numbers],
        "label": [None if i == 7 else i % 3 for i in numbers],
    }
    pl.DataFrame(rows).write_parquet(path)
    layout.labels(dataset).write_text(json.dumps(["red", "two", "yes"]))
    seal()
