"""A training run from its seed to its predictions: student, method, data and teacher put together for the loop.

Several processes (``training.processes``) do all of it side by side, but the first one alone locks and writes.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import components, distributed, files, hardware, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import Interrupted, StopRequest, stop_request
from vlkd_steps.core.seeds import derive
from vlkd_steps.core.step import log
from vlkd_steps.data import token_budget
from vlkd_steps.data.batches import Encoded, Items, order, read_items
from vlkd_steps.engine import loop
from vlkd_steps.methods import objective
from vlkd_steps.runs import predict
from vlkd_steps.runs.run_dir import Workplace
from vlkd_steps.students.seen_patches import PatchSight, plugged_width
from vlkd_steps.students.seen_regions import RegionSight
from vlkd_steps.teachers.features.pair import open_stores
from vlkd_steps.tracking import provenance
from vlkd_steps.tracking.journal import Journal, next_attempt


def train_seeds(config: Mapping[str, Any]) -> int:
    """Train and predict every unfinished seed of a `distill` job, one after the other in this process.

    Returns:
        0, or 128 + the signal's number when told to stop (143 for TERM): the next start goes on from there.
    """
    recipe = Recipe.of(config["training"])
    accelerator = hardware.accelerator(config["training"])
    data = DataSet(config["dataset"]["name"], accelerator.device, plugged(config))
    with stop_request() as stop:
        for seed in config["seeds"]:
            place = Workplace.of(config, seed)
            if distributed.decided(place.finished):
                continue
            try:
                with attempt(place, accelerator) as tell:
                    if not distributed.decided(place.trained):
                        train(place, recipe, data, accelerator, stop, tell)
                    answer(place, data, accelerator, stop)
            except Interrupted as interruption:
                if distributed.is_main():
                    log.info(f"[{label(place.config)}] {interruption}")
                distributed.leave()
                return interruption.exit_status
    distributed.leave()
    return 0


class DataSet:
    """The splits of a data set as a student reads them; evaluation sets are encoded once for all seeds of a job.

    Args:
        plugged: the feature store whose patches the student sees instead of pixels.
    """

    def __init__(self, name: str, device: torch.device, plugged: Any = None) -> None:
        self.name = name
        self.device = device
        self.plugged = plugged
        self.labels: list[str] = json.loads(layout.labels(name).read_text(encoding="utf-8"))
        self._evaluation: dict[str, Encoded] = {}

    def training(self, config: Mapping[str, Any], student: Any) -> Encoded:
        """The training split of one seed, on the CPU: its features are still to be looked up."""
        return self._encode(layout.train_split(self.name, config["shot"], config["seed"]), student)

    def evaluation(self, name: str, student: Any) -> Encoded:
        if name not in self._evaluation:
            self._evaluation[name] = self._encode(layout.eval_split(self.name, name), student).to(self.device)
        return self._evaluation[name]

    def _encode(self, split: Any, student: Any) -> Encoded:
        return self.encode(read_items(layout.instances(self.name), split, self.labels), student)

    def encode(self, items: Items, student: Any) -> Encoded:
        """Any of the data set's items, as the student reads and sees them, on the CPU."""
        side = getattr(student, "image_size", 0)  # of a student that sees pixels
        return Encoded(items, student.tokenizer, student.max_tokens, side, sight=self._sight(student, items))

    def _sight(self, student: Any, items: Items) -> PatchSight | RegionSight | None:
        """What stands for pixels: a plugged-in teacher's patches, or the student's own regions."""
        if self.plugged is not None:
            return PatchSight(self.plugged, items.image_ids)
        if getattr(student, "sees", "pixels") == "regions":
            return RegionSight.of(student, self.name, items.image_ids)
        return None


def train(
    place: Workplace,
    recipe: Recipe,
    data: DataSet,
    accelerator: Accelerator,
    stop: StopRequest,
    tell: loop.Tell,
) -> None:
    """Train one seed and keep its weights in the work folder; the objective's projections are dropped here."""
    config, seed = place.config, place.config["seed"]
    built_as = dict(config["student"])
    if data.plugged is not None:
        built_as["visual_width"] = plugged_width(data.plugged, config["teacher"]["name"])
    student = architecture(config).build(built_as, config["dataset"]["task"], data.labels, seed)
    hardware.adapt(student, config["training"])
    parameters = sum(p.numel() for p in student.parameters())
    training_set = data.training(config, student)
    model = distillation(config, student, training_set, recipe, seed)
    training_set.to(accelerator.device)
    by_tokens = token_budget.of(training_set, recipe.tokens_per_batch, seed) if recipe.tokens_per_batch else None
    numbered = by_tokens or order(len(training_set), recipe.batch_size, seed)
    epoch = by_tokens.batches if by_tokens else len(training_set) / recipe.batch_size

    def evaluate() -> dict[str, float]:
        return {"accuracy": predict.accuracy(model.student, data.evaluation("dev", student), accelerator)}

    loop.train(
        model,
        lambda number: training_set.batch(numbered(number)[distributed.share()]),
        recipe,
        loop.Place(
            checkpoints=place.checkpoints,
            inspection=place.folder / "work" / "nan_batch.safetensors",
            key=place.key,
            label=label(config),
            tell=tell,
        ),
        seed,
        accelerator,
        stop,
        evaluate=evaluate if "dev" in place.sets else None,
        epoch_steps=epoch / recipe.accumulation,
    )
    if distributed.is_main():
        architecture(config).save(student, place.model)
        place.describe(student_parameters=parameters, precision=precision(accelerator), train_items=len(training_set))
    distributed.wait()


def distillation(
    config: Mapping[str, Any], student: Any, training_set: Encoded, recipe: Recipe, seed: int
) -> objective.Distillation:
    """The student with its method's objective, whose tensors now stand in ``training_set.extra``."""
    method = objective.create(config["method"], recipe.steps)
    needs_teacher = declaration(config["method"]["name"]).needs_teacher(method.settings)
    store = features(config) if needs_teacher else None
    training_set.extra = method.prepare(training_set, store, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "projections"))
        method.project(student.width, training_set.extra)
    return objective.Distillation(student, method)


def features(config: Mapping[str, Any]) -> Any:
    """The features of the run's teacher or teachers.

    Raises:
        UserError: the variant names none.
    """
    if not config.get("teacher"):
        raise UserError(f"variant {config['variant']}: method {config['method']['name']} needs a teacher; name one")
    return open_stores(config["teacher"], config["dataset"]["name"])


def plugged(config: Mapping[str, Any]) -> Any:
    """The features that the student sees instead of pixels, where the method keeps its teacher; else None."""
    return features(config) if declaration(config["method"]["name"]).keeps_teacher else None


def answer(place: Workplace, data: DataSet, accelerator: Accelerator, stop: StopRequest) -> None:
    """Predict every evaluation set that has no predictions yet, with the weights as they were kept."""
    student: nn.Module | None = None
    for name in place.sets:
        path = place.predictions(name)
        if distributed.decided(path.is_file):
            continue
        if distributed.agree(stop):
            stop.raise_if_set()
        if student is None:
            student = architecture(place.config).load(place.model).to(accelerator.device)
        predict.write_predictions(student, data.evaluation(name, student), path, accelerator, stop)


@contextlib.contextmanager
def attempt(place: Workplace, accelerator: Accelerator) -> Iterator[loop.Tell]:
    """Hold the run folder and its journal for the length of the block; both are the main process's."""
    with contextlib.ExitStack() as held:
        tell: loop.Tell = loop.unheard
        with distributed.together():
            if distributed.is_main():
                held.enter_context(place.lock())
                tell = held.enter_context(recorded(place, accelerator)).append
        yield tell


@contextlib.contextmanager
def recorded(place: Workplace, accelerator: Accelerator) -> Iterator[Journal]:
    """Journal an attempt from its start to its end, and leave the run's provenance when it ends well."""
    path, meter = layout.journal(place.folder), provenance.Meter()
    used: dict[str, Any] = {
        "device": str(accelerator.device),
        "precision": precision(accelerator),
        "threads": torch.get_num_threads(),
    }
    with Journal(path) as journal:
        journal.append(
            "start", run_key=place.run_key, attempt=next_attempt(path, place.run_key), **facts(place, accelerator)
        )
        try:
            yield journal
        except Interrupted as interruption:
            journal.append("interrupted", reason=str(interruption), **meter.cost())
            raise
        except BaseException:
            journal.append("end", status="FAILED", **meter.cost())
            raise
        cost: dict[str, Any] = meter.cost()
        files.write_json(layout.provenance(place.folder), provenance.collect(**used, **cost))
        journal.append("end", status="FINISHED", **cost)


def facts(place: Workplace, accelerator: Accelerator) -> dict[str, Any]:
    """What the journal's ``start`` tells of a run: tags, parameters, data sets with their digests."""
    config = place.config
    name = config["dataset"]["name"]
    tags = {
        "experiment": config["experiment"],
        "dataset": name,
        "student": config["student"]["name"],
        "teacher": config["teacher"]["name"] if config.get("teacher") else None,
        "method": config["method"]["name"],
        "variant": config["variant"],
        "shot": str(config["shot"]),
        "seed": config["seed"],
        "git_commit": provenance.git()["commit"],
        "split_hash": place.identity["split"],
        "feature_key": (place.identity["features"] or {}).get("key"),
        "device": str(accelerator.device),
        **provenance.tags(str(accelerator.device)),
    }
    datasets = [{"name": f"{name} train-{config['shot']}", "digest": place.identity["split"], "context": "training"}]
    datasets += [{"name": f"{name} {s}", "digest": ids, "context": "evaluation"} for s, ids in place.sets.items()]
    params = {key: config[key] for key in ("student", "method", "teacher", "training") if config.get(key)}
    given = provenance.allocation(str(accelerator.device), torch.get_num_threads())
    return {"tags": tags, "params": params, "datasets": datasets, "allocation": given}


def architecture(config: Mapping[str, Any]) -> ModuleType:
    """The module of the student's kind, with `build`, `save` and `load`."""
    return components.load("student", config["student"]["kind"])


def precision(accelerator: Accelerator) -> str:
    return "bf16" if accelerator.mixed_precision == "bf16" else "fp32"


def label(config: Mapping[str, Any]) -> str:
    """How a run is called in lines of progress."""
    names = config["dataset"]["name"], config["student"]["name"], config["variant"], config["shot"]
    return f"distill {' '.join(map(str, names))} s{config['seed']}"
