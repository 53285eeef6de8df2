"""TinyCLIP's affinity mimicking (Wu et al. 2023)."""

from vlkd_steps.config.models.method import Method, always
from vlkd_steps.methods.two_tower_settings import RelationSettings

METHOD = Method(RelationSettings, one_space=always)
