"""MAD, multimodal adaptive distillation (arXiv 2204.10496)."""

from typing import Literal

from vlkd_steps.config.models.method import Method
from vlkd_steps.methods.targeted_settings import TargetedSettings


class MAD(TargetedSettings):
    weight: Literal["confidence", "above_prior", "uniform"]


def takes_cosines(settings: MAD) -> bool:
    """Whether relevance is a cosine between images and words."""
    return settings.looks_at_relevance and settings.relevance != "regression"


METHOD = Method(
    MAD,
    one_space=takes_cosines,
    targets=lambda settings: settings.computed({"confidence": "each", "above_prior": "each_above_prior"}),
)
