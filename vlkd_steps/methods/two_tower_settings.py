"""The settings of methods that were made to distil a CLIP into a smaller one (`two_tower`)."""

import math
from typing import Annotated, Literal

from vlkd_steps.config.models.base import FromZero, Number, between, says
from vlkd_steps.config.models.method import Settings


class TwoTowerSettings(Settings):
    """What each means: conf/method/feature_mimicry.yaml."""

    lambda0: FromZero
    lambda_schedule: Literal["linear", "constant", "cosine"]


class LearnedScaleSettings(TwoTowerSettings):
    """Of methods that multiply the cosines of a batch's pairs by a learned number, from 1 / `temperature` on."""

    temperature: Annotated[Number, between(0.01, math.inf), says("a number, 0.01 or more")]
