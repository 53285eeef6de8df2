"""Seeds derived per purpose, so that the global random state is never used."""

import hashlib


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose of a run, e.g. ``derive(10, "batches")``.

    Hashing the names (instead of ``seed + 1``) keeps purposes independent of each other and of the
    order in which they are drawn.
    """
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def position(image_id: str, purpose: str) -> float:
    """A fixed number in [0, 1) for an image, by which shares of images are chosen."""
    text = f"{purpose}\x1f{image_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
