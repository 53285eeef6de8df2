"""The settings of targeted distillation, which CLIP-TD and MAD have in common (`targeted`)."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from vlkd_steps.config.models.base import Flag, FromZero, Positive, Sequence, Whole, some, unique
from vlkd_steps.config.models.method import Settings

Distance = Literal["l1", "mse", "cosine"]
Target = Literal["image", "joint", "tokens", "text", "patches"]


class TargetedSettings(Settings):
    """What each means: conf/method/clip_td.yaml and mad.yaml."""

    targets: Annotated[tuple[Target, ...], Sequence, AfterValidator(some), AfterValidator(unique)]
    distance: Distance
    lambda0: FromZero
    lambda_schedule: Literal["linear", "constant", "cosine"]
    selection: Literal["both", "relevance", "keyness", "random", "all", "none"]
    relevance: Literal["plain", "centred", "regression"]
    tokens_per_text: Whole
    keyness: Literal["yake", "idf"]
    token_layer: Literal["embedding", "last"]
    weight: Literal["confidence", "uniform"]
    adaptive: Flag
    adaptive_steps: Whole
    temperature: Positive

    @property
    def looks_at_relevance(self) -> bool:
        return "tokens" in self.targets and self.selection in ("both", "relevance")

    def mistake(self, steps: int) -> str | None:
        if self.adaptive and self.adaptive_steps >= steps:
            return (
                f"adaptive_steps is {self.adaptive_steps}, but the whole run has {steps} steps (training.steps); leave "
                "some for the task"
            )
        return None
