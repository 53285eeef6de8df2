"""Whether training has taught a seed anything: whether it does better than one answer to every item would.

The *floor* of an evaluation set is what its commonest right answer scores when it is given to all items: a third for
three balanced classes, a quarter for four choices, the prior of an answer for open questions. A seed has learned if its
score is above the floor by more than its test images can explain: over images, the mean difference of the items'
scores is above 0 by a one-sided t test at `LEVEL` (docs/protocol.md, "Seeds that learn nothing").
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from vlkd_steps.evaluation.significance import by_image
from vlkd_steps.tasks import Scorer, Task

LEVEL = 0.01
"""Of ten seeds that know nothing, one is called learned in one case of ten."""


def commonest_answer(task: Task, instances: pl.DataFrame) -> pl.DataFrame | None:
    """Predictions that give every item the set's commonest right answer; None for a task without classes or choices.

    Among choices it is the number that is right most often for the item's kind: answers and rationales are compared
    apart. Of equally common answers it is the first in order.
    """
    if task.head == "written" or instances.is_empty():
        return None
    choices = task.head == "choices"
    golds = instances["label"].to_list() if choices else list(map(task.gold, instances.iter_rows(named=True)))
    kinds = instances["answer_type"].to_list() if choices else [""] * len(golds)
    labels = dict(zip(golds, instances["label"], strict=True))
    usual = {}
    for kind in dict.fromkeys(kinds):
        counts = Counter(gold for gold, of in zip(golds, kinds, strict=True) if of == kind)
        usual[kind] = min(counts, key=lambda gold: (-counts[gold], str(gold)))
    given = [usual[kind] for kind in kinds]
    return instances.select(
        "instance_id",
        prediction=pl.Series([labels[gold] for gold in given], dtype=pl.Int64),
        answer=pl.Series(map(str, given), dtype=pl.String),
    )


def floor(task: Task, instances: pl.DataFrame, scorer: Scorer) -> pl.Series:
    """The score of the commonest answer for each item; null where there is none."""
    predictions = commonest_answer(task, instances)
    scores = [None] * len(instances) if predictions is None else scorer.score(predictions)
    return pl.Series(scores, dtype=pl.Float64)


def have_learned(
    scores: NDArray[np.float64], floors: NDArray[np.float64], images: Sequence[str]
) -> NDArray[np.bool_] | None:
    """Which seeds are above the floor; None where one image cannot tell.

    Args:
        scores: of each seed and item [S, N]; floors: of the commonest answer [N].
        images: the image of each item, N names.
    """
    differences, items = by_image(scores - floors, images)
    shares, count = items / items.sum(), len(items)
    means = differences @ shares
    if count < 2:
        return None
    deviations = (differences - means[:, None]) * shares * count
    errors = np.sqrt((deviations**2).sum(1) / (count - 1) / count)
    p = special.stdtr(count - 1, -means / np.maximum(errors, 1e-12))
    return np.asarray(p < LEVEL)
