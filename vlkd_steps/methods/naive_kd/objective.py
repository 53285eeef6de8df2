"""Naive distillation, a baseline (docs/papers.md, "Baselines"): the student's [CLS] matches the teacher's embeddings.

No token selection, no weight per instance, no adaptive stage.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vlkd_steps.data.batches import Batch, Encoded, IndexedTensor
from vlkd_steps.methods.distances import DISTANCES, layer_norm
from vlkd_steps.methods.objective import Objective, as_float, projection
from vlkd_steps.students.heads import task_loss
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers.targets.target_file import Targets


class NaiveKD(Objective):
    """L = L_task + lambda(t) (d([CLS], LN(v)) + d([CLS], LN(u))), each with its own projection.

    lambda(t) = lambda0, or lambda0 (1 - t/T) with ``anneal: linear``.
    """

    def prepare(
        self, data: Encoded, store: Any, seed: int, targets: Targets | None = None
    ) -> dict[str, IndexedTensor | Tensor]:
        images = layer_norm(as_float(store.images(data.items.image_ids)))
        texts = layer_norm(as_float(store.texts(data.items.texts)))
        return {"v": IndexedTensor(images, data.items.image_rows), "u": IndexedTensor(texts, data.items.text_rows)}

    def project(self, student_width: int, extra: Mapping[str, IndexedTensor | Tensor]) -> None:
        self.to_image = projection(student_width, extra["v"])
        self.to_text = projection(student_width, extra["u"])

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        distance = DISTANCES[self.settings.distance]
        strength = self.settings.lambda0
        if self.settings.anneal == "linear":
            strength *= 1 - step / self.steps
        return {
            "task": task_loss(output.logits, batch.labels),
            "image": strength * distance(self.to_image(output.cls), batch.extra["v"]).mean(),
            "text": strength * distance(self.to_text(output.cls), batch.extra["u"]).mean(),
        }


OBJECTIVE = NaiveKD
