"""Students, conf/student/*.yaml: one model for each kind.

``weights`` and ``tokenizer`` are read only: a name of the Hugging Face hub, ``asset:NAME`` or a path, which may be
anywhere. The keys of ``architecture`` are those of `architecture`; a student of a plugin may have any.
"""

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from vlkd_steps.config.models.architecture import (
    BartArchitecture,
    UniterArchitecture,
    ViltArchitecture,
    VisualBertArchitecture,
)
from vlkd_steps.config.models.base import (
    Count,
    Flag,
    Integer,
    Learned,
    Model,
    Name,
    Positive,
    Share,
    Task,
    Text,
    Whole,
    problem,
)
from vlkd_steps.config.models.names import Vocabulary, Weights
from vlkd_steps.config.models.recipe import PartialRecipe, Recipe


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
    """A language model on a stream of texts; in the first `answers_first` steps, of answers to questions alone."""

    stream: Literal["scenes"]
    seed: Integer
    answers_first: Whole


class Student(Learned):
    """What all kinds have: ``weights``, or ``architecture`` and ``vocabulary`` of one from scratch."""

    writes: ClassVar[bool] = False
    """Whether it answers in words of its own instead of classes."""

    takes_shifts: ClassVar[bool] = False
    """Whether it can be trained against an adversary (`Inputs.word_shift`)."""

    weights: Weights | None = None
    architecture: Any = None
    vocabulary: Vocabulary | None = None
    recipe: dict[Task, PartialRecipe] | None = None
    by_task: dict[Task, dict[str, Any]] | None = None
    """What differs for a task; checked as part of the whole, `composition`."""
    regions: Name | None = None
    pretrain: Any = None


class Ours(Student):
    """A student of this package: from weights, or from scratch."""

    @model_validator(mode="after")
    def _begins_somewhere(self) -> "Ours":
        if self.weights is None and self.vocabulary is None:
            raise problem("has neither weights nor vocabulary; name weights, or the words of a student from scratch")
        if self.weights is not None and self.pretrain is not None:
            raise problem("has weights and pretrain, which makes them; delete one of them")
        return self


class Vilt(Ours):
    kind: Literal["vilt"]
    architecture: ViltArchitecture | None = None
    image_size: Count | None = None
    head: Literal["uniter", "vilt"] = "uniter"
    spread: SpreadWithPositions | None = None
    pretrain: ViltPretrain | None = None


class Uniter(Ours):
    takes_shifts: ClassVar[bool] = True

    kind: Literal["uniter"]
    architecture: UniterArchitecture | None = None
    regions: Name
    tokenizer: Text | None = None
    head: Literal["new", "official"] = "new"
    spread: Spread | None = None


class VisualBert(Ours):
    kind: Literal["visual_bert"]
    architecture: VisualBertArchitecture | None = None
    regions: Name
    tokenizer: Text | None = None
    locations: Flag = False
    spread: SpreadWithPositions | None = None


class Bart(Ours):
    writes: ClassVar[bool] = True

    kind: Literal["bart"]
    architecture: BartArchitecture | None = None
    pretrain: BartPretrain | None = None


KINDS: dict[str, type[Student]] = {"vilt": Vilt, "uniter": Uniter, "visual_bert": VisualBert, "bart": Bart}
