"""CLIP-TD, targeted distillation at fine-tuning (arXiv 2201.05729), as PAPERS 1.2 defines it.

Three components, each with a switch: token selection (`selection`), confidence weight (`weight`) and an adaptive
contrastive stage before the task (`adaptive`). What is stated, recalled or our choice is marked in the method's
configuration, conf/method/clip_td.yaml.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from vlkd_steps.errors import UserError
from vlkd_steps.methods.distances import DISTANCES, info_nce, layer_norm
from vlkd_steps.methods.objective import Objective, as_float, projection
from vlkd_steps.methods.tokens import gather_tokens, mean_selected, token_targets
from vlkd_steps.students.heads import task_loss
from vlkd_steps.students.output import StudentOutput
from vlkd_steps.teachers import confidence, relevance
from vlkd_steps.training import processes
from vlkd_steps.training.batches import Batch, Encoded, Lookup
from vlkd_steps.training.seeds import derive


class ClipTD(Objective):
    """First `adaptive_steps` steps: InfoNCE. Then L_task + lambda(t) w (d_image + d_joint + mean_selected d_token).

    lambda(t) = lambda0 (1 - t/T), t and T counted from the end of the adaptive stage; every projection is trained.
    """

    settings_of: ClassVar[dict[str, tuple[Any, ...]]] = {
        "lambda0": (int, float),
        "distance": tuple(DISTANCES),
        "targets": ("image", "joint", "tokens", "text"),
        "selection": ("both", "relevance", "keyness", "random", "all", "none"),
        "tokens_per_text": (int,),
        "keyness": ("yake", "idf"),
        "token_layer": ("embedding", "last"),
        "weight": ("confidence", "uniform"),
        "adaptive": (True, False),
        "adaptive_steps": (int,),
        "temperature": (int, float),
    }

    def __init__(self, settings: Mapping[str, Any], steps: int) -> None:
        super().__init__(settings, steps)
        self.adaptive_steps = self.settings["adaptive_steps"] if self.settings["adaptive"] else 0
        if self.adaptive_steps >= steps:
            raise UserError(
                f"method clip_td: adaptive_steps is {self.adaptive_steps}, but the whole run has {steps} steps "
                "(training.steps); leave some for the task"
            )
        if not self.settings["temperature"]:
            raise UserError("method clip_td: temperature is 0; it divides the cosines, write a positive number")
        self.distance = DISTANCES[self.settings["distance"]]
        self.targets = [t for t in self.settings["targets"] if t != "tokens" or self.settings["selection"] != "none"]

    def prepare(self, data: Encoded, store: Any, seed: int) -> dict[str, Lookup | Tensor]:
        """v, u and the layer-normalised targets of the chosen components, as they stand in the store (no gradient)."""
        items = data.items
        v, u = as_float(store.images(items.image_ids)), as_float(store.texts(items.texts))
        extra: dict[str, Lookup | Tensor] = {"v": Lookup(v, items.image_rows), "u": Lookup(u, items.text_rows)}
        if "image" in self.targets:
            extra["image"] = Lookup(layer_norm(v), items.image_rows)
        if "text" in self.targets:
            extra["text"] = Lookup(layer_norm(u), items.text_rows)
        if "joint" in self.targets:
            extra["joint"] = layer_norm(layer_norm(v)[items.image_rows] + layer_norm(u)[items.text_rows])
        if "tokens" in self.targets:
            texts = [items.texts[row] for row in items.text_rows]
            selected = relevance.select(
                texts,
                v[items.image_rows].numpy(),
                store,
                selection=self.settings["selection"],
                m=self.settings["tokens_per_text"],
                keyness=self.settings["keyness"],
                generator_seed=derive(seed, "selection"),
            )
            extra["positions"], extra["tokens"] = token_targets(data, selected, store)
        weights = torch.ones(len(items))
        if self.settings["weight"] == "confidence":
            images = [items.image_ids[row] for row in items.image_rows]
            pairs = v[items.image_rows].numpy(), u[items.text_rows].numpy()
            weights = as_float(
                confidence.weights(*pairs, items.soft_labels().numpy(), images, derive(seed, "confidence"))
            )
        extra["weight"] = weights
        return extra

    def project(self, student_width: int, extra: Mapping[str, Lookup | Tensor]) -> None:
        """One projection per component; the adaptive stage warms up the image's and has its own for [CLS] <-> u."""
        names = {*self.targets, *(("image", "contrast") if self.adaptive_steps else ())}
        source = {"image": "v", "text": "u", "contrast": "u", "joint": "joint", "tokens": "tokens"}
        self.to_teacher = torch.nn.ModuleDict({n: projection(student_width, extra[source[n]]) for n in sorted(names)})

    def forward(self, output: StudentOutput, batch: Batch, step: int) -> dict[str, Tensor]:
        if step < self.adaptive_steps:
            return self.contrast(output, batch)
        done = (step - self.adaptive_steps) / (self.steps - self.adaptive_steps)
        strength = self.settings["lambda0"] * (1 - done) * batch.extra["weight"]
        losses = {"task": task_loss(output.logits, batch.labels)}
        for target, distance in self.distances(output, batch).items():
            losses[target] = (strength * distance).mean()
        return losses

    def contrast(self, output: StudentOutput, batch: Batch) -> dict[str, Tensor]:
        """The adaptive stage: mean visual token <-> v and [CLS] <-> u against the other items of the whole batch."""
        images, texts = processes.gathered(batch.image_rows), processes.gathered(batch.text_rows)
        same = images[:, None] == images
        same |= texts[:, None] == texts
        tau = self.settings["temperature"]
        image = processes.gathered(self.to_teacher["image"](output.seen))
        text = processes.gathered(self.to_teacher["contrast"](output.cls))
        return {
            "contrast_image": info_nce(image, processes.gathered(batch.extra["v"]), same, tau),
            "contrast_text": info_nce(text, processes.gathered(batch.extra["u"]), same, tau),
        }

    def distances(self, output: StudentOutput, batch: Batch) -> dict[str, Tensor]:
        """The distance of each component per item, [B], before weight and strength."""
        found: dict[str, Tensor] = {}
        features = {"image": output.seen, "joint": output.cls, "text": output.cls}
        for target in self.targets:
            if target == "tokens":
                layer = output.embedded_text if self.settings["token_layer"] == "embedding" else output.text
                positions = batch.extra["positions"]
                projected = self.to_teacher["tokens"](gather_tokens(layer, positions))
                found["tokens"] = mean_selected(self.distance(projected, batch.extra["tokens"]), positions)
            else:
                found[target] = self.distance(self.to_teacher[target](features[target]), batch.extra[target])
        return found


METHOD = ClipTD
