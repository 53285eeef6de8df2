"""What VLKD is compared with and that trains nothing: CLIP alone, or what is commonest among the training data.

It has no objective: `runs.baselines` answers in its place.

- ``clip``: to a question, the answer of its data set's list that CLIP finds nearest to the image (the question is not
  read); to an image, the caption of the training corpus that is nearest: retrieved, not written.
- ``commonest``: the commonest training answer; the commonest caption of the corpus.

Either knows nothing of a question or, ``given: question_type``, its official type: then only answers of training
questions of that type count. That is more than VLKD knows, which has seen no training question.
"""

from typing import Literal

from vlkd_steps.config.models.method import Method, Settings


class Baseline(Settings):
    by: Literal["clip", "commonest"]
    given: Literal["nothing", "question_type"]


METHOD = Method(Baseline, runner="baselines", needs_teacher=lambda settings: settings.by == "clip")
