"""A params.yaml without any mistakes, and a composition of given sections."""

import dataclasses
from typing import Any

from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.preset import Preset

PARAMS = {
    "experiment": "scenes_smoke",
    "grid": {"dataset": ["scenes_smoke_vqa"], "variant": ["finetune", "clip_td"], "shot": [40, "1pct"], "seed": [1]},
    "overrides": {},
}
GRID = {"dataset": ["a"], "student": ["s"], "variant": ["v"], "shot": [1], "seed": [1]}


def sections(variants: Any = None, training: Any = None, **others: Any) -> Composition:
    """A composition of these sections alone."""
    parts = {"variants": variants or {}, "training": training or {}, "reference": "v", "grid": GRID}
    preset = Preset.model_validate(parts)
    fields = [field.name for field in dataclasses.fields(Composition)]
    return Composition(**{**dict.fromkeys(fields), "experiment": "p", "preset": preset, "overrides": (), **others})
