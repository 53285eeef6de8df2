"""MAD, multimodal adaptive distillation (arXiv 2204.10496): CLIP-TD's components with unimodal teachers.

A vision teacher V and a text teacher T that need share no space (docs/papers.md, "MAD's two teachers"), each with its
own projections and its own confidence: the two weights are what "adaptive" balances per instance. What is stated,
recalled or our choice is marked in conf/method/mad.yaml. A variant names both, ``teacher: {vision: NAME, text: NAME}``;
the towers of a CLIP may be either.
"""

from typing import ClassVar

from torch import Tensor

from vlkd_steps.data.batches import IndexedTensor
from vlkd_steps.data.items import Items
from vlkd_steps.methods.targeted import Targeted, Term


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

    def own_targets(self, v: Tensor, u: Tensor, items: Items) -> dict[str, IndexedTensor | Tensor]:
        if "joint" not in self.targets:
            return {}
        return {"joint_image": IndexedTensor(v, items.image_rows), "joint_text": IndexedTensor(u, items.text_rows)}


OBJECTIVE = MAD
