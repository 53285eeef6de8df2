"""A trained student as one safetensors file: all its weights, and what is needed to rebuild it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import report


def write(student: nn.Module, description: Mapping[str, Any], path: Path) -> None:
    """Write the weights and a description (JSON) of the student, atomically.

    Raises:
        UserError: a weight is not a finite number.
    """
    held = tensors(student)
    report.check_finite(held, f"the trained weights for {path}", "lower training.learning_rate and train the run again")
    with files.atomic(path) as temporary:
        # One metadata key only: the order in which safetensors writes several changes from run to run.
        save_file(held, temporary, metadata={"student": files.canonical(description)})


def tensors(student: nn.Module) -> dict[str, Tensor]:
    """The student's weights by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in student.state_dict().items()}


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the weights from a file of `write`.

    Raises:
        UserError: the file is damaged, or was not written by a training run.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            text = (stream.metadata() or {}).get("student", "null")
            held = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (no dictionary)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; train its run") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is no safetensors file, or is damaged ({report.brief(error)}); train its run again"
        ) from error
    if text == "null":
        raise UserError(
            f"{path} was not written by a training run: it does not describe its student; name a run's file"
        )
    return files.parse_json(text, f"the description in {path}", "name a run's file"), held


@contextmanager
def rebuilding(path: Path) -> Iterator[None]:
    """A block that builds the student of a file from its description; the global random state is unchanged.

    Raises:
        UserError: the description lacks something, or the library rejects it.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except UserError:
        raise
    except Exception as error:  # transformers, tokenizers and torch raise errors of their own
        raise UserError(
            f"{path} does not describe a student of this kind ({type(error).__name__}: {report.brief(error)}); "
            "name a run's file"
        ) from error


def restore(student: nn.Module, held: Mapping[str, Tensor], path: Path) -> None:
    """Load all weights of a file into the student.

    Raises:
        UserError: they belong to another student (`report.check`).
    """
    report.fill(student, held, str(path))
