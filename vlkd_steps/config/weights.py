"""Weights that a job starts from: made by the phase `pretrain`, or shipped with the package."""

from vlkd_steps.config.models.base import Learned
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.teacher import Teacher
from vlkd_steps.core import components, layout
from vlkd_steps.core.files import digest, sha256

ASSETS = components.ROOT / "assets"


def pretrain_inputs(c: Composition, model: str) -> list[str]:
    """The corpus that a pre-trained model reads and the weights that it starts from, where it has them."""
    making = c.learned(model).pretraining
    inputs = [str(layout.instances(making["corpus"]))] if making.get("corpus") else []
    return inputs + (made(c.teachers[making["init"]]) if making.get("init") else [])


def made(conf: Learned) -> list[str]:
    """The weights of a teacher or student that `pretrain` makes; empty if they are shipped or downloaded."""
    return [str(layout.model_weights(conf.name))] if conf.pretraining else []


def of_package_for(c: Composition, model: str) -> str:
    """`of_package` for the teacher that a pre-training starts from."""
    init = c.learned(model).pretraining.get("init")
    return of_package(c.teachers[init]) if init else ""


def of_package(conf: Teacher) -> str:
    """A hash of the files, beside code, of a teacher shipped with the package: weights, architecture and tokenizer."""
    weights = shipped(getattr(conf, "weights", None))
    if not weights:
        return ""
    folders = (ASSETS / "open_clip", ASSETS / "scenes_tokenizer")
    return digest([weights, [[path.name, sha256(path)] for folder in folders for path in sorted(folder.iterdir())]])


def shipped(named: str | None) -> str:
    """sha256 of weights shipped with the package, which code fingerprints do not cover."""
    weights = named or ""
    path = ASSETS / weights.removeprefix("asset:")
    if not weights.startswith("asset:") or not path.exists():
        return ""
    return sha256(path) if path.is_file() else digest({each.name: sha256(each) for each in sorted(path.iterdir())})
