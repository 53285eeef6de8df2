"""params.yaml and a preset, composed by Hydra and validated by `models`: nothing that cannot be reaches a job.

The files are read strictly first (`conf_files`), so that a message names the file that says a value; Hydra then
composes the preset once with the groups that its grid names. `overrides` are set, every section is validated, and last
what only sections together can get wrong (`cross_checks`). What comes out is one frozen object of validated sections.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from vlkd_steps.config import claims, conf_files, cross_checks, like, members, overrides, replaced_lists, sweeps
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.preset import GivenGrid, Grid, Params, Preset
from vlkd_steps.config.validation import validated
from vlkd_steps.core import components, layout
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import local

CONF = conf_files.PACKAGED


def compose(params_file: Path = Path("params.yaml"), experiment: str | None = None) -> Composition:
    """Compose the experiment that `params_file` describes, or the bare preset `experiment`.

    Naming another experiment than params.yaml's leaves its grid and overrides aside: they belong to
    the experiment in that file. DVC versions only what params.yaml names.

    Raises:
        UserError: a key or value that is not valid, with the nearest valid one.
    """
    params = read_params(params_file)
    own = experiment in (None, params.experiment)
    name, where = experiment or params.experiment, params_file.name
    conf = ConfFiles([*folders(params.conf, params_file), CONF])
    components.use(params.plugins)
    one_of(name, conf.options("experiment"), "experiment" if experiment else f"{where}: experiment")

    as_written = _resolved(conf, name)
    files = conf.chain("experiment", name)
    given_first, given_last = as_written.get("overrides"), params.overrides if own else {}
    written = {
        f"{files[-1].called}: overrides": given_first if isinstance(given_first, Mapping) else {},
        f"{where}: overrides": given_last,
    }
    by_key = [overrides.by_key(given, called) for called, given in written.items()]
    raw, reached = like.resolved(as_written, by_key, lambda key: f"{conf.locate('experiment', name, key)}: {key}")
    swept = sweeps.expanded(
        raw,
        list(zip(written, reached, strict=True)),
        [file.content for file in files],
        lambda key: f"{conf.locate('experiment', name, key)}: {key}",
    )
    raw, sections = swept.raw, swept.sections
    origin = members.Origin(conf, name, {}, swept.members)
    preset = validated(Preset, raw, "", origin)
    given_grid = params.grid if own else GivenGrid()
    if given_grid.variant:
        named = swept.several(given_grid.variant, f"{where}: grid.variant")
        given_grid = given_grid.model_copy(update={"variant": tuple(dict.fromkeys(named))})
    crossed = blocks(preset, given_grid, name, where)
    grid = {
        key: tuple({str(v): v for block in crossed for v in getattr(block, key)}.values()) for key in Grid.model_fields
    }
    said = {f"grid.{key}": where for key in given_grid.model_fields_set}
    said |= {key: called for called, given in sections for key in given}
    origin = members.Origin(conf, name, said, swept.members)
    for _, given in sections:
        _choose_members(given, raw)
    composed = _with_groups(origin, grid, validated(Preset, raw, "", origin), raw)
    changed = {*swept.renamed, *(["variants"] if like.used(as_written) else [])}
    composed = {"experiment": name, **composed, **{key: raw[key] for key in sorted(changed)}, "grid": grid}
    learned = [*composed["teachers"].values(), *composed["students"].values()]
    for recipe in (composed["training"], *(model["pretrain"] for model in learned if model.get("pretrain"))):
        if isinstance(recipe, dict):
            recipe.setdefault("processes", 1)  # written down, so that it can be overridden
    for dataset in composed["datasets"].values():
        dataset.setdefault("allow_leaks", [])  # as above

    applied = [
        {
            key: value
            for key, value in given.items()
            if number or not overrides.left_out(key, composed, conf.options("dataset"))
        }
        for number, (_, given) in enumerate(sections)
    ]
    may = members.optional(composed)
    for (called, _), given in zip(sections, applied, strict=True):
        for key, value in given.items():
            overrides.override(composed, key.split("."), value, called, may)
    c = members.checked({**composed, "overrides": list(map(overrides.tree, applied))}, origin, params, crossed)
    c = replace(c, members=swept.members, preset=c.preset.model_copy(update={"grid": preset.grid}))
    cross_checks.check(c, origin)
    whole = blocks(preset, GivenGrid(), name, where)
    packaged = ConfFiles([CONF]).options("dataset")
    note = replaced_lists.note(name, given_grid, whole, packaged, where)
    return replace(c, claims=claims.checked(c, origin, whole), note=note)


def dataset(name: str, params_file: Path = Path("params.yaml")) -> Dataset:
    """One data set by itself, as its files say it, without overrides.

    Raises:
        UserError: there is no such data set, or a key or value of its is not valid.
    """
    params = read_params(params_file)
    conf = ConfFiles([*folders(params.conf, params_file), CONF])
    components.use(params.plugins)
    if name not in (known := conf.options("dataset")):
        raise UserError(f"there is no data set {name!r}; {nearest(name, known)}")
    found = members.member("dataset", name, conf.merged("dataset", name), members.Origin(conf, "", {}, {}))
    assert isinstance(found, Dataset)
    return found


def read_params(path: Path) -> Params:
    """Read params.yaml.

    Raises:
        UserError: not readable, not YAML, or a value that cannot be.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; run from the project's root, or restore it: git checkout {path}")
    given = conf_files.read(path, path.name)
    if "artifacts" in given:
        raise UserError(
            f"{path.name}: artifacts is no longer listed by hand, it follows from the grid; delete the key `artifacts` "
            "and the lines below it"
        )
    return validated(Params, given, locate=lambda key: (path.name, key))


def _resolved(conf: ConfFiles, name: str) -> dict[str, Any]:
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


def folders(given: Sequence[str], params_file: Path) -> list[Path]:
    """The folders of ``conf``, relative to that of params.yaml."""
    root, where = params_file.parent, params_file.name
    for folder in given:
        if not os.path.isdir(root / folder):  # noqa: PTH112  # Path.is_dir raises for a name too long
            raise UserError(f"{where}: conf names {folder!r}, which is no folder here; create it, or correct the path")
        if os.path.lexists(root / folder / "config.yaml"):
            raise UserError(f"{where}: conf names {folder!r}, which holds config.yaml, the name of the root; rename it")
    return [(root / folder).resolve() for folder in given]


def blocks(preset: Preset, given: GivenGrid, experiment: str, where: str) -> list[Grid]:
    """What the experiment crosses: its grid or, where the preset has ``grids``, each block of it.

    A block's list that is left out is the grid's; all blocks have the grid's seeds. A list of params.yaml
    replaces the grid's or, of blocks, keeps what it names.

    Raises:
        UserError: a value of params.yaml that no block has.
    """
    said = {key: getattr(given, key) for key in given.model_fields_set}
    if not preset.grids:
        return [preset.grid.model_copy(update=said)]
    found = [preset.grid.model_copy(update={key: v for key, v in block if v is not None}) for block in preset.grids]
    seeds = {"seed": said.pop("seed")} if "seed" in said else {}
    for key, wanted in said.items():
        there = {str(value) for block in found for value in getattr(block, key)}
        for value in wanted:
            if str(value) not in there:
                raise UserError(
                    f"{where}: grid.{key} names {value!r}, which no block of experiment {experiment} has; "
                    + nearest(str(value), there)
                )
    cut = []
    for block in found:
        kept = {key: tuple(v for v in getattr(block, key) if str(v) in map(str, said[key])) for key in said}
        cut += [block.model_copy(update=kept | seeds)] if all(kept.values()) else []
    if not cut:
        raise UserError(f"{where}: grid leaves nothing of the blocks of experiment {experiment}; name fewer lists")
    return cut


def _listed(origin: members.Origin, preset: Preset, key: str, name: str) -> str:
    """The dotted key of the list of the grid, or of its first block, that has a name."""
    in_blocks = [n for n, block in enumerate(preset.grids or ()) if name in (getattr(block, key) or ())]
    return f"grids.{in_blocks[0]}.{key}" if in_blocks and f"grid.{key}" not in origin.overridden else f"grid.{key}"


def options(group: str) -> list[str]:
    """The names that the package offers of a group, sorted."""
    return ConfFiles([CONF]).options(group)


def _choose_members(given: Mapping[str, Any], preset: dict[str, Any]) -> None:
    """Another teacher or method of a variant has to be composed as well."""
    for key, value in given.items():
        group, _, rest = key.partition(".")
        variant, _, setting = rest.partition(".")
        if group == "variants" and setting in ("teacher", "method") and variant in preset["variants"]:
            chosen = preset["variants"][variant]
            setting_value = overrides.merged(chosen.get(setting), value)
            preset["variants"] = {**preset["variants"], variant: {**chosen, setting: setting_value}}


def _with_groups(
    origin: members.Origin, grid: Mapping[str, Sequence[Any]], preset: Preset, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """Compose the preset with every group member that the grid's cells read, and what those read in turn."""
    conf = origin.conf
    for variant in grid["variant"]:
        one_of(variant, preset.variants, origin.said(_listed(origin, preset, "variant", variant)))
    for name, chosen in preset.variants.items():
        one_of(chosen.method, conf.options("method"), origin.said(f"variants.{name}.method"))
        if chosen.method not in components.names("method"):
            near = nearest(chosen.method, components.names("method"))
            problem = f"is {chosen.method!r}, which has a file of settings and no code; {near}, or name its plugin"
            raise origin.mistake(f"variants.{name}.method", problem)
        for teacher in chosen.teachers:
            one_of(teacher, conf.options("teacher"), origin.said(f"variants.{name}.teacher"))
    wanted = {("dataset", name): key for name, key in preset.extra_datasets(grid["dataset"]).items()}
    wanted |= {
        (group, name): _listed(origin, preset, group, name) for group in ("dataset", "student") for name in grid[group]
    }
    wanted |= {("method", chosen.method): f"variants.{name}.method" for name, chosen in preset.variants.items()}
    wanted |= {
        ("teacher", name): f"variants.{variant}.teacher"
        for variant in grid["variant"]
        for name in preset.variants[variant].teachers
    }
    tree: dict[str, Any] = {**raw, **{f"{group}s": {} for group in members.GROUPS}}
    dropped_in = {}
    while wanted:
        for (group, name), key in sorted(wanted.items()):
            if group == "source" and name not in conf.options("source"):  # no conf file: data/incoming/<name>
                _check_dropped_in(name, conf.options("source"), origin.said(key))
                tree["sources"][name] = dropped_in[name] = local.incoming(name)
                continue
            one_of(name, conf.options(group), origin.said(key))
            tree[f"{group}s"][name] = conf.merged(group, name)
        wanted = {(group, name): key for group, name, key in _named(tree) if name not in tree[f"{group}s"]}
    found = [(group, name) for group in sorted(members.GROUPS) for name in sorted(tree[f"{group}s"])]
    chosen_members = [
        f"+{group}@{group}s.{name}={name}" for group, name in found if group != "source" or name not in dropped_in
    ]
    composed = {f"{group}s": {} for group in members.GROUPS} | _hydra(conf, origin.experiment, chosen_members)
    return composed | {"sources": composed["sources"] | dropped_in}


def _check_dropped_in(name: str, known: Sequence[str], where: str) -> None:
    """A source without a conf file is a folder of the user's; one that is not there may be a misspelt name."""
    if not re.fullmatch(layout.NAME, name):
        raise UserError(
            f"{where} is {name!r}; write letters, digits and _: the name of a file in conf/source/, or of a folder in "
            f"{layout.INCOMING}"
        )
    near = nearest(name, known, "-")
    if near != "-" and not (layout.INCOMING / name).is_dir():
        raise UserError(
            f"{where} names {name!r}, which has neither a file conf/source/{name}.yaml nor a folder "
            f"{layout.INCOMING / name}; {near}"
        )


def _named(tree: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The members that data sets, teachers and students name: group, name, and the dotted key that names it.

    A source that is no name is left to its data set's model, which refuses it: it may be a folder without a conf file.
    """
    named = [("datasets", key, "source") for key in ("source", "image_source")]
    for groups in ("teachers", "students"):
        named += [(groups, "pretrain.corpus", "dataset"), (groups, "pretrain.init", "teacher")]
        named += [(groups, "regions", "teacher")]
    for groups, dotted, group in named:
        for name, member in tree[groups].items():
            value: Any = member
            for part in dotted.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if isinstance(value, str) and "${" in value:
                value = _selected(tree, f"{groups}.{name}.{dotted}")
            if isinstance(value, str) and value and (group != "source" or re.fullmatch(layout.NAME, value)):
                yield group, value, f"{groups}.{name}.{dotted}"


def _selected(tree: Mapping[str, Any], dotted: str) -> Any:
    """What an interpolation says; None where it refers to nothing, or to a member that is not read yet."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.select(OmegaConf.create(dict(tree)), dotted)
    except OmegaConfBaseException:
        return None


def _hydra(conf: ConfFiles, experiment: str, chosen: Sequence[str]) -> dict[str, Any]:
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
        with initialize_config_dir(str(CONF), version_base="1.3"):
            plain = OmegaConf.to_container(
                hydra_compose("config", overrides=[f"experiment={experiment}", *chosen]), resolve=True
            )
    except OmegaConfBaseException as error:
        raise _unresolved(conf, experiment, error) from None
    except HydraException as error:
        raise UserError(f"the configuration cannot be composed: {error}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


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
