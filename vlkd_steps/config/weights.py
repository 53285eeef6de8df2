"""Weights that a job starts from: made by the phase `pretrain`, or shipped with the package."""

from vlkd_steps.config.models.base import Learned
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import layout, package_assets
from vlkd_steps.core.files import digest


def pretrain_inputs(c: Composition, model: str) -> list[str]:
    """The corpus that a pre-trained model reads and the weights that it starts from, where it has them."""
    making = c.learned(model).pretraining
    inputs = [str(layout.instances(making["corpus"]))] if making.get("corpus") else []
    return inputs + (made(c.teachers[making["init"]]) if making.get("init") else [])


def made(conf: Learned) -> list[str]:
    """The weights of a teacher or student that `pretrain` makes; empty if they are shipped or downloaded."""
    return [str(layout.model_weights(conf.name))] if conf.pretraining else []


def of_package_for(c: Composition, model: str) -> str:
    """`of_package`, for a pre-training: of the model itself, and of the teacher that it starts from."""
    init = c.learned(model).pretraining.get("init")
    return of_package(c.learned(model)) + (of_package(c.teachers[init]) if init else "")


def of_package(conf: Learned) -> str:
    """A hash of the files, beside code, that a model takes from the package: weights, a CLIP's architecture and
    tokenizer; empty without any."""
    found = [package_assets.of(getattr(conf, "weights", None)), package_assets.clip(str(getattr(conf, "model", "")))]
    return digest(found) if any(found) else ""
