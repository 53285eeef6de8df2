"""The VQA answer vocabulary and its soft targets, as in bottom-up attention (docs/papers.md, "VQA soft targets").

Two facts that re-implementations get wrong: the vocabulary is built from *preprocessed* answers, but
the ten raw answers are looked up *unprocessed*, so a raw "none" gets no label although "none"
preprocesses to "0"; and the order is that of the strings, never that of a dict.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vlkd_steps.datasets.instances import SOFT_LABEL
from vlkd_steps.metrics.vqa import preprocess

SCORES = np.array([0.0, 0.3, 0.6, 0.9, 1.0])
"""Score of an answer that 0, 1, 2, 3, >= 4 annotators gave."""


@dataclass(frozen=True)
class Targets:
    """Soft labels (arrow, one list per question, by ascending label) and the best label (null: none)."""

    soft_labels: pa.ListArray
    label: pa.Array


def build(answers: Iterable[str], minimum: int) -> list[str]:
    """The preprocessed answers that occur at least `minimum` times among `answers`, sorted by string.

    Args:
        answers: one `multiple_choice_answer` per question of the training files.
        minimum: 9 gives the published heads' vocabulary.
    """
    preprocessed: Counter[str] = Counter()
    for answer, times in Counter(answers).items():  # each distinct answer is preprocessed once
        preprocessed[preprocess(answer)] += times
    return sorted(answer for answer, times in preprocessed.items() if times >= minimum)


def soft_targets(codes: np.ndarray, raw_answers: Sequence[str], vocabulary: Sequence[str]) -> Targets:
    """Soft targets of many questions at once.

    Args:
        codes: int [N, 10], every annotator's raw answer as an index into `raw_answers`.
        raw_answers: the distinct raw answers.
        vocabulary: the classes, in order.
    """
    questions = len(codes)
    label_of = {answer: label for label, answer in enumerate(vocabulary)}
    labels = np.array([label_of.get(answer, -1) for answer in raw_answers], np.int64)
    given = labels[codes] if questions else np.zeros((0, 10), np.int64)
    rows, columns = np.nonzero(given >= 0)
    width = max(len(vocabulary), 1)
    keys, matches = np.unique(rows * width + given[rows, columns], return_counts=True)
    rows, label = keys // width, keys % width
    score = SCORES[np.minimum(matches, len(SCORES) - 1)]

    offsets = np.searchsorted(rows, np.arange(questions + 1)).astype(np.int32)
    values = pa.StructArray.from_arrays([pa.array(label), pa.array(score)], fields=list(SOFT_LABEL))
    soft_labels = pa.ListArray.from_arrays(pa.array(offsets), values)

    # Within a question by falling score, then by label: the first is the argmax, the lowest label on ties.
    order = np.lexsort((label, -score, rows))
    first_rows, first = np.unique(rows[order], return_index=True)
    best = np.full(questions, -1, np.int64)
    best[first_rows] = label[order][first]
    return Targets(soft_labels, pa.array(best, mask=best < 0))
