"""What a method says of itself without torch: its settings, who runs it, and what it needs of a teacher.

A method is a subpackage ``methods/<name>/`` whose ``__init__.py`` ends in ``METHOD = Method(...)`` and whose
``objective.py``, which may import torch, ends in ``OBJECTIVE = <its class>``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vlkd_steps.config.models.base import Model, Name
from vlkd_steps.core import components


class Settings(Model):
    """The settings of a method, conf/method/<name>.yaml with what a variant changes. The file sets all of them."""

    name: Name

    def mistake(self, steps: int) -> str | None:
        """What is wrong with them in a run of so many steps."""
        return None

    @property
    def compares_patches(self) -> bool:
        """Whether the student's visual tokens are compared with a teacher's patches, so that they have to be a grid."""
        return False


def always(settings: Any) -> bool:
    return True


def never(settings: Any) -> bool:
    return False


def nothing(settings: Any) -> None:
    return None


@dataclass(frozen=True)
class Method:
    """The declaration of a method.

    Attributes:
        settings: the model of its settings.
        runner: the module of `vlkd_steps.runs` that does its runs (`runs.seeds` says how).
        keeps_teacher: whether its student needs the teacher at inference; tables say so.
        needs_teacher: whether a variant with these settings has to name one.
        one_space: whether, with these settings, images and texts need the same teacher.
        targets: with these settings, what of the training split is computed before training (`teachers.targets`):
            ``words`` and ``weights``, the settings that change them; None: nothing.
    """

    settings: type[Settings]
    runner: Literal["classify", "probe", "vlkd", "baselines"] = "classify"
    keeps_teacher: bool = False
    needs_teacher: Callable[[Any], bool] = always
    one_space: Callable[[Any], bool] = never
    targets: Callable[[Any], dict[str, Any] | None] = nothing

    @property
    def classifies(self) -> bool:
        """Whether its runs choose classes or choices and read the teacher's stored features; the others answer in words
        and read images by the teacher itself."""
        return self.runner in ("classify", "probe")

    @property
    def trains(self) -> bool:
        """Whether its runs train a student, step by step."""
        return self.runner in ("classify", "vlkd")

    @property
    def run_module(self) -> str:
        """The runner's dotted name."""
        return f"vlkd_steps.runs.{self.runner}"


def declaration(name: str) -> Method:
    """What a method declares of itself, found by its name.

    Raises:
        UserError: there is no such method.
    """
    found: Method = components.load_value(components.module_name("method", name), "METHOD")
    return found
