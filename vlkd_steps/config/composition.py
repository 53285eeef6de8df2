"""params.yaml and a preset, composed by Hydra and validated by `models`: nothing that cannot be reaches a job.

The files are read strictly first (`conf_files`), so that a message names the file that says a value; Hydra then
composes the preset once with the groups that its grid names. `overrides` are set, every section is validated, and last
what only sections together can get wrong (`cross_checks`). What comes out is one frozen object of validated sections.
"""

import contextlib
import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlkd_steps.config import (
    claims,
    conf_files,
    cross_checks,
    grid_blocks,
    hydra_composed,
    like,
    members,
    needed_members,
    overrides,
    replaced_lists,
    sweeps,
)
from vlkd_steps.config.conf_files import ConfFile, ConfFiles
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.preset import GivenGrid, Params, Preset
from vlkd_steps.config.sweeps import Section, Sweeps
from vlkd_steps.config.validation import validated
from vlkd_steps.core import components, project_folder
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
    as_written = hydra_composed.resolved(conf, name)
    users = overrides.by_key(params.overrides if own else {}, f"{where}: overrides")
    swept = _expanded(as_written, conf, name, users, where)
    overridden = {key: called for called, keys in swept.sections for key in keys}
    set_already = {key: called for key, called in overridden.items() if key in ("reference", "highlight")}  # `sweeps`
    preset = validated(Preset, swept.raw, "", members.Origin(conf, name, set_already, swept.members))
    given = _members_named(params.grid if own else GivenGrid(), swept, f"{where}: grid.variant")
    blocks = grid_blocks.blocks_of(preset, given, name, where)
    said = {f"grid.{key}": where for key in given.model_fields_set}
    origin = members.Origin(conf, name, said | overridden, swept.members)

    composed = _composed(origin, grid_blocks.lists(blocks), swept)
    composed["overrides"] = _overridden(composed, swept.sections, conf)
    c = members.checked(composed, origin, params, blocks)
    c = replace(c, members=swept.members, preset=c.preset.model_copy(update={"grid": preset.grid}))
    cross_checks.check(c, origin)
    cross_checks.check_in_grid(c, users, as_written["variants"], where)
    whole = grid_blocks.blocks_of(preset, GivenGrid(), name, where)
    tested, untested = claims.checked(
        c, origin, whole, [each for each in swept.of if f"variants.{each}.sweep" in users]
    )
    notes = [replaced_lists.note(name, given, whole, options("dataset"), where)]
    if untested:
        notes.append(f"{where} sweeps a variant of these claims, which are left out: {', '.join(untested)}")
    return replace(c, claims=tested, note="; ".join(filter(None, notes)))


def _expanded(
    as_written: Mapping[str, Any], conf: ConfFiles, name: str, given: Mapping[str, Any], where: str
) -> Sweeps:
    """A preset and the overrides, its own and those `given`, without `like` and with every sweep expanded."""
    files = conf.chain("experiment", name)
    written = {f"{files[-1].called}: overrides": _own_overrides(as_written, files), f"{where}: overrides": given}

    def said(key: str) -> str:
        return f"{conf.locate('experiment', name, key)}: {key}"

    by_key = [overrides.by_key(section, called) for called, section in written.items()]
    raw, reached = like.resolved(as_written, by_key, said)
    return sweeps.expanded(raw, list(zip(written, reached, strict=True)), [file.content for file in files], said)


def _own_overrides(as_written: Mapping[str, Any], files: Sequence[ConfFile]) -> Mapping[str, Any]:
    """A preset's overrides; a file's replace those of the files before it, however each is written.

    Raises:
        UserError: one file sets a key twice.
    """
    found: dict[str, Any] = {}
    for file in (file for file in files if "overrides" in file.content):
        given = hydra_composed.as_resolved(file.content["overrides"], as_written["overrides"])
        own = overrides.by_key(given, f"{file.called}: overrides") if isinstance(given, Mapping) else {}
        found = {} if given is None else conf_files.merge(found, own)  # null drops those of the files before
    return found


def _members_named(given: GivenGrid, swept: Sweeps, where: str) -> GivenGrid:
    """The grid of params.yaml, with the members of the swept variants that it names."""
    if not given.variant:
        return given
    return given.model_copy(update={"variant": tuple(dict.fromkeys(swept.several(given.variant, where)))})


def _composed(origin: members.Origin, grid: Mapping[str, Sequence[Any]], swept: Sweeps) -> dict[str, Any]:
    """The preset with all members that it reads, before overrides. Keys that may be overridden and that nothing sets
    are written down."""
    raw = swept.raw
    sections = [given for _, given in swept.sections]
    for given in sections:
        needed_members.choose(given, raw)
    composed = needed_members.composed(origin, grid, validated(Preset, raw, "", origin), raw, sections)
    composed |= {**copy.deepcopy(raw), "experiment": origin.experiment, "grid": grid}
    learned = [*composed["teachers"].values(), *composed["students"].values()]
    for recipe in (composed["training"], *(model["pretrain"] for model in learned if model.get("pretrain"))):
        if isinstance(recipe, dict):
            recipe.setdefault("processes", 1)
    for dataset in composed["datasets"].values():
        dataset.setdefault("allow_leaks", [])
    return composed


def _overridden(composed: dict[str, Any], sections: Sequence[Section], conf: ConfFiles) -> list[dict[str, Any]]:
    """Set the overrides; those of a preset for a data set or a model that the grid leaves out are left out.

    Args:
        sections: the preset's, then params.yaml's.

    Returns:
        The overrides that were set, each section as a tree.
    """
    known = {f"{group}s": conf.options(group) for group in members.GROUPS}
    applied = [
        {key: value for key, value in given.items() if number or not overrides.left_out(key, composed, known)}
        for number, (_, given) in enumerate(sections)
    ]
    may = members.optional(composed)
    for (called, _), given in zip(sections, applied, strict=True):
        for key, value in given.items():
            overrides.override(composed, key.split("."), value, called, may)
    return list(map(overrides.tree, applied))


def dataset(name: str, params_file: Path = Path("params.yaml")) -> Dataset:
    """One data set by itself, as its files say it, without overrides.

    Raises:
        UserError: there is no such data set, or a key or value of its is not valid.
    """
    conf = _conf_files(params_file)
    if name not in (known := conf.options("dataset")):
        raise UserError(f"there is no data set {name!r}; {nearest(name, known)}")
    found = members.member("dataset", name, conf.merged("dataset", name), members.Origin(conf, "", {}, {}))
    assert isinstance(found, Dataset)
    return found


def dataset_file(name: str, params_file: Path = Path("params.yaml")) -> Path | None:
    """The file of a data set; None where there is none."""
    return _conf_files(params_file).path("dataset", name)


def source(name: str, params_file: Path = Path("params.yaml")) -> dict[str, Any]:
    """One source by itself, as its file says it; without a file, the folder ``data/incoming/<name>``.

    Raises:
        UserError: a key or value of its is not valid.
    """
    conf = _conf_files(params_file)
    written = conf.merged("source", name) if name in conf.options("source") else local.incoming(name)
    return members.member("source", name, written, members.Origin(conf, "", {}, {})).written()


def _conf_files(params_file: Path) -> ConfFiles:
    params = read_params(params_file)
    components.use(params.plugins)
    return ConfFiles([*folders(params.conf, params_file), CONF])


def use_plugins(params_file: Path = Path("params.yaml")) -> None:
    """Look components up in the project's plugins too, for commands that compose nothing.

    They do without a params.yaml, or with one that is wrong: whoever looks for a component then names the missing one.
    """
    with contextlib.suppress(UserError):
        components.use(read_params(params_file).plugins)


def read_params(path: Path) -> Params:
    """Read params.yaml.

    Raises:
        UserError: not readable, not YAML, or a value that cannot be.
    """
    project_folder.check(path)
    given = conf_files.read(path, path.name)
    if "artifacts" in given:
        raise UserError(
            f"{path.name}: artifacts is no longer listed by hand, it follows from the grid; delete the key `artifacts` "
            "and the lines below it"
        )
    return validated(Params, given, locate=lambda key: (path.name, key))


def folders(given: Sequence[str], params_file: Path) -> list[Path]:
    """The folders of ``conf``, relative to that of params.yaml."""
    root, where = params_file.parent, params_file.name
    for folder in given:
        if not os.path.isdir(root / folder):  # noqa: PTH112  # Path.is_dir raises for a name too long
            raise UserError(f"{where}: conf names {folder!r}, which is no folder here; create it, or correct the path")
        if os.path.lexists(root / folder / "config.yaml"):
            raise UserError(f"{where}: conf names {folder!r}, which holds config.yaml, the name of the root; rename it")
    return [(root / folder).resolve() for folder in given]


def presets(params_file: Path = Path("params.yaml")) -> list[str]:
    """The names of all presets, the package's and those of the folders in params.yaml, sorted.

    Raises:
        UserError: params.yaml is not valid.
    """
    return _conf_files(params_file).options("experiment")


def options(group: str) -> list[str]:
    """The names that the package offers of a group, sorted."""
    return ConfFiles([CONF]).options(group)
