"""Knowledge distillation of soft answers (Hinton et al. 2015)."""

from typing import Any

from vlkd_steps.config.models.base import Count, FromZero, Positive
from vlkd_steps.config.models.method import Method, Settings, always


class LogitKD(Settings):
    """What each means: conf/method/logit_kd.yaml."""

    lambda0: FromZero
    temperature: Positive
    probe_items: Count
    kept: Count


def _targets(settings: LogitKD) -> dict[str, Any]:
    return {
        "words": None,
        "weights": None,
        "answers": {"probe_items": settings.probe_items, "kept": settings.kept},
    }


METHOD = Method(LogitKD, one_space=always, targets=_targets)
