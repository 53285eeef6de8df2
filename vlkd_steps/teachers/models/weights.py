"""What tells the weights of two models apart."""

import hashlib

import numpy as np
import torch

from vlkd_steps.core import files


def weights_digest(model: torch.nn.Module) -> str:
    """sha256 (hex) over names, shapes and float32 bytes of all weights: the same wherever they were loaded from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().cpu().float().numpy()
        digest.update(files.canonical([name, list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
