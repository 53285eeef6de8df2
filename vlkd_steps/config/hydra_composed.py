"""Hydra and OmegaConf: a preset composed with the members of groups that are chosen, interpolations resolved."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from vlkd_steps.config import members
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.core.errors import UserError


def composed(conf: ConfFiles, experiment: str, chosen: Sequence[str]) -> dict[str, Any]:
    """What Hydra composes of the preset and the members that are chosen.

    Raises:
        UserError: it cannot be composed, or an interpolation refers to a missing value.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _search_path().folders = conf.folders[:-1]
    try:
        with initialize_config_dir(str(conf.folders[-1]), version_base="1.3"):
            plain = OmegaConf.to_container(
                hydra_compose("config", overrides=[f"experiment='{experiment}'", *chosen]), resolve=True
            )
    except OmegaConfBaseException as error:
        raise _unresolved(conf, experiment, error) from None
    except HydraException as error:
        raise UserError(f"the configuration cannot be composed: {error}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def resolved(conf: ConfFiles, name: str) -> dict[str, Any]:
    """A preset as its files say it, interpolations resolved.

    Raises:
        UserError: a file that cannot be read, or an interpolation that refers to a missing value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    preset = conf.merged("experiment", name)
    if "${" not in str(preset):
        return preset
    try:
        return OmegaConf.to_container(OmegaConf.create(preset), resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise _unresolved(conf, name, error) from None


def as_resolved(written: Any, found: Any) -> Any:
    """What a file says, with the values of its interpolations.

    Args:
        found: what `resolved` has in its place.
    """
    if "${" not in str(written):
        return written
    if isinstance(written, Mapping) and isinstance(found, Mapping):
        return {key: as_resolved(value, found.get(key)) for key, value in written.items()}
    return found


def selected(tree: Mapping[str, Any], dotted: str) -> Any:
    """What an interpolation says; None where it refers to nothing, or to a member that is not read yet."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.select(OmegaConf.create(dict(tree)), dotted)
    except OmegaConfBaseException:
        return None


@cache
def _search_path() -> Any:
    """A plugin of Hydra's, by which it searches ``folders`` before the package's own."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class UsersFolders(SearchPathPlugin):
        folders: ClassVar[Sequence[Path]] = ()

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for number, folder in enumerate(reversed(self.folders)):
                search_path.prepend(provider=f"conf{number}", path=f"file://{folder}")

    Plugins.instance().register(UsersFolders)
    return UsersFolders


def _unresolved(conf: ConfFiles, experiment: str, error: Any) -> UserError:
    """The file and key of a value that cannot be resolved."""
    dotted, message = str(error.full_key or ""), str(error.msg or error).splitlines()[0]
    file, key = members.Origin(conf, experiment, {}, {})(dotted)
    return UserError(f"{file}: {key}: {message}")
