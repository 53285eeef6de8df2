"""The settings of targeted distillation, which CLIP-TD and MAD have in common (`targeted`)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from vlkd_steps.config.models.base import (
    Count,
    Flag,
    FromZero,
    Number,
    Positive,
    Sequence,
    Whole,
    between,
    says,
    some,
    unique,
)
from vlkd_steps.config.models.method import Settings

Distance = Literal["l1", "mse", "cosine", "relation"]
Target = Literal["image", "joint", "tokens", "text", "patches"]


class TargetedSettings(Settings):
    """What each means: conf/method/clip_td.yaml and mad.yaml."""

    targets: Annotated[tuple[Target, ...], Sequence, AfterValidator(some), AfterValidator(unique)]
    whitening: Literal["none", "standardise", "pca"]
    whitening_share: Annotated[Number, between(0, 1, open_low=True), says("a share, above 0 and up to 1")]
    distance: Distance
    lambda0: FromZero
    lambda_schedule: Literal["linear", "constant", "cosine"]
    selection: Literal["both", "relevance", "keyness", "random", "all", "none"]
    relevance: Literal["plain", "centred", "regression"]
    tokens_per_text: Whole
    keyness: Literal["yake", "idf"]
    token_layer: Literal["embedding", "last"]
    weight: str
    probe_items: Count
    adaptive: Flag
    adaptive_steps: Whole
    temperature: Positive

    @property
    def looks_at_relevance(self) -> bool:
        return "tokens" in self.targets and self.selection in ("both", "relevance")

    @property
    def compares_patches(self) -> bool:
        return "patches" in self.targets

    def computed(self, by: Mapping[str, str]) -> dict[str, Any] | None:
        """What is computed before training (`Method.targets`), by the settings that change it and by no other one.

        Args:
            by: what the weights are measured by (`teachers.targets.compute`) for each `weight` but uniform.
        """
        words: dict[str, Any] | None = None
        if "tokens" in self.targets and self.selection != "none":
            words = {"selection": self.selection}
            if self.selection != "all":
                words["tokens_per_text"] = self.tokens_per_text
            if self.selection in ("both", "keyness"):
                words["keyness"] = self.keyness
            if self.looks_at_relevance:
                words["relevance"] = self.relevance
        weights = {"by": by[self.weight], "probe_items": self.probe_items} if self.weight in by else None
        return {"words": words, "weights": weights} if words or weights else None

    def mistake(self, steps: int) -> str | None:
        if self.adaptive and self.adaptive_steps >= steps:
            return (
                f"adaptive_steps is {self.adaptive_steps}, but the whole run has {steps} steps (training.steps); leave "
                "some for the task"
            )
        none = self.selection == "none" or (self.selection != "all" and not self.tokens_per_text)
        if set(self.targets) == {"tokens"} and none:
            return (
                f"targets is [tokens], but selection is {self.selection} and tokens_per_text is "
                f"{self.tokens_per_text}, so nothing would be distilled; name another target, or select words"
            )
        parts = [t for t in self.targets if t == "patches" or (t == "tokens" and self.selection != "none")]
        if self.distance == "relation" and parts:
            return (
                f"distance: relation compares whole items of a batch, but targets has {' and '.join(parts)}; name only "
                "image, joint or text, such as targets: [image, joint]"
            )
        return None
