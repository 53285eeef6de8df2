"""MAD, multimodal adaptive distillation (arXiv 2204.10496)."""

from vlkd_steps.config.models.method import Method
from vlkd_steps.methods.targeted_settings import TargetedSettings


def takes_cosines(settings: TargetedSettings) -> bool:
    """Whether relevance is a cosine between images and words."""
    return settings.looks_at_relevance and settings.relevance != "regression"


METHOD = Method(TargetedSettings, one_space=takes_cosines, targets=lambda settings: settings.computed("each"))
