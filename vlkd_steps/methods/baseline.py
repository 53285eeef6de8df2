"""What VLKD is compared with and that trains nothing: CLIP alone, or what is commonest among the training data.

It is no objective: `training.one_baseline` answers in its place.

- ``clip``: to a question, the answer of its data set's list that CLIP finds nearest to the image (the question is not
  read); to an image, the caption of the training corpus that is nearest: retrieved, not written.
- ``commonest``: the commonest training answer; the commonest caption of the corpus.

Either knows nothing of a question or, ``given: question_type``, its official type: then only answers of training
questions of that type count. That is more than VLKD is told, which has seen no training question.
"""

from typing import Any, ClassVar

from vlkd_steps.methods.objective import Objective


class Baseline(Objective):
    """Only its settings."""

    settings_of: ClassVar[dict[str, tuple[Any, ...]]] = {
        "by": ("clip", "commonest"),
        "given": ("nothing", "question_type"),
    }


METHOD = Baseline
