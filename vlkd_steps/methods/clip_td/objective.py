"""CLIP-TD, targeted distillation at fine-tuning (arXiv 2201.05729); docs/papers.md, "CLIP-TD and MAD".

Three components, each with a switch: token selection (`selection`), confidence weight (`weight`) and an adaptive
contrastive stage before the task (`adaptive`). What is stated, recalled or our choice is marked in
conf/method/clip_td.yaml.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data.batches import Encoded, IndexedTensor
from vlkd_steps.methods.distances import layer_norm
from vlkd_steps.methods.objective import as_float
from vlkd_steps.methods.targeted import Targeted, Term
from vlkd_steps.teachers.targets import confidence


class ClipTD(Targeted):
    """L_task + lambda(t) w (d_image + d_joint + mean_selected d_token); the joint target is LN(LN(v) + LN(u)).

    The target of a selected token is the teacher's state of its word or, as `token_target` says, of its whole item:
    LN(v), or LN(LN(v) * LN(u)).
    """

    terms_of: ClassVar[dict[str, dict[str, Term]]] = {
        "image": {"image": Term("seen")},
        "joint": {"joint": Term("cls")},
        "text": {"text": Term("cls")},
        "tokens": {"tokens": Term("tokens")},
        "patches": {"patches": Term("patches")},
    }

    def prepare(self, data: Encoded, store: Any, seed: int) -> dict[str, IndexedTensor | Tensor]:
        if not getattr(store, "shared_space", True):
            raise UserError(
                "method clip_td adds the teacher's image and text features, which needs one CLIP for both; name one "
                "teacher, or use method mad, whose teachers need share no space"
            )
        items, extra = data.items, super().prepare(data, store, seed)
        v, u = as_float(store.images(items.image_ids)), as_float(store.texts(items.texts))
        if "joint" in self.targets:
            extra["joint"] = layer_norm(layer_norm(v)[items.image_rows] + layer_norm(u)[items.text_rows])
        if "tokens" in self.targets and self.settings.token_target == "image":
            extra["tokens"] = IndexedTensor(layer_norm(v), items.image_rows)
        if "tokens" in self.targets and self.settings.token_target == "fused":
            extra["tokens"] = layer_norm(layer_norm(v)[items.image_rows] * layer_norm(u)[items.text_rows])
        weights = torch.ones(len(items))
        if self.settings.weight == "confidence":
            images = [items.image_ids[row] for row in items.image_rows]
            shown, read = v[items.image_rows].numpy(), u[items.text_rows].numpy()
            if items.choice_texts:
                texts, rows = store.texts(items.choice_texts), items.choice_rows.numpy()
                right = items.right_choices().numpy()
                weights = as_float(confidence.choice_weights(shown, texts, rows, right, store.temperature))
            else:
                soft = items.soft_labels().numpy()
                weights = as_float(confidence.weights(shown, read, soft, images, derive(seed, "confidence")))
        extra["weight"] = weights
        return extra


OBJECTIVE = ClipTD
