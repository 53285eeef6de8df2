"""Which texts are prompts for a student that writes (`students.prompts`); a preset's are checked before training."""

MASK = "<mask>"
QUESTION = "{q}"


def is_valid(wording: str) -> bool:
    """Whether it has the mask, where the answer goes, once, and no question after it."""
    _, mask, after = wording.partition(MASK)
    return bool(mask) and MASK not in after and QUESTION not in after
