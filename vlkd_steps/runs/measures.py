"""Measures of a BART as a whole: retrieval in CLIP's space, and its remaining ability on text alone.

``retrieval`` ranks the captions and images of an evaluation set by e and v; ``forgetting`` (on texts about scenes),
``glue`` and ``xsum`` (on files that the user provides) are those of `forgetting`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vlkd_steps.config.extra_evals import Evaluation
from vlkd_steps.data.infilling import padded
from vlkd_steps.metrics import retrieval
from vlkd_steps.runs import answering, forgetting
from vlkd_steps.students.bart import BartStudent

BATCH = 256  # texts


def of_text(student: BartStudent, evaluation: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A measure without images; `{}` for retrieval, which needs them."""
    name = evaluation["measure"]
    if name == "forgetting":
        size = evaluation.get("size", forgetting.SIZE)
        return forgetting.on_scenes(student, seed, size) | {"n": size}
    if name in forgetting.BENCHMARKS:
        return forgetting.BENCHMARKS[name](student, evaluation, seed)
    return {}


def recalls(
    evaluation: Mapping[str, Any],
    texts: Callable[[Sequence[str]], np.ndarray],
    images: Callable[[Sequence[str]], np.ndarray],
) -> dict[str, Any]:
    """R@1, 5 and 10 over an evaluation set, in percent.

    Args:
        texts, images: captions, image files -> their embeddings of length 1, [N, D].
    """
    of_set = {key: value for key, value in evaluation.items() if key == "images"}
    rows = answering.rows_of(Evaluation("", evaluation["dataset"], evaluation["task"], evaluation["set"], of_set))
    shown = rows.unique("image_id", keep="first", maintain_order=True)
    places = {image: number for number, image in enumerate(shown["image_id"])}
    found = retrieval.recall(
        texts(rows["text"].to_list()), images(shown["image_path"].to_list()), [places[i] for i in rows["image_id"]]
    )
    return {**found, "n": len(rows)}


@torch.inference_mode()
def embedded(student: BartStudent, texts: Sequence[str]) -> np.ndarray:
    """e of each text, float32 [N, D]."""
    device, parts = student.to_clip.weight.device, []
    rows = student.tokenizer(list(texts), truncation=True, max_length=student.max_tokens).input_ids
    for start in range(0, len(rows), BATCH):
        tokens, mask = (x.to(device) for x in padded(rows[start : start + BATCH], student.tokenizer.pad_token_id))
        parts.append(student.embed(student.encode(tokens, mask), mask).float().cpu())
    return torch.cat(parts).numpy()
