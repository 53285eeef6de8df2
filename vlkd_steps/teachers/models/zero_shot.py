"""Zero-shot classification with a CLIP: the class whose prompts are nearest to the image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from vlkd_steps.core.seeds import derive
from vlkd_steps.data.pretraining_pairs import normalised


@torch.inference_mode()
def classify(model: Any, tokenizer: Any, images: torch.Tensor, prompts: Sequence[Sequence[str]]) -> np.ndarray:
    """The nearest class of each image.

    Args:
        model: an open_clip model in evaluation mode; tokenizer: its tokenizer.
        images: float32 [N, 3, S, S].
        prompts: for each class its prompts; a class is the normalised mean of their normalised embeddings.

    Returns:
        Class indices, int64 [N].
    """
    device = next(model.parameters()).device
    classes = []
    for texts in prompts:
        embedded = model.encode_text(tokenizer(list(texts)).to(device), normalize=True)
        classes.append(functional.normalize(embedded.mean(0), dim=0))
    features = [model.encode_image(part.to(device), normalize=True) for part in images.split(256)]
    return (torch.cat(features) @ torch.stack(classes).T).argmax(1).cpu().numpy()


def scenes_accuracy(model: Any, tokenizer: Any, n: int = 2000, seed: int = 0) -> dict[str, float]:
    """Accuracy (0..1) on `n` held-out scenes of one object, all styles and pairs.

    ``colour``, ``shape`` and their mean decide whether a teacher of the embedded benchmark is accepted.
    """
    from vlkd_steps.benchmarks.scenes import probes

    was_training = model.training
    model.eval()
    row = row_accuracy(model, tokenizer, n // 2, seed)
    drawn, colours, shapes = probes.single_object_images(n, seed)
    images = normalised(drawn)
    colour = float((classify(model, tokenizer, images, probes.color_prompts()) == colours).mean())
    shape = float((classify(model, tokenizer, images, probes.shape_prompts()) == shapes).mean())
    model.train(was_training)
    return {"colour": colour, "shape": shape, "mean": (colour + shape) / 2, "row": row}


@torch.inference_mode()
def row_accuracy(model: Any, tokenizer: Any, n: int, seed: int) -> float:
    """How often, among `n` scenes of one to five objects, the row of an object is found: which of ``a red star in the
    top row`` and the same for the other two rows is nearest to the image (chance: 1/3)."""
    from vlkd_steps.benchmarks.scenes import drawing, world

    generator = np.random.default_rng(derive(seed, "row probes"))
    scenes = world.sample(n, generator, pairs=world.PAIRS)
    objects = [things[0] for things in scenes.things()]
    prompts = [
        f"a {world.COLORS[thing.color]} {world.SHAPES[thing.shape]} in the {row} row"
        for thing in objects
        for row in world.ROWS
    ]
    device = next(model.parameters()).device
    images = normalised(drawing.draw(scenes, generator)).to(device)
    features = torch.cat([model.encode_image(part, normalize=True) for part in images.split(256)])
    tokens = tokenizer(prompts).to(device)
    embedded = torch.cat([model.encode_text(part, normalize=True) for part in tokens.split(256)])
    predicted = torch.einsum("nd,nrd->nr", features, embedded.view(n, len(world.ROWS), -1)).argmax(1).cpu().numpy()
    return float((predicted == np.array([thing.row for thing in objects])).mean())
