"""The tasks: one module each, `tasks/<task>.py`, whose last line is its object, ``TASK = ...``.

A task is what a model does with the items of a data set: answer a question, judge a sentence, choose among texts, write
a caption. Its object says how rows make items, how low-shot subsets are stratified, which head a student gets,
how predictions are scored and compared, and how an item is shown. Other modules load the object by the
task's name (`load`); none of them names a task. A new task is a subclass of `Task` with what differs::

    class TrueFalse(Task):
        head = "classes"
        metric = "accuracy"
        labels = ("false", "true")

        def gold(self, row):
            return row["group"]

    TASK = TrueFalse()

A row is a line of the instances table (`datasets.instances.SCHEMA`). Every step may load a task, so its module is quick
to import: no torch, and neither polars nor numpy outside its functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from vlkd_steps.core import components

if TYPE_CHECKING:
    import polars as pl

Head = Literal["classes", "choices", "written"]
ACCURACY = "accuracy"


class Scorer(Protocol):
    """The metric of a task over one evaluation set; made from the set's rows."""

    def score(self, predictions: "pl.DataFrame") -> list[float]:
        """The score of every row, in the rows' order.

        Args:
            predictions: ``prediction`` (a class or choice by its number; null where the answer is written) and
                ``answer`` (its text), in the rows' order.
        """

    def metrics(self, scores: list[float]) -> dict[str, Any]:
        """What ``metrics.json`` says of the set; it holds a number for each of the task's `compared_by`."""


@dataclass(frozen=True)
class Metric:
    """A metric that methods are compared by.

    Attributes:
        name: in ``metrics.json``, ``summary.csv`` and ``gains.csv``.
        title: in tables for people; empty: the name.
        percentage: False: times 100, but no percentage, so that a gain is no points of accuracy.
    """

    name: str
    title: str = ""
    percentage: bool = True


class Task:
    """A task.

    Attributes:
        head: what answers. ``classes``: a classifier over the data set's labels; ``choices``: each of a row's own
            texts (`choices` of the row) is scored, and the label is the number of the right one; ``written``: the
            row's text is itself the answer, as a caption is, which only a student that writes can give; all rows of
            an image get the same.
        in_words: whether a student that writes can be trained and evaluated on it; its scorer then reads ``answer``.
        metric: the module of `vlkd_steps.metrics` whose `Scorer` it is; a task with a scorer of its own overrides
            `scorer` instead.
        compared_by: the metrics that methods are compared by, the main one first.
        labels: the classes in index order, where they are the task's and not the data set's.
        rows: how many rows an item has.
        choices: how many texts a row chooses among; 1 where it does not.
        tokens: of a row's text with one choice, about the mean of the official data; `vlkd plan` counts with it.
        unit: what a shot counts, as the field calls it.
        right_from: the score of a row from which the report's gallery counts an answer as right.
        right: what that means, in words.
        stated_gains: CLIP-TD's largest gain over the student alone as its abstract states it, in per cent, by
            ``low-shot``, ``shift`` and ``full``.
        hub_name: the Hugging Face hub's name of the task; empty: it has none.
        asked_for: what a text given to `vlkd demo` is called.
    """

    head: ClassVar[Head]
    in_words: ClassVar[bool] = False
    metric: ClassVar[str] = ""
    compared_by: ClassVar[tuple[Metric, ...]] = (Metric(ACCURACY),)
    labels: ClassVar[tuple[str, ...]] = ()
    rows: ClassVar[int] = 1
    choices: ClassVar[int] = 1
    tokens: ClassVar[int] = 14
    unit: ClassVar[str] = "questions"
    right_from: ClassVar[float] = 1.0
    right: ClassVar[str] = "the answer is the annotated one"
    stated_gains: ClassVar[Mapping[str, float]] = {}
    hub_name = ""
    asked_for = "The question"

    def scorer(self, instances: "pl.DataFrame") -> Scorer:
        """The metric over an evaluation set.

        Args:
            instances: ``instance_id, image_id, text, label, answer_type, group, extra`` of its rows.
        """
        found: Scorer = components.load("metric", self.metric).Scorer(instances)
        return found

    def compared(self, scores: "pl.DataFrame", metric: str) -> "pl.DataFrame":
        """The items that one of the metrics is the mean of.

        Args:
            scores: ``instance_id, image_id, score`` of every row of an evaluation set.
        """
        return scores

    def items(self, instance_ids: "pl.Series") -> "pl.Series":
        """The id of each row's item, which is what a shot counts."""
        return instance_ids

    def strata(self, items: "pl.DataFrame") -> "pl.Series":
        """The stratum of each item: every stratum has its share of a low-shot subset. Without any, there is one.

        Args:
            items: ``label, answer_type, group`` of the training role's items.
        """
        import polars as pl

        return pl.Series([""] * len(items), dtype=pl.String)

    def question(self, row: Mapping[str, Any]) -> str:
        """The question, as the report shows it."""
        text: str = row["text"]
        return text

    def gold(self, row: Mapping[str, Any]) -> str:
        """The right answer as text."""
        raise TypeError(f"{type(self).__name__} does not define gold")

    def annotated(self, row: Mapping[str, Any]) -> str:
        """What annotators answered, as the report shows it; with counts where several were asked."""
        return self.gold(row)

    def said(self, row: Mapping[str, Any], answer: str) -> str:
        """A prediction's ``answer`` as the report shows it."""
        return answer


def load(name: str) -> Task:
    """The object of a task.

    Raises:
        UserError: there is no such task.
    """
    found: Task = components.load_value(components.module_name("task", name), "TASK")
    return found


def in_words() -> list[str]:
    """The tasks that a student which writes can be trained and evaluated on."""
    return [name for name in components.names("task") if load(name).in_words]


def metrics() -> dict[str, Metric]:
    """All that any task is compared by, by name."""
    return {metric.name: metric for name in components.names("task") for metric in load(name).compared_by}
