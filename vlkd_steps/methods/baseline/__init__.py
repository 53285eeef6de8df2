"""Baselines for VLKD that train nothing: CLIP alone, or the most common training answer.

It has no objective: `runs.baselines` produces the answers.

- ``clip``: for a question, the answer in its data set's list that CLIP finds nearest to the image (the question is not
  read); for an image, the nearest caption of the training corpus: retrieved, not generated.
- ``commonest``: the most common training answer; the most common caption of the corpus.

Both ignore the question or, with ``given: question_type``, use its official type: then only answers of training
questions of that type count. That is more than VLKD uses, which sees no training question.
"""

from typing import Literal

from vlkd_steps.config.models.method import Method, Settings


class Baseline(Settings):
    by: Literal["clip", "commonest"]
    given: Literal["nothing", "question_type"]


METHOD = Method(Baseline, runner="baselines", needs_teacher=lambda settings: settings.by == "clip")
