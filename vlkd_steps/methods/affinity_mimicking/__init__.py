"""TinyCLIP's affinity mimicking (Wu et al. 2023)."""

from vlkd_steps.config.models.base import Positive
from vlkd_steps.config.models.method import Method, always
from vlkd_steps.methods.two_tower_settings import TwoTowerSettings


class AffinityMimicking(TwoTowerSettings):
    temperature: Positive


METHOD = Method(AffinityMimicking, one_space=always)
