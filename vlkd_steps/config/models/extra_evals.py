"""What runs are evaluated on beside their data set's evaluation sets: a preset's ``extra_evals``.

For a data set that runs train on, named sets of other data sets, and measures of the run as a whole::

    extra_evals:
      scenes_wide_captions:
        vqa_open: {dataset: scenes_vqa, set: test, images: 500}                   # in words of its own
        vqa_listed: {dataset: scenes_vqa, set: test, images: 500, answers: listed}  # one of the data set's answers
        retrieval: {measure: retrieval, dataset: scenes_wide_captions, set: test}
        kept_texts: {measure: forgetting}

The name is used like an evaluation set's: in file names, tables and MLflow. ``images`` takes the items of so
many images, chosen by a hash; ``prompt``, ``beams`` and ``most_tokens`` say how an answer is written; ``lead: true``
puts the set first in tables and on the page.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from vlkd_steps.config.models.base import Flag, Model, Name, Text, says, value_error
from vlkd_steps.core.prompt_wording import MASK, QUESTION, is_valid

Some = Annotated[int, Field(ge=1, strict=True), says("a whole number, 1 or more")]
Texts = Annotated[int, Field(ge=6, strict=True), says("a whole number, 6 or more")]
"""Half of them train the entailment probe, which has to see each of the three relations."""
Lead = Annotated[Flag, says("true, or leave it out")]


def fillable(wording: str) -> str:
    """A prompt that can be filled in."""
    if not is_valid(wording):
        raise value_error(f"write {MASK} once, where the answer goes, and {QUESTION}, the question, before it")
    return wording


Prompt = Annotated[Text, AfterValidator(fillable)]


class ItemsOfASet(Model):
    """Items of an evaluation set of any data set."""

    dataset: Name
    set: Name
    images: Some | None = None
    prompt: Prompt | None = None
    answers: Annotated[Literal["listed"] | None, says("listed, or leave it out for any words")] = None
    beams: Some | None = None
    most_tokens: Some | None = None
    lead: Lead = False


class Retrieval(Model):
    measure: Literal["retrieval"]
    dataset: Name
    set: Name
    images: Some | None = None


class Forgetting(Model):
    measure: Literal["forgetting"]
    size: Texts | None = None


class Benchmark(Model):
    measure: Literal["glue", "xsum"]
    folder: Text
    size: Some | None = None


MEASURES: dict[str, type[Model]] = {
    "retrieval": Retrieval,
    "forgetting": Forgetting,
    "glue": Benchmark,
    "xsum": Benchmark,
}
ExtraEval = ItemsOfASet | Retrieval | Forgetting | Benchmark
