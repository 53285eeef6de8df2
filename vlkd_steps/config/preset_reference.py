"""The reference of an experiment, read from its preset without composing the rest: a tracker needs no more."""

from pathlib import Path

from vlkd_steps.config.composition import CONF, folders, read_params
from vlkd_steps.config.conf_files import ConfFiles


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
    found = own.get("reference") or (preset.get("overrides") or {}).get("reference") or preset.get("reference")
    return None if found is None else str(found)
