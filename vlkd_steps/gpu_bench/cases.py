"""The measured models: files in conf/ with the shapes of the official data, and tiny ones of each kind."""

from dataclasses import dataclass
from typing import Any

from vlkd_steps import tasks
from vlkd_steps.config import composition
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.core import components


@dataclass(frozen=True)
class Student:
    """A student that is fine-tuned and distilled.

    Attributes:
        conf: its name in conf/student.
        head: the kind of its task's head: ``classes`` or ``choices``.
        labels: number of classes, or of an item's choices.
        text: tokens of a row; regions: of an image, for a student that reads regions.
        batch: items of a step; tokens: instead, the budget of text and region tokens of a batch, in which an item with
            choices counts as one row (`data.token_budget`).
    """

    name: str
    conf: str
    head: str
    labels: int
    text: int
    regions: int = 0
    batch: int = 0
    tokens: int = 0

    @property
    def items(self) -> int:
        """Items of a batch."""
        return max(1, self.tokens // (self.text + self.regions)) if self.tokens else self.batch

    @property
    def choices(self) -> int:
        """Rows of an item."""
        return self.labels if self.head == "choices" else 1


@dataclass(frozen=True)
class Teacher:
    """A CLIP that extracts features: its name in conf/teacher, images and texts of a batch."""

    name: str
    conf: str
    images: int
    texts: int


@dataclass(frozen=True)
class Writer:
    """A BART that is aligned with a CLIP: the width of CLIP's space, captions of a batch and their tokens."""

    name: str
    conf: str
    clip_width: int
    batch: int
    text: int


@dataclass(frozen=True)
class Cases:
    teachers: tuple[Teacher, ...]
    students: tuple[Student, ...]
    writers: tuple[Writer, ...]


FULL = Cases(
    teachers=(Teacher("CLIP ViT-B/16", "clip_vit_b16", 256, 512), Teacher("CLIP ViT-L/14", "clip_vit_l14", 256, 512)),
    students=(
        Student("ViLT-B/32 384 px, VQA", "vilt_b32", "classes", 3129, text=16, batch=256),
        Student("UNITER-base, VQA", "uniter_base", "classes", 3129, text=16, regions=36, tokens=10240),
        Student("UNITER-large, VQA", "uniter_large", "classes", 3129, text=16, regions=36, tokens=3072),
        Student("UNITER-base, VCR", "uniter_base", "choices", 4, text=60, regions=36, tokens=4000),
        Student("UNITER-large, VCR", "uniter_large", "choices", 4, text=60, regions=36, tokens=4000),
    ),
    writers=(
        Writer("VLKD BART-base, ViT-B/16", "bart_base", 512, 256, 16),
        Writer("VLKD BART-large, ViT-L/14", "bart_large", 768, 256, 16),
    ),
)
"""Lengths are approximate means of the official data; batches and budgets are those of the recipes in conf/student."""

TINY = Cases(
    teachers=(Teacher("CLIP of scenes", "clip_scenes", 32, 32),),
    students=(
        Student("ViLT of scenes", "vilt_scenes", "classes", 20, text=10, batch=16),
        Student("UNITER of scenes", "uniter_scenes", "choices", 4, text=12, regions=6, tokens=75),
    ),
    writers=(Writer("BART of scenes", "bart_scenes", 64, 16, 10),),
)
"""The same code with small models, for machines without an accelerator."""


def conf(group: str, name: str) -> dict[str, Any]:
    """The package's file of a student, teacher or method."""
    return ConfFiles([composition.CONF]).merged(group, name)


def task_with(head: str) -> str:
    """A task whose head is of that kind; all of a kind are equal."""
    return next(name for name in components.names("task") if tasks.load(name).head == head)
