"""An experiment as it was composed: all that params.yaml and the files of conf/ say of it, validated.

It is made once a start (`vlkd_steps.config.composition`) and read by attribute everywhere; dictionaries are what a job
is given (`vlkd_steps.config.jobs`), made of what was written (`Model.written`).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from vlkd_steps.config.models.base import Learned
from vlkd_steps.config.models.claim import Claim
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.extra_evals import ExtraEval
from vlkd_steps.config.models.method import Settings
from vlkd_steps.config.models.preset import Grid, Params, Preset, Training, Variant
from vlkd_steps.config.models.source import Source
from vlkd_steps.config.models.student import Student
from vlkd_steps.config.models.teacher import Teacher


class Cell(NamedTuple):
    """One `distill` job: a run for each seed of the grid."""

    dataset: str
    student: str
    variant: str
    shot: str


@dataclass(frozen=True)
class Member:
    """What a variant is that a sweep made.

    Attributes:
        variant: the swept variant.
        swept: its own value of each key that was swept.
        written: by dotted key of a variant, the dotted key of the sweep that sets it.
        label: its name for people.
    """

    variant: str
    swept: Mapping[str, Any]
    written: Mapping[str, str]
    label: str


@dataclass(frozen=True)
class Artifacts:
    """What an experiment reads and creates beside its runs, for the graph, `vlkd doctor` and dvc.yaml.

    Attributes:
        source: what is downloaded.
        dataset: the grid's data sets, then the corpora of pre-trainings and the data sets of extra evaluations.
        model: what is pre-trained, also for another one to start from.
        teacher: whose features are extracted, including those of image regions.
    """

    source: list[str]
    dataset: list[str]
    model: list[str]
    teacher: list[str]


@dataclass(frozen=True)
class Composition:
    """A composed experiment.

    Attributes:
        params: params.yaml; `experiment` may be another one than it names.
        preset: with its overrides, and those of params.yaml, but with the grid of its own files.
        grid: every value of any block of `blocks`, which are what is crossed.
        datasets, sources, teachers, students: those that the grid names, and what they name in turn.
        methods: the settings of their files, without what variants change.
        extra_evals: by the data set that runs train on, and by name.
        claims: by name, what the runs are tested for.
        overrides: the preset's and those of params.yaml, each as a tree of keys: what `precedence` reads last.
        members: the variants that sweeps made (`sweeps`).
        note: what the user may not have meant; often empty.
    """

    experiment: str
    params: Params
    preset: Preset
    grid: Grid
    blocks: Sequence[Grid]
    datasets: Mapping[str, Dataset]
    sources: Mapping[str, Source]
    teachers: Mapping[str, Teacher]
    students: Mapping[str, Student]
    methods: Mapping[str, Settings]
    extra_evals: Mapping[str, Mapping[str, ExtraEval]]
    claims: Mapping[str, Claim] = field(default_factory=dict)
    overrides: Sequence[Mapping[str, Any]] = ()
    members: Mapping[str, Member] = field(default_factory=dict)
    note: str = ""

    def label(self, variant: str) -> str:
        """A variant's name for people: a member of a sweep has one that says its values."""
        return self.members[variant].label if variant in self.members else variant

    @property
    def variants(self) -> Mapping[str, Variant]:
        return self.preset.variants

    @property
    def training(self) -> Training:
        """The recipe of all runs, and what differs by shot and by task."""
        return self.preset.training

    def learned(self, model: str) -> Learned:
        """A teacher or student that is pre-trained."""
        return self.teachers[model] if model in self.teachers else self.students[model]

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells of the blocks, each once, in the grid's order."""
        texts = [{key: list(map(str, values)) for key, values in block} for block in (self.grid, *self.blocks)]
        crossed = itertools.starmap(Cell, itertools.product(*(texts[0][key] for key in Cell._fields)))
        return [
            cell
            for cell in crossed
            if any(all(name in block[key] for key, name in cell._asdict().items()) for block in texts[1:])
        ]

    @cached_property
    def artifacts(self) -> Artifacts:
        """Derived from the grid."""
        grid = self.grid
        teachers = {teacher for name in grid.variant for teacher in self.variants[name].teachers}
        learned: list[Learned] = [self.teachers[name] for name in teachers]
        learned += [self.students[name] for name in grid.student]
        learned = self._with_initial(learned)
        corpora = {model.pretraining["corpus"] for model in learned if model.pretraining.get("corpus")}
        others = (corpora | set(self.preset.extra_datasets(grid.dataset))) - set(grid.dataset)
        regions = {name for name in (self.students[student].regions for student in grid.student) if name}
        datasets = [*grid.dataset, *sorted(others)]
        return Artifacts(
            source=sorted({source for name in datasets for source in self.datasets[name].sources}),
            dataset=datasets,
            model=sorted({model.name for model in learned if model.pretraining}),
            teacher=sorted(teachers | regions),
        )

    def _with_initial(self, learned: Sequence[Learned]) -> list[Learned]:
        """The models, and those whose weights their pre-training starts from, and so on."""
        found = list(learned)
        for model in found:  # it grows
            if (init := model.pretraining.get("init")) and self.teachers[init] not in found:
                found.append(self.teachers[init])
        return found
