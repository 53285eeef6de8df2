"""What came of a model's weights: how many of its tensors are those of the file. One report for every loader."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.step import log

PICKLES = (".pt", ".pth", ".bin")
"""Of state dicts that a configuration names as a file; read by torch's restricted unpickler (``weights_only``)."""


def tensors(path: Path, where: str, pickles: bool = True) -> dict[str, Tensor]:
    """The tensors of a weights file by name, of a state dict also where it lies in ``state_dict`` or ``model``.

    Args:
        where: the start of messages, such as ``teacher x: weights``; pickles: see `read`.

    Raises:
        UserError: no such file, another kind of file, or one that does not hold weights.
    """
    held = read(path, where, pickles)
    for key in ("state_dict", "model"):
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    found = dict(held) if isinstance(held, Mapping) else {}
    if not found or not all(isinstance(value, Tensor) for value in found.values()):
        kind = "more than tensors" if found else f"a {type(held).__name__} without any"
        raise UserError(f"{where} {path} cannot be read as tensors by name (it holds {kind}); name another file")
    return found


def read(path: Path, where: str, pickles: bool = True) -> Any:
    """What a weights file holds; nothing is unpickled but plain containers of tensors.

    Args:
        where: the start of messages.
        pickles: whether a state dict that torch wrote may be read.

    Raises:
        UserError: no such file, another kind of file, or a damaged one.
    """
    if path.suffix != ".safetensors" and not (pickles and path.suffix in PICKLES):
        kinds = "neither .safetensors nor .pth" if pickles else "not a .safetensors file; nothing else is loaded"
        raise UserError(f"{where} {path} are {kinds}; name such a file")
    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{where} {path} are missing; put the file there or correct `weights`") from error
    except UnpicklingError as error:  # its own message advises to unpickle all the same
        raise UserError(
            f"{where} {path} cannot be read as tensors by name: they are damaged or hold more than tensors, which are "
            "not unpickled, since that could run any code; fetch the file again, or save its state_dict alone"
        ) from error
    except Exception as error:  # safetensors, torch, zipfile and pickle raise errors of their own
        raise UserError(
            f"{where} {path} cannot be read as tensors by name ({brief(error)}); fetch the file again"
        ) from error


@contextmanager
def restricted() -> Iterator[None]:
    """torch's restricted unpickler, also where a library asks for the other one, as torchvision does."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def load(model: nn.Module, found: Mapping[str, Tensor], where: str) -> None:
    """Load all tensors of a model, under its own names, and log how many came from the file; errors as for `check`."""
    log.info(f"{where}: {fill(model, found, where)}")


def fill(model: nn.Module, found: Mapping[str, Tensor], where: str) -> str:
    """As `load`, without a word: the number of tensors, for whoever wants to say it."""
    own = model.state_dict()
    check_stored(own, not_floating(found), where)
    wrong = [(name, found[name].shape, own[name].shape) for name in own if name in found]
    wrong = [each for each in wrong if each[1] != each[2]]
    fitting = {name: tensor for name, tensor in found.items() if name in own and tensor.shape == own[name].shape}
    if len(fitting) == len(own):
        model.load_state_dict(fitting)
    return matched(model, where, set(own) - set(found), set(found) - set(own), wrong)


def check(model: nn.Module, where: str, *differences: Any, **more: Any) -> None:
    """Log how many of a model's tensors came from the file `where`; arguments and errors as for `matched`."""
    log.info(f"{where}: {matched(model, where, *differences, **more)}")


def matched(
    model: nn.Module,
    where: str,
    missing: Iterable[str] = (),
    unexpected: Iterable[str] = (),
    wrong: Iterable[tuple[str, Any, Any]] = (),
    may_be_new: Callable[[str], bool] = lambda _: False,
) -> str:
    """How many of a model's tensors came from the file `where`, which must be all of them.

    Args:
        where: the model and its file, the start of messages.
        missing: tensors of the model that the file lacks; unexpected: those of the file that the model lacks.
        wrong: names, shapes in the file and shapes in the model of those that do not fit.
        may_be_new: whether a tensor that the file lacks is meant to be new, such as a head's.

    Raises:
        UserError: one is missing, unexpected, of another shape, or holds a value that is not a finite number.
    """
    own = model.state_dict()
    lost, more = sorted(name for name in missing if not may_be_new(name)), sorted(unexpected)
    unfit = sorted(wrong)
    came = len(own) - len(set(missing) & set(own)) - len(unfit)
    count = f"{came} of {len(own)} tensors came from the file"
    advice = "name the weights of this model"
    if unfit:
        name, theirs, ours = unfit[0]
        raise UserError(
            f"{where} holds the weights of another model: {name} has shape {list(theirs)}, not {list(ours)} "
            f"({count}); {advice}"
        )
    if lost:
        raise UserError(f"{where} holds the weights of another model: {lost[0]} is not there ({count}); {advice}")
    if more:
        raise UserError(
            f"{where} holds the weights of another model: this one has no tensor {more[0]}, one of {len(more)} "
            f"such ({count}); {advice}"
        )
    check_finite(own, where, "fetch the file again")
    return count


def check_stored(own: Mapping[str, Tensor], others: Iterable[str], where: str) -> None:
    """Refuse weights that loaders would cast to floating-point numbers: those of a quantised model become zeros.

    Args:
        own: a model's tensors by name.
        others: the names of a file's tensors of whole, complex or truth values; they may have a prefix.

    Raises:
        UserError: one of them is a floating-point tensor of the model.
    """
    floating = {name for name, tensor in own.items() if tensor.is_floating_point()}
    for name in sorted(others):
        parts = name.split(".")
        if any(".".join(parts[start:]) in floating for start in range(len(parts))):
            raise UserError(
                f"{where} holds {name} not as floating-point numbers, which this model has there; quantised weights "
                "are not read: name those that they were made from"
            )


def not_floating(found: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors that hold other than floating-point numbers."""
    return [name for name, tensor in found.items() if not tensor.is_floating_point()]


def check_finite(held: Mapping[str, Tensor], where: str, remedy: str) -> None:
    """Weights must be numbers.

    Raises:
        UserError: a tensor holds NaN or infinity.
    """
    for name, tensor in sorted(held.items()):
        if tensor.is_floating_point() and not tensor.is_meta and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{where} holds values that are not finite numbers, first in {name}; {remedy}")


def brief(error: BaseException) -> str:
    """An error of a library in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
