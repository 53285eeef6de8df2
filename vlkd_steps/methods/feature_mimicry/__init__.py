"""CLIP-KD's feature mimicry, FD (Yang et al. 2024)."""

from vlkd_steps.config.models.method import Method
from vlkd_steps.methods.two_tower_settings import TwoTowerSettings

METHOD = Method(TwoTowerSettings)
