"""What methods share that match the student's features with the teacher's image and text embeddings alone."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vlkd_steps.data.batches import Encoded, IndexedTensor
from vlkd_steps.methods.distances import layer_norm
from vlkd_steps.methods.objective import Objective, as_float, projection
from vlkd_steps.teachers.targets.target_file import Targets


class TwoTargets(Objective):
    """The targets ``v`` and ``u`` in ``Batch.extra``, [B, D], and a projection to the width of each."""

    def as_target(self, embeddings: Tensor) -> Tensor:
        """The teacher's embeddings as the student is to match them."""
        return layer_norm(embeddings)

    def prepare(
        self, data: Encoded, store: Any, seed: int, targets: Targets | None = None
    ) -> dict[str, IndexedTensor | Tensor]:
        items = data.items
        return {
            "v": IndexedTensor(self.as_target(as_float(store.images(items.image_ids))), items.image_rows),
            "u": IndexedTensor(self.as_target(as_float(store.texts(items.texts))), items.text_rows),
        }

    def project(self, student_width: int, extra: Mapping[str, IndexedTensor | Tensor]) -> None:
        self.to_image = projection(student_width, extra["v"])
        self.to_text = projection(student_width, extra["u"])
