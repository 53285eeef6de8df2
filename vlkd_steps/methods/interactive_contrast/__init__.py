"""CLIP-KD's interactive contrastive learning, ICL (Yang et al. 2024)."""

from vlkd_steps.config.models.method import Method, always
from vlkd_steps.methods.two_tower_settings import LearnedScaleSettings

METHOD = Method(LearnedScaleSettings, one_space=always)
