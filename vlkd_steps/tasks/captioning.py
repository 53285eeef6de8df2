"""Captioning (COCO captions, NoCaps, Conceptual Captions): a row is an image with one of its reference captions."""

from collections.abc import Mapping
from typing import Any

from vlkd_steps.tasks import Metric, Task


class Captioning(Task):
    """Every caption of an image is a row; an image's one predicted caption is the answer to all of them."""

    head = "written"
    in_words = True
    metric = "captioning"
    compared_by = (Metric("CIDEr", percentage=False),)  # gains are of CIDEr-D by image (`Scorer.score`)
    tokens = 14
    hub_name = "image-to-text"
    asked_for = "A question (empty: a caption is written)"
    unit = "captions"
    right_from = 0.5
    right = "the caption's CIDEr-D over the image's references is 0.5 or more (of 10)"

    def question(self, row: Mapping[str, Any]) -> str:
        return "describe the picture"

    def gold(self, row: Mapping[str, Any]) -> str:
        """The reference caption."""
        return str(row["text"])


TASK = Captioning()
