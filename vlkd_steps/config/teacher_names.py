"""A variant's teachers in tables, tags, MLflow and run directories: ``X``, or ``X+Y`` for images and for texts."""

from collections.abc import Sequence


def joined(teachers: Sequence[str]) -> str | None:
    """The joint name of distinct teachers; None without any."""
    return "+".join(teachers) or None


def split(joint: str | None) -> list[str]:
    """The names in a result of `joined`.

    >>> split("a+b"), split(None)
    (['a', 'b'], [])
    """
    return joint.split("+") if joint else []
