"""The reference of an experiment, read from its preset without composing the rest: a tracker needs no more.

Only a member of a sweep takes composing, to learn what its runs are called.
"""

from collections.abc import Mapping
from pathlib import Path

from vlkd_steps.config import composition
from vlkd_steps.config.composition import CONF, folders, read_params
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.config.overrides import UNSET
from vlkd_steps.core.errors import UserError


def of(experiment: str, params_file: Path = Path("params.yaml")) -> str | None:
    """The variant that gains are measured against; None if there is no such preset, or no project, here.

    Raises:
        UserError: params.yaml or the preset cannot be read.
    """
    if not params_file.is_file():
        return None
    params = read_params(params_file)
    conf = ConfFiles([*folders(params.conf, params_file), CONF])
    if experiment not in conf.options("experiment"):
        return None
    preset = conf.merged("experiment", experiment)
    own = params.overrides if params.experiment == experiment else {}
    for given in (own, preset.get("overrides"), preset):
        found = given.get("reference") if isinstance(given, Mapping) else None
        if found is not None and found != UNSET:
            return _name(str(found), experiment, params_file)
    return None


def _name(reference: str, experiment: str, params_file: Path) -> str:
    """What the runs of the reference are called; a label as it is where the experiment does not compose."""
    if "[" not in reference:
        return reference
    try:
        return composition.compose(params_file, experiment).preset.reference
    except UserError:
        return reference
