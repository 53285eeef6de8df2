"""Students, conf/student/*.yaml: one model for each kind.

``weights`` and ``tokenizer`` are read only: a name of the Hugging Face hub, ``asset:NAME`` or a path, which may be
anywhere. Keys of ``architecture`` are those of the kind's configuration class, which is checked when it is built.
"""

from typing import Any, ClassVar, Literal

from vlkd_steps.config.models.base import Count, Flag, Integer, Learned, Model, Name, Positive, Share, Task, Text
from vlkd_steps.config.models.recipe import PartialRecipe, Recipe

Architecture = dict[Text, str | int | float | bool | list[Any] | dict[str, Any] | None]


class Spread(Model):
    """Standard deviations of well-separated initial vectors."""

    words: Positive | None = None


class SpreadWithPositions(Spread):
    positions: Positive | None = None


class ViltPretrain(Recipe):
    """Masked language modelling and image-text matching on a corpus of captions."""

    corpus: Name
    split: Name | None = None
    seed: Integer
    mask_rate: Share
    mismatched: Share


class BartPretrain(Recipe):
    """Text infilling on a stream of texts."""

    stream: Literal["scenes"]
    seed: Integer


class Student(Learned):
    """What all kinds have: ``weights``, or ``architecture`` and ``vocabulary`` of one from scratch."""

    writes: ClassVar[bool] = False
    """Whether it answers in words of its own instead of classes."""

    weights: Text | None = None
    architecture: Architecture | None = None
    vocabulary: Text | None = None
    recipe: dict[Task, PartialRecipe] | None = None
    by_task: dict[Task, dict[str, Any]] | None = None
    """What differs for a task; checked as part of the whole, `composition`."""
    regions: Name | None = None
    pretrain: Any = None


class Vilt(Student):
    kind: Literal["vilt"]
    image_size: Count | None = None
    spread: SpreadWithPositions | None = None
    pretrain: ViltPretrain | None = None


class Uniter(Student):
    kind: Literal["uniter"]
    regions: Name
    tokenizer: Text | None = None
    head: Literal["new", "official"] = "new"
    spread: Spread | None = None


class VisualBert(Student):
    kind: Literal["visual_bert"]
    regions: Name
    tokenizer: Text | None = None
    locations: Flag = False
    spread: SpreadWithPositions | None = None


class Bart(Student):
    writes: ClassVar[bool] = True

    kind: Literal["bart"]
    pretrain: BartPretrain | None = None


KINDS: dict[str, type[Student]] = {"vilt": Vilt, "uniter": Uniter, "visual_bert": VisualBert, "bart": Bart}
