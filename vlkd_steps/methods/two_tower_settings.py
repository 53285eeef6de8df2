"""The settings of methods that were made to distil a CLIP into a smaller one (`two_tower`)."""

from typing import Literal

from vlkd_steps.config.models.base import FromZero, Positive
from vlkd_steps.config.models.method import Settings


class TwoTowerSettings(Settings):
    """What each means: conf/method/feature_mimicry.yaml."""

    lambda0: FromZero
    lambda_schedule: Literal["linear", "constant", "cosine"]


class RelationSettings(TwoTowerSettings):
    """Of methods that compare the pairs of a batch by cosines / `temperature`."""

    temperature: Positive
