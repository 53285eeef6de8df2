"""CLIP-TD, targeted distillation at fine-tuning (arXiv 2201.05729); docs/papers.md, "CLIP-TD and MAD".

Three components, each with a switch: token selection (`selection`), confidence weight (`weight`) and an adaptive
contrastive stage before the task (`adaptive`). What is stated, recalled or our choice is marked in
conf/method/clip_td.yaml.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded, IndexedTensor
from vlkd_steps.data.items import Items
from vlkd_steps.methods.distances import layer_norm
from vlkd_steps.methods.objective import by_blocks
from vlkd_steps.methods.targeted import Targeted, Term
from vlkd_steps.methods.tokens import token_positions
from vlkd_steps.teachers.targets.target_file import Targets


class ClipTD(Targeted):
    """L_task + lambda(t) w (d_image + d_joint + mean_selected d_token); the joint target is LN(LN(v) + LN(u)).

    The target of a selected token is, by `token_target`, LN(v), LN(LN(v) * LN(u)) or the teacher's state of its word.
    """

    terms_of: ClassVar[dict[str, dict[str, Term]]] = {
        "image": {"image": Term("seen")},
        "joint": {"joint": Term("cls")},
        "text": {"text": Term("cls")},
        "tokens": {"tokens": Term("tokens")},
        "patches": {"patches": Term("patches")},
    }

    def prepare(
        self, data: Encoded, store: Any, seed: int, targets: Targets | None = None
    ) -> dict[str, IndexedTensor | Tensor]:
        if not getattr(store, "shared_space", True):
            raise UserError(
                "method clip_td adds the teacher's image and text features, which needs one CLIP for both; name one "
                "teacher, or use method mad, whose teachers need share no space"
            )
        return super().prepare(data, store, seed, targets)

    def tokens(
        self, data: Encoded, words: Sequence[Sequence[str]], store: Any
    ) -> tuple[Tensor, dict[str, IndexedTensor | Tensor]]:
        if self.settings.token_target == "text":
            return super().tokens(data, words, store)
        return token_positions(data, words), {}  # the target is one of `own_targets`

    def own_targets(self, v: Tensor, u: Tensor, items: Items) -> dict[str, IndexedTensor | Tensor]:
        made: dict[str, IndexedTensor | Tensor] = {}
        image, text = IndexedTensor(v, items.image_rows), IndexedTensor(u, items.text_rows)
        if "joint" in self.targets:
            made["joint"] = by_blocks(lambda rows: layer_norm(image[rows] + text[rows]), len(items))
        if "tokens" in self.targets and self.settings.token_target == "image":
            made["tokens"] = image
        if "tokens" in self.targets and self.settings.token_target == "fused":
            made["tokens"] = by_blocks(lambda rows: layer_norm(image[rows] * text[rows]), len(items))
        return made


OBJECTIVE = ClipTD
