"""A trained student as one safetensors file: all its weights, and what is needed to rebuild it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError


def write(student: nn.Module, description: Mapping[str, Any], path: Path) -> None:
    """Write the weights and a description (JSON) of the student, atomically."""
    with files.atomic(path) as temporary:
        # One metadata key only: the order in which safetensors writes several changes from run to run.
        save_file(tensors(student), temporary, metadata={"student": files.canonical(description)})


def tensors(student: nn.Module) -> dict[str, Tensor]:
    """The student's weights by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in student.state_dict().items()}


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the weights that `write` has written.

    Raises:
        UserError: the file was not written by a training run.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            described = (stream.metadata() or {}).get("student")
            weights = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (no dictionary)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; train its run") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is no safetensors file, or is damaged ({error}); train its run again") from error
    if described is None:
        raise UserError(
            f"{path} was not written by a training run: it does not describe its student; name a run's file"
        )
    return files.parse_json(described, f"{path}: its student", "train its run again"), weights
