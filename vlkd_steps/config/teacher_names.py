"""A variant's teachers by name: ``teacher: X``, or ``teacher: {vision: X, text: Y}``, which need not share a space."""

from collections.abc import Mapping

from vlkd_steps.core.errors import UserError

ROLES = ("vision", "text")
Named = str | Mapping[str, str] | None


def names(teacher: Named) -> list[str]:
    """The distinct teachers, that of images first.

    >>> names({"vision": "clip", "text": "clip"}), names({"vision": "a", "text": "b"}), names(None)
    (['clip'], ['a', 'b'], [])
    """
    if teacher is None or isinstance(teacher, str):
        return [teacher] if teacher else []
    return list(dict.fromkeys(teacher[role] for role in ROLES))


def joined(teacher: Named) -> str | None:
    """The name in tables, tags of paths and MLflow: ``X+Y``; None without a teacher."""
    return "+".join(names(teacher)) or None


def split(joint: str | None) -> list[str]:
    """The names in a result of `joined`."""
    return joint.split("+") if joint else []


def check(teacher: object, where: str) -> None:
    """Check that this names a teacher, or one for each role.

    Raises:
        UserError: neither a name nor one for each of vision and text.
    """
    if teacher is None or isinstance(teacher, str):
        return
    if (
        not isinstance(teacher, Mapping)
        or set(teacher) != set(ROLES)
        or not all(isinstance(name, str) and name for name in teacher.values())
    ):
        raise UserError(f"{where} is {teacher!r}; write one name, or {{vision: NAME, text: NAME}}")
