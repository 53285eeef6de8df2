"""The installed libraries that compute: work that one version has begun is not continued by another."""

import functools

from vlkd_steps.core import files

COMPUTING = (
    "accelerate", "numpy", "open_clip_torch", "pillow", "scikit-learn", "scipy", "timm", "tokenizers", "torch",
    "torchvision", "transformers", "yake",
)  # fmt: skip
"""Packages of which another version may give other bytes of features and models."""


@functools.cache
def digest() -> str:
    """A short hash of the versions of `COMPUTING`."""
    from importlib import metadata  # here, so that programs that compute nothing start fast

    installed = {}
    for name in COMPUTING:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return files.digest(installed)[:16]
