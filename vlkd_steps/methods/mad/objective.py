"""MAD, multimodal adaptive distillation (arXiv 2204.10496): CLIP-TD's components with unimodal teachers.

A vision teacher V and a text teacher T that need share no space (docs/papers.md, "MAD's two teachers"), each with its
own projections and its own confidence: the two weights are what "adaptive" balances per instance. What is stated,
recalled or our choice is marked in conf/method/mad.yaml. A variant names both, ``teacher: {vision: NAME, text: NAME}``;
the towers of a CLIP may be either.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vlkd_steps.core.seeds import derive
from vlkd_steps.data.batches import Encoded, IndexedTensor
from vlkd_steps.methods.distances import layer_norm
from vlkd_steps.methods.objective import as_float
from vlkd_steps.methods.targeted import Targeted, Term
from vlkd_steps.teachers.targets import confidence


class MAD(Targeted):
    """L_task + lambda(t) (w_V d_image + (w_V d_joint_image + w_T d_joint_text) / 2 + w_T mean_selected d_token).

    The joint target is the concatenation [LN(v); LN(u)]: each part has its own distance, so that both count equally
    whatever the teachers' widths (choice).
    """

    terms_of: ClassVar[dict[str, dict[str, Term]]] = {
        "image": {"image": Term("seen", "weight_vision")},
        "joint": {
            "joint_image": Term("cls", "weight_vision", share=0.5),
            "joint_text": Term("cls", "weight_text", share=0.5),
        },
        "text": {"text": Term("cls", "weight_text")},
        "tokens": {"tokens": Term("tokens", "weight_text")},
        "patches": {"patches": Term("patches", "weight_vision")},
    }

    def prepare(self, data: Encoded, store: Any, seed: int) -> dict[str, IndexedTensor | Tensor]:
        items, extra = data.items, super().prepare(data, store, seed)
        v, u = as_float(store.images(items.image_ids)), as_float(store.texts(items.texts))
        if "joint" in self.targets:
            extra["joint_image"] = IndexedTensor(layer_norm(v), items.image_rows)
            extra["joint_text"] = IndexedTensor(layer_norm(u), items.text_rows)
        for name, rows in (("vision", v[items.image_rows]), ("text", u[items.text_rows])):
            extra[f"weight_{name}"] = torch.ones(len(items))
            if self.settings.weight == "confidence":
                extra[f"weight_{name}"] = as_float(
                    self.confidence(data, rows.numpy(), derive(seed, "confidence", name))
                )
        return extra

    def confidence(self, data: Encoded, features: np.ndarray, seed: int) -> np.ndarray:
        """The weight of every item from a probe on one teacher's features [N, D] alone, float32 [N].

        1 where an item has choices (VCR): its label is the index of the right one, on which the image, or the query
        with the right choice, has no information (choice).
        """
        items = data.items
        choices = getattr(items, "passage_rows", None)
        if choices is not None and choices.shape[1] > 1:
            return np.ones(len(items), np.float32)
        images = [items.image_ids[row] for row in items.image_rows]
        return confidence.unimodal_weights(features, items.soft_labels().numpy(), images, seed)


OBJECTIVE = MAD
