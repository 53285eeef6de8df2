"""The installed libraries that compute: work that one version has begun is not continued by another."""

import functools

from vlkd_steps.core import files

COMPUTING = (
    "accelerate", "numpy", "open_clip_torch", "pillow", "scikit-learn", "scipy", "timm", "tokenizers", "torch",
    "torchvision", "transformers", "yake",
)  # fmt: skip
"""Packages of which another version may give other bytes of features and models."""


@functools.cache
def installed(names: tuple[str, ...]) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    from importlib import metadata  # here, so that programs that compute nothing start fast

    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def digest() -> str:
    """A short hash of the versions of `COMPUTING`."""
    return files.digest(installed(COMPUTING))[:16]
