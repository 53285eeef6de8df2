"""SNLI-VE items that cannot be guessed from the hypothesis alone (docs/papers.md, "Domain shifts").

Five scorers see no image: logistic regressions on bags of words. They are cross-fitted: each leaves out one fifth of
the training images, so that they differ as five trained models do. An item is hard if at least three of them get
it wrong, and easy otherwise. None of them is a row of any table.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import position
from vlkd_steps.splits.statements import Statements

VERSION = 1
"""Of the scorers. Raise it when the same files would give other sets."""

SCORERS = 5
MAJORITY = 3
RULES = ("hypothesis_hard", "hypothesis_easy")


def wrong_votes(train: Statements, items: Statements, where: Path) -> list[int]:
    """How many of the five scorers get each item wrong.

    Args:
        train: the full training split.
        items: what is judged; none of its images may be among the training images.
        where: the file of the training pairs, for messages.

    Raises:
        UserError: shared images, a training split too small to be divided, or hypotheses that share no words.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    if shared := set(train.images) & set(items.images):
        raise UserError(
            f"{len(shared)} images ({min(shared)} among them) are in the scorers' training pairs too, so their votes "
            "on them mean nothing; give the training file of the same release"
        )
    fold_of = {image: int(position(image, "hypothesis_only fold") * SCORERS) for image in set(train.images)}
    folds = np.array([fold_of[image] for image in train.images])
    labels = np.array(train.labels)
    bag = CountVectorizer(binary=True, ngram_range=(1, 2), min_df=2 if len(train) > 1000 else 1, dtype=np.float64)
    try:
        words = bag.fit_transform(train.texts)
    except ValueError as error:  # scikit-learn's, of a vocabulary that is empty at once or after rare words left
        raise UserError(
            f"{where}: hypothesis-only scorers find no words in its {len(train)} hypotheses (two letters or more, "
            f"between spaces or punctuation, in at least {bag.min_df} of them); give hypotheses with such words, or "
            "choose the hard pairs yourself and name their file as a split of its own, with rule: given"
        ) from error
    unseen = bag.transform(items.texts)
    wrong = np.zeros(len(items), np.int64)
    for fold in range(SCORERS):
        rows = np.flatnonzero(folds != fold)
        if len(rows) == len(folds) or len(set(labels[rows])) < 2:
            raise UserError(
                f"{len(train)} training pairs on {len(fold_of)} images are too few for {SCORERS} hypothesis-only "
                "scorers; give the full training split"
            )
        scorer = LogisticRegression(C=1.0, max_iter=200).fit(words[rows], labels[rows])
        wrong += scorer.predict(unseen) != np.array(items.labels)
    return [int(votes) for votes in wrong]


def chosen(rule: str, wrong: Sequence[int]) -> list[bool]:
    """Which items a rule keeps, by the scorers' wrong votes.

    Raises:
        UserError: it keeps none.
    """
    kept = [(votes >= MAJORITY) == (rule == "hypothesis_hard") for votes in wrong]
    if not any(kept):
        raise UserError(f"{rule}: none of {len(wrong)} items is left; the scorers agree on all of them")
    return kept
