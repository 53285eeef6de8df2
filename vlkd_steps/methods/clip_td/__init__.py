"""CLIP-TD, targeted distillation at fine-tuning (arXiv 2201.05729)."""

from vlkd_steps.config.models.method import Method, always
from vlkd_steps.methods.targeted_settings import TargetedSettings

METHOD = Method(
    TargetedSettings,
    one_space=always,  # it adds the teacher's image and text features
    targets=lambda settings: settings.computed("both"),
)
