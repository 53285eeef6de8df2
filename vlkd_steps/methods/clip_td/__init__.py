"""CLIP-TD, targeted distillation at fine-tuning (arXiv 2201.05729)."""

from typing import Literal

from vlkd_steps.config.models.method import Method, always
from vlkd_steps.methods.targeted_settings import TargetedSettings


class ClipTD(TargetedSettings):
    token_target: Literal["text", "image", "fused"]
    weight: Literal["confidence", "margin", "uniform"]


METHOD = Method(
    ClipTD,
    one_space=always,  # it adds the teacher's image and text features
    targets=lambda settings: settings.computed({"confidence": "both", "margin": "margin"}),
)
