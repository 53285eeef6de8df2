"""A training run of a classifying student, from its seed to its predictions."""

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from vlkd_steps.config import targets
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import artifacts, components, distributed, hardware, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import token_budget
from vlkd_steps.data.batches import Batch, Encoded, order
from vlkd_steps.data.items import Items, read_items
from vlkd_steps.engine import loop
from vlkd_steps.methods import objective
from vlkd_steps.runs import predict, vocabulary_fit
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.runs.seeds import RunSeed
from vlkd_steps.students.seen_patches import PatchSight, plugged_width
from vlkd_steps.students.seen_regions import RegionSight
from vlkd_steps.teachers.features.pair import open_stores
from vlkd_steps.teachers.targets import target_file


def prepare(config: Mapping[str, Any], accelerator: Accelerator) -> RunSeed:
    """The function that trains and predicts one seed of a job (`seeds.train_seeds`)."""
    recipe = Recipe.of(config["training"])
    data = DataSet(config["dataset"]["name"], accelerator.device, plugged(config))

    def run_seed(run: RunDir, stop: StopRequest, context: loop.RunContext) -> None:
        if not distributed.decided(run.trained):
            train(run, recipe, data, accelerator, stop, context)
        answer(run, data, accelerator, stop)

    return run_seed


class DataSet:
    """The splits of a data set as a student reads them; evaluation sets are encoded once for all seeds of a job.

    Args:
        plugged: the feature store whose patches the student reads instead of pixels.
    """

    def __init__(self, name: str, device: torch.device, plugged: Any = None) -> None:
        self.name = name
        self.device = device
        self.plugged = plugged
        self.labels: list[str] = artifacts.labels(name)
        self._evaluation: dict[str, Encoded] = {}

    def training(self, config: Mapping[str, Any], student: Any) -> Encoded:
        """The training split of one seed, on the CPU, before its features are looked up."""
        return self._encode(layout.train_split(self.name, config["shot"], config["seed"]), student)

    def evaluation(self, name: str, student: Any) -> Encoded:
        if name not in self._evaluation:
            self._evaluation[name] = self._encode(layout.eval_split(self.name, name), student).to(self.device)
        return self._evaluation[name]

    def _encode(self, split: Any, student: Any) -> Encoded:
        return self.encode(read_items(artifacts.instances(self.name), split, self.labels), student)

    def encode(self, items: Items, student: Any) -> Encoded:
        """Any of the data set's items, encoded for the student, on the CPU."""
        side = getattr(student, "image_size", 0)  # 0: it reads no pixels
        return Encoded(items, student.tokenizer, student.max_tokens, side, sight=self._sight(student, items))

    def _sight(self, student: Any, items: Items) -> PatchSight | RegionSight | None:
        """The input instead of pixels: a plugged-in teacher's patches, or the student's own regions."""
        if self.plugged is not None:
            return PatchSight(self.plugged, items.image_ids)
        if getattr(student, "sees", "pixels") == "regions":
            return RegionSight.of(student, self.name, items.image_ids)
        return None


def train(
    run: RunDir,
    recipe: Recipe,
    data: DataSet,
    accelerator: Accelerator,
    stop: StopRequest,
    context: loop.RunContext,
) -> None:
    """Train one seed and save its weights in the work folder, without the objective's projections."""
    config, seed = run.config, run.config["seed"]
    built_as = dict(config["student"])
    if data.plugged is not None:
        built_as["visual_width"] = plugged_width(data.plugged, config["teacher"]["name"])
    student = architecture(config).build(built_as, config["dataset"]["task"], data.labels, seed)
    hardware.adapt(student, config["training"])
    parameters = sum(p.numel() for p in student.parameters())
    training_set = data.training(config, student)
    vocabulary_fit.warn(student.tokenizer, training_set.segments, config["student"]["name"], context.label)
    model = distillation(config, student, training_set, recipe, seed)
    training_set.to(accelerator.device)
    by_tokens = None
    if recipe.tokens_per_batch:
        by_tokens = token_budget.of(training_set, recipe.tokens_per_batch, seed, distributed.count())
    numbered = by_tokens or order(len(training_set), recipe.batch_size, seed)
    epoch = by_tokens.batches if by_tokens else len(training_set) / recipe.batch_size

    def evaluate() -> dict[str, float]:
        return {"accuracy": predict.accuracy(model.student, data.evaluation("dev", student), accelerator)}

    def make(number: int) -> Batch:
        return training_set.batch(numbered(number)[distributed.share()])

    loop.train(
        model,
        lambda numbers: training_set.batches(make, numbers, accelerator.device),
        recipe,
        context,
        seed,
        accelerator,
        stop,
        evaluate=evaluate if "dev" in run.sets else None,
        epoch_steps=epoch / recipe.accumulation,
    )
    if distributed.is_main():
        architecture(config).save(student, run.model)
        run.describe(
            student_parameters=parameters, precision=hardware.precision(accelerator), train_items=len(training_set)
        )
    distributed.wait()


def distillation(
    config: Mapping[str, Any], student: Any, training_set: Encoded, recipe: Recipe, seed: int
) -> objective.Distillation:
    """The student with its method's objective, whose tensors are added as ``training_set.extra``."""
    method = objective.create(config["method"], recipe.steps)
    needs_teacher = declaration(config["method"]["name"]).needs_teacher(method.settings)
    store = features(config) if needs_teacher else None
    path = targets.of_run(config, seed)
    found = target_file.read(path, layout.targets_checksums(path), training_set.items.ids) if path else None
    training_set.extra = method.prepare(training_set, store, seed, found)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "projections"))
        method.project(student.width, training_set.extra)
    return objective.Distillation(student, method, recipe.adversarial)


def features(config: Mapping[str, Any]) -> Any:
    """The features of the run's teacher or teachers.

    Raises:
        UserError: the variant names no teacher.
    """
    if not config.get("teacher"):
        raise UserError(f"variant {config['variant']}: method {config['method']['name']} needs a teacher; name one")
    return open_stores(config["teacher"], config["dataset"]["name"])


def plugged(config: Mapping[str, Any]) -> Any:
    """The features that the student reads instead of pixels, if the method keeps its teacher; else None."""
    return features(config) if declaration(config["method"]["name"]).keeps_teacher else None


def answer(run: RunDir, data: DataSet, accelerator: Accelerator, stop: StopRequest) -> None:
    """Predict every evaluation set that has no predictions yet, with the saved weights."""
    student: nn.Module | None = None
    for name in run.sets:
        if distributed.decided(functools.partial(run.predicted, name)):
            continue
        path = run.predictions(name)
        if distributed.agree(stop):
            stop.raise_if_set()
        if student is None:
            student = architecture(run.config).load(run.model).to(accelerator.device)
        predict.write_predictions(student, data.evaluation(name, student), path, accelerator, stop)
        if distributed.is_main():
            run.finish(path)


def architecture(config: Mapping[str, Any]) -> ModuleType:
    """The module of the student's kind, with `build`, `save` and `load`."""
    return components.load("student", config["student"]["kind"])
