"""Naive distillation."""

from typing import Literal

from vlkd_steps.config.models.base import FromZero
from vlkd_steps.config.models.method import Method, Settings
from vlkd_steps.methods.targeted_settings import Distance


class NaiveKD(Settings):
    lambda0: FromZero
    anneal: Literal["none", "linear"]
    distance: Distance


METHOD = Method(NaiveKD)
